"""What docs/operations/table-growth.md says of the table's size, in pages."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import Connection

from pgsession import Changes, PostgresStore
from tests.migrating import wait_until

Change = Callable[[], Awaitable[None]]

#: Snapshots of others, with which VACUUM and updates remove no row that was living then.
HELD = """
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_xmin IS NOT NULL
"""


def pages(table: Connection) -> int:
    """Return how many pages the file of the table has."""
    [(found,)] = table.execute("SELECT pg_relation_size('session') / 8192").fetchall()
    assert isinstance(found, int)
    return found


@contextmanager
def snapshot(url: str) -> Iterator[None]:
    """Hold a snapshot in a transaction that is left open."""
    with psycopg.connect(url) as other:
        other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT 1")
        yield


@pytest.fixture
async def change(postgres: PostgresStore, table: Connection) -> Change:
    """Changes each of 500 sessions four times, once nobody holds a snapshot any more."""
    wait_until(lambda: table.execute(HELD).rowcount == 0)
    keys = await asyncio.gather(*(postgres.generate({"pad": "x" * 100}) for _ in range(500)))

    async def change_all() -> None:
        for turn in range(4):
            await asyncio.gather(*(postgres.merge(key, Changes({"n": turn})) for key in keys))

    return change_all


async def test_growth(table: Connection, change: Change, database_url: str) -> None:
    """A snapshot makes the table grow; only VACUUM FULL gives the space back."""
    await change()
    table.execute("VACUUM session")
    usual = pages(table)
    await change()
    assert pages(table) == usual

    with snapshot(database_url):
        await change()
        await change()
        table.execute("VACUUM session")
    grown = pages(table)
    assert grown > 2 * usual

    table.execute("VACUUM session")
    await change()
    for command in ("VACUUM session", "VACUUM (TRUNCATE) session"):
        table.execute(command.encode())
        assert pages(table) == grown

    table.execute("VACUUM FULL session")
    assert pages(table) <= usual


async def test_nothing_left(table: Connection, change: Change) -> None:
    """VACUUM keeps the file also if no session is left, and VACUUM (TRUNCATE) empties it."""
    await change()
    full = pages(table)
    table.execute("DELETE FROM session")

    table.execute("VACUUM session")
    assert pages(table) == full

    table.execute("VACUUM (TRUNCATE) session")
    assert pages(table) == 0
