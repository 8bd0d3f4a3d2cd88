"""Sessions in dumps, and on their way to another server by logical replication."""

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pgsession import Changes, PostgresStore
from pgsession.core.login import Login
from pgsession.postgres import embedded
from pgsession.postgres.schema import migrate
from tests.faults.servers import Server
from tests.programs import pgsession

OPTIONS = """
SELECT c.reloptions, t.reloptions
FROM pg_class AS c
JOIN pg_class AS t ON t.oid = c.reltoastrelid
WHERE c.oid = 'session'::regclass
"""

#: A subscription within one server needs a slot that was made before.
SLOT = "SELECT pg_create_logical_replication_slot('moved', 'pgoutput')"

SUBSCRIBE = """
CREATE SUBSCRIPTION moved CONNECTION '{}' PUBLICATION moved WITH (create_slot = false)
"""

IN_SYNC = "SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel"

CAUGHT_UP = """
SELECT confirmed_flush_lsn >= '{}' FROM pg_replication_slots WHERE slot_name = 'moved'
"""


@contextmanager
def database(server: Server) -> Iterator[Server]:
    """Yield a database of its own, without a table: other tests alter those of the server."""
    it = Server(server.folder, server.port, dbname=f"other_{secrets.token_hex(4)}")
    server.execute(f"CREATE DATABASE {it.dbname}")
    yield it
    server.execute(f"DROP DATABASE {it.dbname} WITH (FORCE)")


@pytest.fixture
def first(server: Server) -> Iterator[Server]:
    """The database that is dumped."""
    with database(server) as it:
        migrate(it.conninfo())
        yield it


@pytest.fixture
def other(server: Server) -> Iterator[Server]:
    """Another database of the server, without a table."""
    with database(server) as it:
        yield it


def run(program: str, *arguments: str | Path) -> None:
    """Run a program of PostgreSQL as a client."""
    subprocess.run([embedded._binaries() / program, *arguments], check=True)  # noqa: SLF001


def check(server: Server) -> None:
    """Assert that `pgsession check` finds nothing wrong."""
    variables = {"SESSION_DATABASE_URL": server.conninfo(), "SESSION_SECRET_KEY": "s" * 32}
    done = pgsession("check", **variables)
    assert done.returncode == 0, done.stdout


async def test_whole(first: Server, other: Server, tmp_path: Path) -> None:
    """A restored table is as the dumped one; what was ended since lives again, until deleted."""
    async with PostgresStore(first.conninfo()) as store:
        kept, ended = [await store.generate({"n": 1}) for _ in range(2)]
        run("pg_dump", "-Fc", "-f", tmp_path / "dump", first.conninfo())
        await store.clear(ended)

    run("pg_restore", "-d", other.conninfo(), tmp_path / "dump")

    check(other)
    assert other.execute(OPTIONS) == first.execute(OPTIONS)
    async with PostgresStore(other.conninfo()) as store:
        assert await store.get(kept) is not None
        assert await store.get(ended) is not None
        other.execute("DELETE FROM session")
        assert await store.get(kept) is None


async def test_without_rows(first: Server, other: Server, tmp_path: Path) -> None:
    """A dump without the sessions gives a table that can be used at once."""
    async with PostgresStore(first.conninfo()) as store:
        await store.generate({"n": 1})
    options = ("--exclude-table-data=*.session", "-f", tmp_path / "dump.sql")
    run("pg_dump", *options, first.conninfo())

    run("psql", "-qX", "-v", "ON_ERROR_STOP=1", "-f", tmp_path / "dump.sql", other.conninfo())

    check(other)
    assert other.execute("SELECT count(*) FROM session") == [(0,)]
    assert other.execute(OPTIONS) == first.execute(OPTIONS)


async def test_replicated(first: Server, other: Server) -> None:
    """Logical replication takes sessions along, with their renewals, sign-ins and ends."""
    migrate(other.conninfo())
    first.execute("CREATE PUBLICATION moved FOR TABLE session")
    first.execute(SLOT)
    try:
        async with PostgresStore(first.conninfo()) as before:
            keys = [await before.generate({"n": 1}) for _ in range(3)]
            other.execute(SUBSCRIBE.format(first.conninfo()))
            other.wait_until(IN_SYNC)
            renewed = await before.renew(keys[0], Changes({"n": 2}))
            signed_in = await before.login(keys[1], Login("ann"), Changes())
            await before.clear(keys[2])
        [(position,)] = first.execute("SELECT pg_current_wal_lsn()::text")
        first.wait_until(CAUGHT_UP.format(position))
        other.execute("DROP SUBSCRIPTION moved")

        async with PostgresStore(other.conninfo()) as after:
            entry = await after.get(renewed)
            assert entry is not None
            assert entry.value == {"n": 2}
            assert await after.get(signed_in) is not None
            assert len(await after.devices("ann")) == 1
            assert [await after.get(key) for key in keys] == [None, None, None]
        check(other)
    finally:
        other.execute("DROP SUBSCRIPTION IF EXISTS moved")
        first.execute("DROP PUBLICATION moved")
        first.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
            "WHERE slot_name = 'moved'"
        )
