"""What an operator does with a distributed table, while it serves."""

import asyncio
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest
from psycopg import Connection

from pgsession import PostgresStore, StoreUnavailableError
from pgsession.core.cookie import Cookie
from pgsession.core.keys import digest, new_key
from pgsession.postgres.schema import migrate, migrations
from pgsession.postgres.table_name import TableName
from tests.concurrency.visits import SECRET, application, visit
from tests.distributed.cluster import distribute
from tests.distributed.traffic import Client, Traffic

CLIENTS = 16

Record = Callable[[str, float], None]

OLD_ROW = """
INSERT INTO session (session_key, session_data, expire_date)
VALUES (%s, '{"user": "ann"}', now() + interval '1 hour')
"""

#: Where a session is: its shard, and the node that has it.
PLACE = """
SELECT shard.shardid, node.nodename, node.nodeport
FROM pg_dist_placement AS shard
JOIN pg_dist_node AS node USING (groupid)
WHERE shard.shardid = get_shard_id_for_distribution_column('session', %s::text)
"""

MOVE = """
SELECT citus_move_shard_placement(
    %(shard)s::int8,
    %(name)s::text,
    %(port)s::int4,
    other.nodename,
    other.nodeport,
    'force_logical'
)
FROM pg_dist_node AS other
WHERE other.shouldhaveshards
  AND (other.nodename, other.nodeport) <> (%(name)s::text, %(port)s::int4)
LIMIT 1
"""


@pytest.fixture
def record(record_property: Record) -> Record:
    """Prints a figure of a test, and puts it into the report."""

    def note(name: str, figure: float) -> None:
        record_property(name, figure)
        sys.stdout.write(f"{name}: {figure:.3f} s\n")

    return note


@pytest.fixture
def worker() -> Callable[[str], object]:
    """Stops or starts a worker."""
    command = os.environ.get("SESSION_CITUS_WORKER")
    if not command:
        pytest.skip("SESSION_CITUS_WORKER names no command that stops and starts a worker")
    return lambda action: subprocess.run([*shlex.split(command), action], check=True, timeout=60)


def place_of(table: Connection, client: Client) -> tuple[int, str, int]:
    [place] = table.execute(PLACE, (digest(client.key),)).fetchall()
    return place


async def test_distribute(database_url: str, schema: str, record: Record) -> None:
    """A table can be distributed while it serves: requests wait meanwhile, and none fails."""
    migrate(database_url, schema=schema)

    async with (
        PostgresStore(database_url, schema=schema) as store,
        Traffic.of(store, CLIENTS) as traffic,
    ):
        await traffic.progress()
        await asyncio.to_thread(distribute, database_url, schema)
        await traffic.progress()

    record("slowest", traffic.slowest)
    assert traffic.errors == []


async def test_held_row(
    database_url: str, migrated_schema: str, table: Connection, record: Record
) -> None:
    """A row that another transaction holds delays its own session, and no other."""
    async with (
        PostgresStore(database_url, schema=migrated_schema) as store,
        Traffic.of(store, CLIENTS) as traffic,
    ):
        held, *others = traffic.clients
        await traffic.progress()
        with table.transaction():
            table.execute(
                "SELECT FROM session WHERE session_key = %s FOR UPDATE", (digest(held.key),)
            )
            traffic.forget()
            stopped_at = held.tried
            await traffic.progress(others, steps=30)
            slowest = max(client.slowest for client in others)
            assert held.tried <= stopped_at + 1

    record("slowest", slowest)
    assert slowest < 1  # 0.1 s until the first batch gives up, on a machine that may be busy
    assert traffic.errors == []


async def test_move(
    database_url: str, migrated_schema: str, table: Connection, record: Record
) -> None:
    """A shard can be moved to another node while it serves: no request fails, and none is lost."""
    async with (
        PostgresStore(database_url, schema=migrated_schema) as store,
        Traffic.of(store, CLIENTS) as traffic,
    ):
        client = traffic.clients[0]
        await traffic.progress()
        shard, name, port = place_of(table, client)
        where = {"shard": shard, "name": name, "port": port}
        await asyncio.to_thread(table.execute, MOVE, where)
        await traffic.progress()

    record("slowest", traffic.slowest)
    assert place_of(table, client) != (shard, name, port)
    assert traffic.errors == []


async def status_of(store: PostgresStore, client: Client) -> int:
    """Return the status of a response to a request with the client's session."""
    cookie = Cookie(secret_keys=[SECRET]).write(client.key, timedelta(days=7))
    return (await visit(application(store), cookie.decode().partition(";")[0])).status


def is_down(name: str, port: int) -> bool:
    try:
        socket.create_connection((name, port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


async def test_worker_down(
    database_url: str,
    migrated_schema: str,
    table: Connection,
    record: Record,
    worker: Callable[[str], object],
) -> None:
    """While a worker is down, its sessions get 503, the others go on, and then all are healed."""
    async with (
        PostgresStore(database_url, schema=migrated_schema) as store,
        Traffic.of(store, CLIENTS) as traffic,
    ):
        places = {client.key: place_of(table, client)[1:] for client in traffic.clients}
        await traffic.progress()
        await asyncio.to_thread(worker, "stop")
        try:
            lost = [each for each in traffic.clients if is_down(*places[each.key])]
            others = [each for each in traffic.clients if each not in lost]
            assert lost
            assert others
            traffic.forget()
            await traffic.progress(others, steps=50)
            statuses = [await status_of(store, each) for each in (lost[0], others[0])]
            errors = [[*client.errors] for client in lost]
            slowest = max(client.slowest for client in others)
        finally:
            await asyncio.to_thread(worker, "start")
        # A batch that was being committed holds its rows until then. Citus does it each minute.
        table.execute("SELECT recover_prepared_transactions()")
        await traffic.progress()

    record("slowest", slowest)
    assert statuses == [503, 200]
    assert all(errors)
    assert all(isinstance(error, StoreUnavailableError) for error in traffic.errors)
    assert [client.errors for client in others] == [[]] * len(others)


async def test_migrate(database_url: str, schema: str) -> None:
    """A table that is distributed already can be migrated, and keeps its sessions."""
    key, place = new_key(), TableName(schema)
    first, second, *newer = migrations()
    options = f"-csearch_path={schema}"
    with psycopg.connect(database_url, options=options, autocommit=True) as connection:
        for migration in (first, second):
            connection.execute(migration.sql_for(place).encode())
        distribute(database_url, schema)
        connection.execute(OLD_ROW, (digest(key),))

    applied = migrate(database_url, schema=schema)

    assert applied == [migration.name for migration in newer]
    async with PostgresStore(database_url, schema=schema) as store:
        entry = await store.get(key)
        assert entry is not None
        assert entry.value == {"user": "ann"}
        renewed = await store.renew(key)
        assert await store.get(key) is None
        assert await store.get(renewed) is not None
