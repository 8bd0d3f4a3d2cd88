"""How many connections one process opens, as docs/operations/connections.md counts them."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from pgsession import PostgresStore

#: Connections by their application_name: the name itself, and with the purpose behind it.
COUNT = """
SELECT application_name, count(*)
FROM pg_stat_activity
WHERE application_name = %(name)s OR application_name = %(name)s || ' sweep'
GROUP BY application_name
"""

POOL_SIZE = 2

#: Connections for blocks of `exclusive`, and for each of two depths of blocks in blocks.
BLOCKS = 16


@pytest.fixture
def store(database_url: str, migrated_schema: str) -> PostgresStore:
    """A store that is closed, and does not sweep by itself."""
    url = make_conninfo(database_url, application_name=migrated_schema)
    return PostgresStore(url, schema=migrated_schema, pool_size=POOL_SIZE, sweep_every=None)


def count(connection: Connection, name: str) -> dict[str, int]:
    """Return the numbers of the connections that are open, by their purpose."""
    rows = connection.execute(COUNT, {"name": name}).fetchall()
    return {label.removeprefix(name).strip(): number for label, number in rows}


async def until(connection: Connection, name: str, wanted: dict[str, int]) -> None:
    """Wait for these numbers of connections."""
    async with asyncio.timeout(10):
        while count(connection, name) != wanted:  # noqa: ASYNC110 - elsewhere
            await asyncio.sleep(0.01)


async def test_opened(
    store: PostgresStore, schema_connection: Connection, migrated_schema: str
) -> None:
    """An open store has one connection, and a closed one none."""
    async with store:
        await store.check()
        assert count(schema_connection, migrated_schema) == {"": 1}

    await until(schema_connection, migrated_schema, {})  # the server's process ends a moment later


async def test_calls(
    store: PostgresStore, table: Connection, schema_connection: Connection, migrated_schema: str
) -> None:
    """Calls of all kinds at once use `pool_size` connections, and no more."""
    async with store:
        keys = [await store.generate() for _ in range(40)]
        empty = [await store.generate() for _ in range(40)]
        with table.transaction():  # so that all that can be opened is
            table.execute("LOCK TABLE session IN ACCESS EXCLUSIVE MODE")
            calls = [
                *(asyncio.create_task(store.get(key)) for key in keys),
                *(asyncio.create_task(store.set(key, {"a": 1})) for key in keys),
                *(asyncio.create_task(store.clear(key, only_if_empty=True)) for key in empty),
                *(asyncio.create_task(store.check()) for _ in keys),
                asyncio.create_task(store.login_states(keys)),
            ]
            await until(schema_connection, migrated_schema, {"": POOL_SIZE})
            await asyncio.sleep(0.1)
            assert count(schema_connection, migrated_schema) == {"": POOL_SIZE}
        await asyncio.gather(*calls)


async def test_blocks(
    store: PostgresStore, schema_connection: Connection, migrated_schema: str
) -> None:
    """Blocks of `exclusive` use 16 more at most, and blocks in them 16 more."""
    inside = asyncio.Semaphore(0)
    over = asyncio.Event()

    async def hold(depth: int) -> None:
        async with AsyncExitStack() as stack:
            for _ in range(depth):
                await stack.enter_async_context(store.exclusive(await store.generate()))
            inside.release()
            await over.wait()

    async with store:
        await store.check()
        blocks = [asyncio.create_task(hold(2)) for _ in range(BLOCKS)]
        for _ in blocks:
            await inside.acquire()
        opened = count(schema_connection, migrated_schema)[""]
        blocks += [asyncio.create_task(hold(1)) for _ in range(BLOCKS)]
        await asyncio.sleep(0.1)

        assert 2 * BLOCKS < opened <= 2 * BLOCKS + POOL_SIZE
        assert count(schema_connection, migrated_schema)[""] <= 2 * BLOCKS + POOL_SIZE
        over.set()
        await asyncio.gather(*blocks)


async def test_sweep(
    store: PostgresStore, table: Connection, schema_connection: Connection, migrated_schema: str
) -> None:
    """A sweep uses one more, while it runs."""
    async with store:
        with table.transaction():
            table.execute("LOCK TABLE session IN ACCESS EXCLUSIVE MODE")
            sweep = asyncio.create_task(store.sweep())
            await until(schema_connection, migrated_schema, {"": 1, "sweep": 1})
        await sweep

        await until(schema_connection, migrated_schema, {"": 1})
