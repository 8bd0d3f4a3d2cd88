"""Where the cells of a row run: a PostgreSQL of some version, with or without a PgBouncer."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pgsession import PostgresStore, SettingsError
from tests.faults.bouncer import bouncer
from tests.faults.servers import Server, new_server
from tests.matrix.machine import Program
from tests.matrix.table import Outcome, Result


@contextmanager
def postgresql(program: Program | None = None) -> Iterator[str]:
    """Run a new PostgreSQL, by default the embedded one; yield its conninfo."""
    with _server(program) as server:
        yield server.conninfo()


@contextmanager
def pooled(program: Program, mode: str, *, prepared: bool) -> Iterator[str]:
    """Run a PgBouncer in front of a new PostgreSQL; yield its conninfo."""
    with (
        _server() as server,
        bouncer(
            server,
            server.folder.with_name("bouncer"),
            program=program.path,
            mode=mode,
            prepared=prepared,
        ) as conninfo,
    ):
        yield conninfo


def try_rejection(database_url: str, log: Path) -> Result:
    """Try that a store which is told to prepare does not open behind this pooler."""
    try:
        asyncio.run(_open_prepared(database_url))
    except SettingsError as error:
        if "mixes up" in str(error):
            return Result(Outcome.PASSED, "rejected at start")
        raise
    log.write_text("A store with prepared=True opened. It should have been rejected.\n")
    return Result(Outcome.FAILED, "not rejected", log)


@contextmanager
def _server(program: Program | None = None) -> Iterator[Server]:
    binaries = None if program is None else program.path
    with (
        tempfile.TemporaryDirectory(prefix="pgsession-matrix-") as folder,
        new_server(Path(folder, "server"), binaries=binaries) as server,
    ):
        yield server


async def _open_prepared(database_url: str) -> None:
    store = PostgresStore(database_url, prepared=True)
    try:
        await store.open()
    finally:
        await store.close()
