"""No connection outlives its time, so all of them move to a server that takes over a name."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from pgsession import PostgresStore, SettingsError
from pgsession.postgres.connections.locks import lock_pool
from pgsession.postgres.connections.own_pool import OwnPool, PoolSettings

#: The server processes of an application.
PIDS = "SELECT pid FROM pg_stat_activity WHERE application_name = %s"


@pytest.fixture
def settings(database_url: str, migrated_schema: str) -> PoolSettings:
    conninfo = make_conninfo(database_url, application_name=migrated_schema)
    return PoolSettings(conninfo=conninfo, size=3, timeout=10, prepared=None, lifetime=0.4, least=3)


@asynccontextmanager
async def opened(settings: PoolSettings) -> AsyncIterator[OwnPool]:
    """Open a pool, and wait for its connections."""
    pool = OwnPool(settings)
    await pool.open(wait=True)
    try:
        yield pool
    finally:
        await pool.close()


async def all_replaced(table: Connection, name: str, before: set[int]) -> None:
    """Wait until none of the server processes is there that were before."""
    async with asyncio.timeout(10):
        while pids(table, name) & before:  # noqa: ASYNC110 - there is no event to await
            await asyncio.sleep(0.01)


def pids(table: Connection, name: str) -> set[int]:
    return {pid for (pid,) in table.execute(PIDS, (name,))}


async def test_idle(table: Connection, migrated_schema: str, settings: PoolSettings) -> None:
    """Idle connections are replaced, all of them, though nobody asks for one."""
    async with opened(settings):
        before = pids(table, migrated_schema)
        assert len(before) == 3

        await all_replaced(table, migrated_schema, before)


async def test_young(table: Connection, migrated_schema: str, settings: PoolSettings) -> None:
    """Looking at connections replaces none that is young, and keeps no caller from its own."""
    async with opened(replace(settings, lifetime=60)) as pool:
        before = pids(table, migrated_schema)

        for _ in range(5):
            used = [await pool.getconn() for _ in range(3)]
            pool._look()  # noqa: SLF001 - as its timer does, while none is idle
            for each in used:
                await pool.putconn(each)
            pool._look()  # noqa: SLF001 - as its timer does

        assert pids(table, migrated_schema) == before


async def test_locks(settings: PoolSettings) -> None:
    """The connections of locks have the same lifetime."""
    source = lock_pool(settings)._source  # noqa: SLF001 - what it is made of
    assert isinstance(source, PoolSettings)
    assert source.lifetime == settings.lifetime


@pytest.mark.parametrize("lifetime", [1, 20, 3600])
async def test_within(settings: PoolSettings, lifetime: float) -> None:
    """What may pass before a connection is replaced fits into its lifetime, also a short one."""
    pool = lock_pool(replace(settings, lifetime=lifetime))
    source, kept = pool._source, pool._kept  # noqa: SLF001 - how long it is kept ready
    assert isinstance(source, PoolSettings)
    own = OwnPool(source)

    assert own.max_lifetime + own._looking_every + kept < lifetime  # noqa: SLF001 - as above
    assert 0 < kept <= 1


async def test_under_load(database_url: str, migrated_schema: str, table: Connection) -> None:
    """Connections in use are replaced too, and no call fails meanwhile."""
    url = make_conninfo(database_url, application_name=migrated_schema)
    async with PostgresStore(url, schema=migrated_schema, connection_lifetime=1) as store:
        key = await store.generate({"n": 0})
        is_over = False

        async def call() -> int:
            calls = 0
            while not is_over:
                await store.set(key, {"n": calls})
                assert await store.get(key) is not None
                calls += 1
            return calls

        callers = [asyncio.create_task(call()) for _ in range(8)]
        await all_replaced(table, migrated_schema, pids(table, migrated_schema))
        is_over = True

        assert min(await asyncio.gather(*callers)) > 0


@pytest.mark.parametrize("lifetime", [0, 0.9, -1, True, None, float("nan")])
def test_wrong(lifetime: float) -> None:
    """A lifetime under a second is rejected by its name."""
    with pytest.raises(SettingsError, match="connection_lifetime"):
        PostgresStore(connection_lifetime=lifetime)
