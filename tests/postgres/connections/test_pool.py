"""Connections are lent again without a visit to their pool, and return to it in time."""

import asyncio
from collections.abc import AsyncIterator, Callable

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool

from pgsession.postgres.connections.connection import Connection, OwnConnection, cursor_of
from pgsession.postgres.connections.lender import Lender

Pool = AsyncConnectionPool[OwnConnection]


@pytest.fixture
async def pool(database_url: str, migrated_schema: str) -> AsyncIterator[Pool]:
    """A pool of one connection, or two."""
    conninfo = make_conninfo(database_url, application_name=migrated_schema)
    async with AsyncConnectionPool(
        conninfo,
        connection_class=OwnConnection,
        open=False,
        min_size=1,
        max_size=1,
        kwargs={"autocommit": True},
    ) as pool:
        await pool.wait()
        yield pool


@pytest.fixture
async def lender(pool: Pool) -> AsyncIterator[Lender]:
    """What lends the pool's connections and keeps them at hand."""
    lender = Lender(pool, keeps=True)
    yield lender
    await lender.close()


def at_pool(pool: Pool) -> int:
    """Return how many connections lie in the pool."""
    return pool.get_stats()["pool_available"]


async def use(lender: Lender, *, living: bool = False) -> Connection:
    """Borrow a connection for one statement."""
    async with lender.lend(living=living) as connection:
        await connection.execute("SELECT 1")
    return connection


async def test_lent_again(lender: Lender, pool: Pool) -> None:
    """Of many uses one after another the pool sees the first."""
    first = await use(lender)
    pool.pop_stats()

    for _ in range(5):
        assert await use(lender) is first

    assert pool.pop_stats().get("requests_num", 0) == 0
    assert at_pool(pool) == 0


async def test_returns(lender: Lender, pool: Pool) -> None:
    """What nobody borrows lies in the pool again soon, without the cursor that it had."""
    connection = await use(lender)
    cursor_of(connection)

    async with asyncio.timeout(10):
        while not at_pool(pool):  # noqa: ASYNC110 - it can only be asked
            await asyncio.sleep(0.01)

    assert isinstance(connection, OwnConnection)
    assert connection.kept_cursor is None
    assert await use(lender) is connection


async def test_returns_under_load(lender: Lender, pool: Pool) -> None:
    """Borrowed all the time, a connection visits its pool now and then, which sees to its age."""
    await use(lender)
    pool.pop_stats()

    async with asyncio.timeout(10):
        while not pool.get_stats().get("requests_num"):
            await use(lender)


async def test_waiting_at_the_pool(lender: Lender, pool: Pool) -> None:
    """Who waits at the pool gets the connection that comes back."""
    async with lender.lend(living=False) as connection:
        other = asyncio.create_task(use(lender))
        while not pool.get_stats()["requests_waiting"]:  # noqa: ASYNC110 - it can only be asked
            await asyncio.sleep(0)

    assert not pool.get_stats().get("requests_waiting")
    assert await other is connection


@pytest.mark.parametrize("living", [False, True], ids=["any", "living"])
async def test_broken(lender: Lender, end_connections: Callable[[], None], *, living: bool) -> None:
    """A connection that broke is not lent again; one that the server ended is not lent at all."""
    first = await use(lender)
    end_connections()

    if not living:
        with pytest.raises(psycopg.OperationalError, match=r"terminating|closed"):
            await use(lender)

    assert await use(lender, living=True) is not first


async def test_drained(lender: Lender) -> None:
    """All connections are replaced: those at hand at once, those that are lent when they return."""
    first = await use(lender)
    await lender.drain()

    second = await use(lender)
    assert second is not first

    async with lender.lend(living=False) as third:
        await lender.drain()
    assert third is second
    assert await use(lender) is not third


async def test_closed(pool: Pool) -> None:
    """Nothing is at hand once it is closed, and nothing is kept from then on."""
    lender = Lender(pool, keeps=True)
    await use(lender)
    await lender.close()
    assert at_pool(pool) == 1

    await use(lender)
    assert at_pool(pool) == 1


async def test_closed_while_returning(pool: Pool) -> None:
    """Closing waits for what is on its way back."""
    lender = Lender(pool, keeps=True)
    await use(lender)
    lender._return()  # noqa: SLF001 - as its timer does

    await lender.close()

    assert at_pool(pool) == 1


async def test_cancelled_while_returning(lender: Lender, pool: Pool) -> None:
    """Who is cancelled while a connection returns to its pool does not take it along."""
    connection = await lender.take()
    lender._taken_at.clear()  # noqa: SLF001 - it has been out for long
    async with pool._lock:  # noqa: SLF001 - whatever else the pool is about
        user = asyncio.create_task(lender.give_back(connection))
        await asyncio.sleep(0)
        user.cancel()
        await asyncio.wait([user])

    assert user.cancelled()
    assert await use(lender) is connection


async def test_shared(pool: Pool) -> None:
    """Of a pool that others use too nothing is kept."""
    lender = Lender(pool, keeps=False)
    await use(lender)
    assert at_pool(pool) == 1


async def test_shared_cancelled_while_returning(pool: Pool) -> None:
    """Nor does who is cancelled take a connection from others, while it returns to their pool."""
    lender = Lender(pool, keeps=False)
    lent, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        async with lender.lend(living=False):
            lent.set()
            await ended.wait()

    user = asyncio.create_task(work())
    await lent.wait()
    async with asyncio.timeout(10), pool._lock:  # noqa: SLF001 - whatever else the pool is about
        ended.set()
        while not lender._tasks:  # noqa: ASYNC110, SLF001 - it can only be asked
            await asyncio.sleep(0)
        user.cancel()
        await asyncio.wait([user])
    await lender.close()

    assert user.cancelled()
    assert at_pool(pool) == 1


async def test_shared_living(pool: Pool, end_connections: Callable[[], None]) -> None:
    """Of a pool that others use too no connection is lent that the server has ended."""
    lender = Lender(pool, keeps=False)
    first = await use(lender)
    end_connections()

    assert await use(lender, living=True) is not first


async def test_shared_cursor(lender: Lender) -> None:
    """The statements of a connection of ours share a cursor; those of another's do not."""
    async with lender.lend(living=False) as connection:
        assert cursor_of(connection) is cursor_of(connection)
