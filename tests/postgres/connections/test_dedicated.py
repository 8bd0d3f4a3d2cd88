"""A connection outside the pool is closed in any case."""

import asyncio

from psycopg import Connection
from psycopg.conninfo import make_conninfo

from pgsession.postgres.connections.connection import Connection as AnyConnection
from pgsession.postgres.connections.dedicated import dedicated
from tests.postgres.sweeping.test_sweeping import wait_until


async def test_cancelled_twice(database_url: str, migrated_schema: str, table: Connection) -> None:
    """A second cancellation, at any step of the rollback after the first, leaves none open."""
    url = make_conninfo(database_url, application_name=migrated_schema)
    for steps in range(6):
        await _cancel_twice(url, steps)
        gone = "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = %s"
        await wait_until(table, gone, f"{migrated_schema} test")


async def _cancel_twice(url: str, steps: int) -> None:
    is_there = asyncio.Event()

    async def hold_transaction() -> None:
        async def begin(connection: AnyConnection) -> None:
            await connection.execute("BEGIN")

        async with dedicated(url, purpose="test", timeout=20) as connection:
            await connection.run(begin)
            is_there.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hold_transaction())
    await is_there.wait()
    task.cancel()
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
