"""`migrate` through PgBouncer in transaction mode."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pgsession.errors import StoreBusyError, StoreUnavailableError
from pgsession.postgres.schema import migrate, migrations
from tests.faults.bouncer import PROGRAM, bouncer
from tests.faults.servers import Server
from tests.migrating import SEED, search

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no pgbouncer here: install Debian's")

NAME = "pooled_migration"


@pytest.fixture
def conninfo(server: Server, tmp_path: Path) -> Iterator[str]:
    """The conninfo of a PgBouncer with three connections to the server."""
    with bouncer(server, tmp_path / "bouncer", prepared=False) as it:
        yield it


@pytest.fixture
def schema(server: Server) -> Iterator[str]:
    """A schema with the table of an older application."""
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {NAME}; SET search_path TO {NAME}".encode())
        connection.execute(SEED)
    yield NAME
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {NAME} CASCADE".encode())


def test_gives_way(conninfo: str, server: Server, schema: str) -> None:
    """It gives way to a reader there too, and leaves no setting on the pooler's connections."""
    with (
        psycopg.connect(search(server.conninfo(), schema)) as reader,
        psycopg.connect(conninfo, autocommit=True) as pooled,
    ):
        reader.execute("SELECT FROM session")

        with pytest.raises(StoreBusyError, match=f"process {reader.info.backend_pid} "):
            migrate(conninfo, schema=schema, lock_timeout=0.1, tries=2)

        assert pooled.execute("SHOW lock_timeout").fetchall() == [("0",)]
        reader.rollback()
        assert migrate(conninfo, schema=schema) == [each.name for each in migrations()[1:]]


def test_server_down(conninfo: str, server: Server, schema: str) -> None:
    """A server that is down behind its pooler cannot be reached."""
    server.stop("fast")
    try:
        with pytest.raises(StoreUnavailableError, match="cannot be reached"):
            migrate(conninfo, schema=schema)
    finally:
        server.start()
