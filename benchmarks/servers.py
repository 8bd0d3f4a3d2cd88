"""The servers that store the peers' sessions; they stop at the end of the run."""

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import AsyncConnection, AsyncCursor, sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from pgsession.embedded import embedded_server
from pgsession.postgres.schema import migrate

#: Connections of each peer to PostgreSQL; the store's default.
POOL_SIZE = 4
SCHEMA = "pgsession_bench"
TIMEOUT = 20.0


class CountingCursor(AsyncCursor[TupleRow]):
    """Counts the statements of this process."""

    statements = 0

    async def execute(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Execute a statement and count it."""
        CountingCursor.statements += 1
        return await super().execute(*args, **kwargs)


@dataclass(frozen=True, slots=True)
class Places:
    """The servers that can hold sessions."""

    postgres: str
    #: The Unix socket of Redis, or None.
    redis: str | None = None
    pool_size: int = POOL_SIZE
    counting: bool = False
    redis_process: int | None = None

    def pool(self) -> AsyncConnectionPool[AsyncConnection[Any]]:
        """Return a pool that is not yet open. The peers in Python use the same settings."""
        kwargs: dict[str, Any] = {"autocommit": True}
        if self.counting:
            kwargs["cursor_factory"] = CountingCursor
        return AsyncConnectionPool(
            self.postgres,
            open=False,
            min_size=self.pool_size,
            max_size=self.pool_size,
            timeout=30,
            kwargs=kwargs,
        )

    def in_schema(self, schema: str) -> "Places":
        """Return the same servers, with another search_path in PostgreSQL."""
        return replace(self, postgres=make_conninfo(self.postgres, options=search_path(schema)))


def search_path(schema: str) -> str:
    """Return the libpq options that set the search_path."""
    return f"-c search_path={schema}"


@contextmanager
def servers(data: Path) -> Iterator[Places]:
    """Yield the PostgreSQL of SESSION_DATABASE_URL or a new one, and Redis if it is installed."""
    with ExitStack() as stack:
        url = os.environ.get("SESSION_DATABASE_URL")
        if not url:
            data.mkdir(parents=True, exist_ok=True)
            stack.callback(shutil.rmtree, data, ignore_errors=True)
            with embedded_server(data) as untuned:
                _size(untuned)
            url = stack.enter_context(embedded_server(data))
        stack.enter_context(schema(url, SCHEMA))
        conninfo = make_conninfo(url, options=search_path(SCHEMA))
        redis, process = stack.enter_context(redis_server())
        yield Places(conninfo, redis, redis_process=process)


def _size(conninfo: str) -> None:
    """Set shared_buffers to a quarter of the memory, as PostgreSQL's manual recommends."""
    megabytes = psutil.virtual_memory().total // 4 // 2**20
    with psycopg.connect(conninfo, autocommit=True) as connection:
        value = sql.Literal(f"{megabytes}MB")
        connection.execute(sql.SQL("ALTER SYSTEM SET shared_buffers = {}").format(value))


@contextmanager
def schema(conninfo: str, name: str, *, empty: bool = False) -> Iterator[None]:
    """Create a schema, with the session table unless `empty`; drop it at the end."""
    quoted = sql.Identifier(name)
    drop = sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(quoted)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(drop)
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(quoted))
    if not empty:
        migrate(make_conninfo(conninfo, options=""), schema=name)
    try:
        yield
    finally:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute(drop)


@contextmanager
def redis_server() -> Iterator[tuple[str, int] | tuple[None, None]]:
    """Run Redis on a Unix socket, without persistence."""
    program = shutil.which("redis-server")
    if program is None:
        yield None, None
        return
    with tempfile.TemporaryDirectory(prefix="pgsession-") as folder:
        address = f"{folder}/redis"
        command = [program, "--port", "0", "--unixsocket", address]
        command += ["--save", "", "--appendonly", "no", "--dir", folder]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                _await_redis(address)
                yield address, process.pid
            finally:
                process.terminate()


def _await_redis(address: str) -> None:
    deadline = time.monotonic() + TIMEOUT
    with Redis(unix_socket_path=address) as client:
        while True:
            try:
                client.ping()
            except RedisConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return


def postgres_cpu(conninfo: str) -> Callable[[], float] | None:
    """Return a function for the CPU seconds of a local server's processes, or None."""
    with psycopg.connect(conninfo) as connection:
        if not (connection.info.host or "/").startswith("/"):
            return None
        backend = psutil.Process(connection.info.backend_pid)
        postmaster = backend.parent()
    return None if postmaster is None else lambda: _cpu([postmaster, *postmaster.children()])


def process_cpu(*numbers: int) -> Callable[[], float]:
    """Return a function for the CPU seconds of some processes."""
    processes = [psutil.Process(number) for number in numbers]
    return lambda: _cpu(processes)


def _cpu(processes: list[psutil.Process]) -> float:
    """Return the CPU seconds of all processes that are still running."""
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


async def settle(conninfo: str) -> None:
    """Run a checkpoint, so that earlier writes do not disturb the next measurement."""
    async with await AsyncConnection.connect(conninfo, autocommit=True) as connection:
        await connection.execute("CHECKPOINT")
    await asyncio.sleep(0.2)
