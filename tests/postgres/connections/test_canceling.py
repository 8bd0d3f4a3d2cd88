"""A statement that takes too long is cancelled by the server, and no answer is lost."""

from collections.abc import AsyncIterator

import pytest
from psycopg import AsyncConnection
from psycopg.errors import LockNotAvailable, QueryCanceled

from pgsession.postgres.connections.canceling import canceling_after

#: It goes on after a cancellation, as one does that is about to commit.
STUBBORN = """
DO $$ BEGIN
    PERFORM pg_sleep(20);
EXCEPTION WHEN query_canceled THEN
    NULL;
END $$
"""


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[AsyncConnection]:
    """A connection in autocommit."""
    async with await AsyncConnection.connect(database_url, autocommit=True) as connection:
        yield connection


async def test_late(connection: AsyncConnection) -> None:
    """A statement that takes longer is cancelled, and the connection is good for the next one."""
    with pytest.raises(LockNotAvailable):
        async with canceling_after(connection, 0.05):
            await connection.execute("SELECT pg_sleep(20)")

    assert await (await connection.execute("SELECT 1")).fetchone() == (1,)


async def test_in_time(connection: AsyncConnection) -> None:
    """A statement in time is not cancelled, nor is a later one."""
    async with canceling_after(connection, 0.05):
        await connection.execute("SELECT 1")

    await connection.execute("SELECT pg_sleep(0.1)")


async def test_done_nevertheless(connection: AsyncConnection) -> None:
    """A statement that the server could not cancel any more returns its answer."""
    async with canceling_after(connection, 0.05):
        cursor = await connection.execute(STUBBORN)

    assert cursor.statusmessage == "DO"


async def test_canceled_by_others(connection: AsyncConnection) -> None:
    """A statement that the server cancels by itself raises the server's error."""
    await connection.execute("SET statement_timeout = '50ms'")

    with pytest.raises(QueryCanceled):
        async with canceling_after(connection, 20):
            await connection.execute("SELECT pg_sleep(20)")
