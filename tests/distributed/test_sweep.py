"""Expired rows are removed from all shards, and a sweep delays nobody."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from pgsession.postgres.connections.dedicated import dedicated
from pgsession.postgres.sweeping.statements import Expired
from pgsession.postgres.sweeping.sweep import sweep
from pgsession.postgres.table_name import TableName
from tests.postgres.sweeping.test_sweeping import (
    TIMEOUT,
    Fill,
    count,
    fill,
    idle,
    test_by_itself,
    test_one_at_a_time,
    test_processes,
    wait_until,
)

#: Tests that are collected here once more, and the fixture that they need.
__all__ = ["fill", "test_by_itself", "test_one_at_a_time", "test_processes"]

EXTENDED = """
UPDATE session SET expire_date = now() + interval '1 hour' WHERE session_key = 'expired 50'
"""

WAITS = """
SELECT EXISTS (
    SELECT FROM citus_lock_waits AS waits
    JOIN pg_stat_activity AS client ON client.pid = citus_pid_for_gpid(waits.waiting_gpid)
    WHERE client.application_name = %s
)
"""


@contextmanager
def extending(url: str, schema: str) -> Iterator[None]:
    """Extend the expiry of one row; commit at the end."""
    with psycopg.connect(url, options=f"-csearch_path={schema}") as connection:
        connection.execute(EXTENDED)
        yield


async def test_sweep(
    database_url: str, migrated_schema: str, table: Connection, fill: Fill
) -> None:
    """A sweep removes the expired rows of all shards, keeps the others, and returns its count."""
    fill(2500)
    fill(50, prefix="living ", seconds=60)

    swept = await idle(database_url, migrated_schema).sweep()

    assert (swept.rows, swept.is_whole, swept.total) == (2500, True, 0)
    assert count(table) == 50


async def test_touched_meanwhile(
    database_url: str, migrated_schema: str, table: Connection, fill: Fill
) -> None:
    """A row whose expiry is extended while a sweep waits to remove it is kept."""
    fill(100)
    expired = Expired(TableName(migrated_schema), lock_timeout=TIMEOUT)
    url = make_conninfo(database_url, application_name=migrated_schema)

    async with dedicated(url, purpose="sweep", timeout=TIMEOUT) as connection:
        with extending(database_url, migrated_schema):
            sweeping = asyncio.create_task(sweep(connection, expired))
            await wait_until(table, WAITS, f"{migrated_schema} sweep")
        swept = await sweeping

    assert swept.rows == 99
    assert table.execute("SELECT session_key FROM session").fetchall() == [("expired 50",)]


async def test_held_row(
    database_url: str, migrated_schema: str, table: Connection, fill: Fill
) -> None:
    """A sweep does not wait for a row that another transaction holds; a later sweep removes it.

    Citus lets no other statement with many keys run while the sweep waits.
    """
    fill(100)

    with extending(database_url, migrated_schema):
        async with asyncio.timeout(2):  # the statement of a sweep may take five seconds
            assert (await idle(database_url, migrated_schema).sweep()).rows == 0
    assert (await idle(database_url, migrated_schema).sweep()).rows == 99

    assert count(table) == 1
