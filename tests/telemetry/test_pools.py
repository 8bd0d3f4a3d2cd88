"""What is told of the connections of a pool, and of callers that get none."""

from collections.abc import AsyncIterator

import pytest
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from pgsession.core.observer import Place, Usage
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.connections.observed_pool import ObservedPool
from pgsession.postgres.connections.own_pool import PoolSettings
from pgsession.telemetry.choice import find_observer
from tests.telemetry.reported import Reported

TIMEOUT = 0.5


async def accept(_connection: Connection) -> None:
    """Accept any database."""


async def opened(
    reported: Reported, source: PoolSettings | AsyncConnectionPool
) -> AsyncIterator[ObservedPool]:
    observer = find_observer(reported.telemetry)
    assert observer is not None
    pool = ObservedPool(
        source,
        observer=observer.of_store(Place(None, None, None, "session")),
        check=accept,
        inspect=accept,
        on_open=lambda: None,
        timeout=TIMEOUT,
    )
    await pool.open()
    yield pool
    await pool.close()


@pytest.fixture
async def pool(reported: Reported, database_url: str) -> AsyncIterator[ObservedPool]:
    """A pool of two connections."""
    settings = PoolSettings(conninfo=database_url, size=2, timeout=TIMEOUT, prepared=True)
    async for pool in opened(reported, settings):
        yield pool


@pytest.fixture
async def theirs(database_url: str) -> AsyncIterator[AsyncConnectionPool]:
    """A caller's pool of one connection."""
    async with AsyncConnectionPool(
        database_url, open=False, min_size=1, max_size=1, timeout=TIMEOUT
    ) as theirs:
        await theirs.wait()
        yield theirs


@pytest.fixture
async def shared(reported: Reported, theirs: AsyncConnectionPool) -> AsyncIterator[ObservedPool]:
    """A pool that uses the caller's."""
    async for pool in opened(reported, theirs):
        yield pool


def refusals(reported: Reported) -> dict[str, float]:
    return reported.counts("db.client.connection.timeouts", "pgsession.reason")


async def test_in_use(pool: ObservedPool, reported: Reported) -> None:
    """A caller that finds all connections in use for the whole time is told apart."""
    connections = [await pool.acquire() for _ in range(2)]
    assert pool.usage() == Usage(0, 2, 2, 0)
    with pytest.raises(PoolTimeout):
        await pool.acquire()
    for each in connections:
        pool.release(each)

    assert refusals(reported) == {"in_use": 1, "not_made": 0}
    assert pool.usage() == Usage(2, 0, 2, 0)


async def test_shared(
    theirs: AsyncConnectionPool, shared: ObservedPool, reported: Reported
) -> None:
    """In a pool of the application, connections that others use are in use."""
    async with theirs.connection():
        with pytest.raises(PoolTimeout):
            await shared.acquire()

    assert refusals(reported) == {"in_use": 1, "not_made": 0}
