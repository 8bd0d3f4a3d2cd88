"""PostgreSQL servers for the tests, and the faults to inject."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from pgsession.errors import StoreUnavailableError
from pgsession.postgres import embedded
from pgsession.postgres.schema import migrate

#: Durable, as in production; small, because many of them run.
_OPTIONS = (
    "-c listen_addresses=127.0.0.1 -c max_connections=40 -c shared_buffers=16MB "
    "-c wal_level=logical -c max_wal_senders=4 -c hot_standby=on"
)

_KILL = """
SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 5000))
FROM pg_stat_activity
WHERE application_name = %s
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A PostgreSQL that listens on its own port."""

    folder: Path
    port: int
    #: The folder of its programs; None: those of the embedded server.
    binaries: Path | None = None
    dbname: str = "postgres"

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    def conninfo(self, **keywords: str | int) -> str:
        """Return a conninfo for TCP."""
        where: dict[str, str | int] = {"host": "127.0.0.1", "port": self.port}
        who = {"user": "postgres", "dbname": self.dbname, "sslmode": "disable"}
        return make_conninfo("", **{**where, **who, **keywords})

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        options = f"{_OPTIONS} -p {self.port} -k {self.folder}"
        log = self.folder / "log"
        self.control("start", "-w", "-l", log, "-o", options)

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: "immediate" is a crash, "fast" ends connections, "smart" waits for them."""
        try:
            self.control("stop", "-w", "-m", mode)
        except StoreUnavailableError:  # it may have ended meanwhile
            if (self.data / "postmaster.pid").exists():
                raise

    def promote(self) -> None:
        """Promote a standby to primary."""
        self.control("promote", "-w")

    def control(self, command: str, *arguments: str | Path) -> None:
        """Run pg_ctl."""
        self.run("pg_ctl", command, "-D", self.data, *arguments)

    def run(self, program: str, *arguments: str | Path) -> None:
        """Run a PostgreSQL program as the server's account."""
        binaries = self.binaries or embedded._binaries()  # noqa: SLF001
        embedded._run(self.folder, binaries / program, *arguments)  # noqa: SLF001

    def execute(self, statement: str, *arguments: object) -> list[tuple[object, ...]]:
        """Run a statement on a new connection; return its rows, if any."""
        with psycopg.connect(self.conninfo(), autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), arguments or None)
            return cursor.fetchall() if cursor.description else []

    def wait_until(self, query: str) -> None:
        """Poll a condition on new connections until it is true."""
        due = time.monotonic() + 30
        while self.execute(query) != [(True,)]:
            assert time.monotonic() < due, "it never holds"
            time.sleep(0.01)

    def kill_backends(self, name: str) -> int:
        """Terminate connections by application_name; wait until they end; return their number."""
        [(killed,)] = self.execute(_KILL, name)
        assert isinstance(killed, int)
        return killed

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Suspend all processes of the server, as a hypervisor does."""
        processes = self._processes()
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in reversed(processes):
                os.kill(process, signal.SIGCONT)

    def kill(self) -> None:
        """Kill all its processes."""
        for process in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        (self.data / "postmaster.pid").unlink()  # nobody else does it

    def _processes(self) -> list[int]:
        """Return the server's PIDs, the postmaster first, so that it starts no others."""
        head = int((self.data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{head}/task/{head}/children").read_text().split()
        return [head, *map(int, children)]


@contextmanager
def new_server(folder: Path, *, binaries: Path | None = None) -> Iterator[Server]:
    """Run a server with the session table; stop it at the end, in whatever state it is."""
    server = Server(prepared_folder(folder), free_port(), binaries)
    arguments = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-instructions")
    server.run("initdb", "--pgdata", server.data, "--locale=C", *arguments)
    with started(server):
        migrate(server.conninfo())
        yield server


@contextmanager
def new_standby(primary: Server, folder: Path) -> Iterator[Server]:
    """Run a standby of another server."""
    standby = Server(prepared_folder(folder), free_port())
    standby.run("pg_basebackup", "-R", "-D", standby.data, "-d", primary.conninfo(), "-c", "fast")
    with started(standby):
        yield standby


@contextmanager
def started(server: Server) -> Iterator[Server]:
    """Start a server; stop it at the end if it still runs."""
    server.start()
    try:
        yield server
    finally:
        if (server.data / "postmaster.pid").exists():
            server.stop()


def prepared_folder(folder: Path) -> Path:
    """Create a folder that the servers' account owns and can reach."""
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:  # as for the embedded server
        embedded._give(folder, like=folder.parent)  # noqa: SLF001
        embedded._make_traversable(folder)  # noqa: SLF001
        embedded._make_traversable(embedded._binaries() / "postgres")  # noqa: SLF001
    return folder


def free_port() -> int:
    """Return an unused port on the loopback interface.

    The port is outside the system's range for client ports, so that no client takes
    it while its server is down.
    """
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
