"""The counter and the sockets behind each web server."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import psycopg
from psycopg import sql

from pgsession import PostgresStore
from pgsession.postgres.schema import migrate
from tests.faults.servers import free_port
from tests.matrix.counter import Clients
from tests.matrix.processes import GRACE, started
from tests.matrix.sockets import close_all
from tests.matrix.table import Outcome, Result

_APP: Final = "tests.matrix.app:app"

#: Tries something with the clients of the site, whose table is in this schema.
_Trial: TypeAlias = Callable[[Clients, str], Coroutine[None, None, str]]


@dataclass(frozen=True, slots=True)
class WebServer:
    """A web server, the number of its workers, and its options."""

    module: str
    workers: int
    options: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What the table says about workers and options."""
        workers = f"{self.workers} worker{'s' if self.workers > 1 else ''}"
        return " ".join([workers, *(f"`{each}`" for each in self.options)])

    def command(self, port: int) -> list[str]:
        """Return the arguments of Python that serve the counter."""
        address, workers = f"127.0.0.1:{port}", str(self.workers)
        command = ["-m", self.module, *self.options]
        match self.module:
            case "uvicorn":
                command += ["--host", "127.0.0.1", "--port", str(port), "--no-access-log"]
            case "gunicorn":
                command += ["--worker-class", "uvicorn_worker.UvicornWorker", "--bind", address]
            case "hypercorn":
                command += ["--bind", address]
            case "granian":
                command += ["--interface", "asgi", "--host", "127.0.0.1", "--port", str(port)]
            case _:
                raise ValueError(f"Nobody knows how to start {self.module}.")
        return [*command, "--workers", workers, _APP]


UVICORN: Final = WebServer("uvicorn", 1)
SEVERAL: Final = WebServer("uvicorn", 3)

SERVERS: Final = (
    UVICORN,
    SEVERAL,
    WebServer("gunicorn", 3),
    WebServer("gunicorn", 3, ("--preload",)),
    WebServer("hypercorn", 1),
    WebServer("hypercorn", 3),
    WebServer("granian", 1),
    WebServer("granian", 3),
)


def try_counter(
    server: WebServer,
    python: Path,
    database_url: str,
    *,
    log: Path,
    variables: Mapping[str, str] = {},
) -> Result:
    """Serve the counter, and count in parallel requests: none may be lost."""
    return _try(
        server,
        python,
        database_url,
        lambda clients, _: clients.count(workers=server.workers),
        log=log,
        variables=variables,
    )


def try_sockets(server: WebServer, python: Path, database_url: str, *, log: Path) -> Result:
    """Serve sockets that are closed when their session ends, and end it from this process."""

    async def trial(clients: Clients, schema: str) -> str:
        async with PostgresStore(database_url, schema=schema) as store:
            return await close_all(clients, store, workers=server.workers)

    variables = {"SESSION_CLOSE_WEBSOCKETS": "true"}
    return _try(server, python, database_url, trial, log=log, variables=variables)


def _try(
    server: WebServer,
    python: Path,
    database_url: str,
    trial: _Trial,
    *,
    log: Path,
    variables: Mapping[str, str],
) -> Result:
    """Serve the application, and return the result of the trial."""
    port = free_port()
    with _schema(database_url) as schema:
        ours = {
            "SESSION_DATABASE_URL": database_url,
            "SESSION_SCHEMA": schema,
            "SESSION_SECRET_KEY": secrets.token_urlsafe(32),
            "SESSION_TIMEOUT": "20s",
            **variables,
        }
        with started([python, *server.command(port)], log=log, variables=ours) as process:
            clients = Clients(f"http://127.0.0.1:{port}", is_alive=lambda: process.poll() is None)
            said = asyncio.run(trial(clients, schema))
            process.terminate()
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                return Result(Outcome.FAILED, "it does not stop", log)
    if "Traceback" in log.read_text(errors="replace"):
        return Result(Outcome.FAILED, "a traceback in its log", log)
    return Result(Outcome.PASSED, said)


@contextmanager
def _schema(database_url: str) -> Iterator[str]:
    """Create a schema with the table; drop it at the end."""
    name = f"pgsession_matrix_{secrets.token_hex(8)}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
    try:
        migrate(database_url, schema=name)
        yield name
    finally:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))
