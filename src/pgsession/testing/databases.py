"""Databases for tests: a server, a schema for each test, and stores that a test leaves open."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from pgsession.errors import SettingsError
from pgsession.postgres.connections.conninfo import as_url
from pgsession.postgres.schema import migrate
from pgsession.postgres.store import PostgresStore


@contextmanager
def database(shared: Path | None) -> Iterator[str]:
    """Yield the conninfo of SESSION_DATABASE_URL, or of an embedded server for the block.

    Processes that share a folder share the server. Raises `SettingsError` if there is neither.
    """
    url = os.environ.get("SESSION_DATABASE_URL")
    if url:
        yield url
        return
    try:
        from pgsession.postgres.embedded import embedded_server  # noqa: PLC0415
    except ImportError:  # of fcntl
        raise SettingsError(
            "The embedded PostgreSQL does not run on this system. Name a server of yours in "
            "SESSION_DATABASE_URL."
        ) from None
    with ExitStack() as stack:
        if shared is None:
            shared = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pgsession-")))
        else:
            shared.mkdir(mode=0o700, exist_ok=True)
        yield stack.enter_context(embedded_server(shared / "data"))


@contextmanager
def migrated_schema(conninfo: str) -> Iterator[str]:
    """Yield the name of a new schema that has the table, and drop it after the block."""
    name = f"pgsession_test_{secrets.token_hex(8)}"
    conninfo, schema = as_url(conninfo), sql.Identifier(name)
    try:
        migrate(conninfo, schema=name)
        yield name
    finally:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(schema))


def close(store: PostgresStore) -> None:
    """Close a store after a test, in whatever event loop that has used it."""
    engine = store._engine  # noqa: SLF001 - of this package
    if engine is None or engine.is_closed:
        return
    if engine.loop.is_closed() or engine.loop.is_running():
        for pool in filter(None, (engine.pool, engine.pool.companion)):
            pool.abandon()
    else:
        engine.loop.run_until_complete(store.close())
