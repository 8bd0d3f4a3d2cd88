"""Expired rows are removed, periodically or on demand, without disturbing other work."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from psycopg import Connection, sql
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool

from pgsession import PostgresStore, SchemaError, SettingsError, StoreUnavailableError, Swept
from pgsession.postgres.connections.dedicated import dedicated
from pgsession.postgres.schema import migrate
from pgsession.postgres.sweeping.statements import Expired
from pgsession.postgres.sweeping.sweep import sweep
from pgsession.postgres.table_name import TableName
from tests.programs import environment

TIMEOUT = 20

ROWS = """
INSERT INTO session (session_key, session_data, expire_date)
SELECT
    {prefix} || n,
    jsonb_build_object('text', repeat('x', 300)),
    now() + make_interval(secs => {seconds})
FROM generate_series(1, {rows}) AS n
"""

Fill = Callable[..., None]


@pytest.fixture
def fill(table: Connection) -> Fill:
    """Return a function that inserts rows, expired by default; about twenty fill a page."""

    def make(rows: int, *, prefix: str = "expired ", seconds: float = -1) -> None:
        table.execute(
            sql.SQL(ROWS).format(
                prefix=sql.Literal(prefix), seconds=sql.Literal(seconds), rows=sql.Literal(rows)
            )
        )

    return make


def count(table: Connection) -> int:
    [(rows,)] = table.execute("SELECT count(*) FROM session").fetchall()
    return int(rows)


async def wait_until(table: Connection, question: str, *arguments: object) -> None:
    """Poll the server until the answer is true."""
    async with asyncio.timeout(TIMEOUT):
        while table.execute(question.encode(), arguments).fetchall() != [(True,)]:  # noqa: ASYNC110 - the server sends no event
            await asyncio.sleep(0.005)


async def wait_for_no_sweep(table: Connection, name: str) -> None:
    gone = "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = %s"
    await wait_until(table, gone, f"{name} sweep")


def idle(url: str, schema: str, **settings: Any) -> PostgresStore:
    """Return a store that sweeps on demand; its application name is the schema's name."""
    named = make_conninfo(url, application_name=schema)
    return PostgresStore(named, schema=schema, sweep_every=None, **settings)


async def test_sweep(
    database_url: str, migrated_schema: str, table: Connection, fill: Fill
) -> None:
    """A sweep removes expired rows, keeps the others, and returns its counts."""
    fill(3000)
    fill(50, prefix="living ", seconds=60)
    store = idle(database_url, migrated_schema)

    swept = await store.sweep()

    assert (swept.rows, swept.is_whole, swept.pages) == (3000, True, swept.total)
    assert swept.pages > 100
    assert swept.seconds > 0
    assert count(table) == 50
    assert (await store.sweep()).rows == 0


async def test_empty(database_url: str, migrated_schema: str) -> None:
    """Sweeping a table that never held a row looks at no pages."""
    swept = await idle(database_url, migrated_schema).sweep()

    assert (swept.rows, swept.pages, swept.total, swept.is_whole) == (0, 0, 0, True)


async def test_by_itself(
    database_url: str, migrated_schema: str, table: Connection, fill: Fill
) -> None:
    """An open store removes expired rows periodically."""
    fill(10)

    async with PostgresStore(database_url, schema=migrated_schema, sweep_every=0.01):
        await wait_until(table, "SELECT count(*) = 0 FROM session")


async def test_by_itself_later(
    database_url: str, migrated_schema: str, table: Connection, fill: Fill
) -> None:
    """A store that opens on first use, through a caller's pool, removes expired rows too."""
    fill(10)
    async with AsyncConnectionPool(database_url, min_size=1, open=False) as pool:
        store = PostgresStore(pool, schema=migrated_schema, sweep_every=0.01)

        await store.get("unknown")

        await wait_until(table, "SELECT count(*) = 0 FROM session")
        await store.close()


async def test_not_at_once(database_url: str, migrated_schema: str, table: Connection) -> None:
    """A newly opened store waits before its first sweep: other stores may open with it."""
    async with PostgresStore(database_url, schema=migrated_schema) as store:
        await store.generate(period=-1)

        assert count(table) == 1


def test_wrong_period() -> None:
    """A period of zero between sweeps is rejected."""
    with pytest.raises(SettingsError, match="sweep_every"):
        PostgresStore(sweep_every=0)


@pytest.mark.parametrize("has_index", [False, True], ids=["no index", "index on the expiry"])
async def test_plan(migrated_schema: str, table: Connection, fill: Fill, has_index: bool) -> None:
    """Each batch scans only its own pages, whatever the planner's settings and indexes."""
    fill(2000)
    if has_index:
        table.execute("CREATE INDEX ON session (expire_date)")
        table.execute("ANALYZE session")
    table.execute("SET enable_tidscan = off")
    turn, statement = Expired(TableName(migrated_schema)).removal(3, 9)

    with table.transaction():
        table.execute(turn)
        explained = table.execute(sql.SQL("EXPLAIN (FORMAT JSON) ") + statement).fetchall()

    plan = json.dumps(explained[0][0])
    assert "Tid Range Scan" in plan
    assert "Seq Scan" not in plan
    assert "Index" not in plan


async def test_batches(database_url: str, migrated_schema: str, fill: Fill) -> None:
    """No batch looks at more than 128 pages, and no page is looked at twice."""
    fill(20_000)
    told = [Swept()]

    await idle(database_url, migrated_schema).sweep(progress=told.append)

    steps = [after.pages - before.pages for before, after in pairwise(told)]
    assert max(steps) <= 128
    assert sum(steps) == told[-1].total
    assert [swept.rows for swept in told] == sorted(swept.rows for swept in told)


@pytest.mark.parametrize("isolation", ["read committed", "serializable"])
async def test_touched_meanwhile(
    database_url: str, migrated_schema: str, table: Connection, fill: Fill, isolation: str
) -> None:
    """A row whose expiry is extended while a sweep waits to remove it is kept."""
    fill(100)
    options = f"-c default_transaction_isolation={isolation.replace(' ', chr(92) + ' ')}"
    url = make_conninfo(database_url, application_name=migrated_schema, options=options)
    expired = Expired(TableName(migrated_schema), lock_timeout=TIMEOUT)
    waits = """
        SELECT coalesce(bool_or(wait_event_type = 'Lock'), false)
        FROM pg_stat_activity
        WHERE application_name = %s
    """

    async with dedicated(url, purpose="sweep", timeout=TIMEOUT) as connection:
        with psycopg.connect(database_url, options=f"-csearch_path={migrated_schema}") as toucher:
            toucher.execute(
                "UPDATE session SET expire_date = now() + interval '1 hour' "
                "WHERE session_key = 'expired 50'"
            )
            sweeping = asyncio.create_task(sweep(connection, expired))
            await wait_until(table, waits, f"{migrated_schema} sweep")
            toucher.commit()
            swept = await sweeping

    assert swept.rows == 99
    assert table.execute("SELECT session_key FROM session").fetchall() == [("expired 50",)]


async def test_held_row(
    database_url: str, migrated_schema: str, table: Connection, fill: Fill
) -> None:
    """A sweep skips the batch of a row that is locked for long, and removes the others."""
    fill(3000)

    with psycopg.connect(database_url, options=f"-csearch_path={migrated_schema}") as holder:
        holder.execute("SELECT FROM session WHERE session_key = 'expired 1' FOR UPDATE")
        swept = await idle(database_url, migrated_schema).sweep()

    assert swept.is_whole
    assert 0 < count(table) == 3000 - swept.rows < 1500
    await idle(database_url, migrated_schema).sweep()
    assert count(table) == 0


async def test_one_at_a_time(
    database_url: str, migrated_schema: str, table: Connection, fill: Fill
) -> None:
    """While one worker sweeps, another removes no rows and reports that its sweep is not whole."""
    fill(10)
    turn, _ = Expired(TableName(migrated_schema)).removal(0, 1)

    with table.transaction():
        table.execute(turn)
        swept = await idle(database_url, migrated_schema).sweep()

    assert (swept.rows, swept.is_whole) == (0, False)
    assert count(table) == 10


async def test_schemas_apart(
    database_url: str, migrated_schema: str, table: Connection, fill: Fill
) -> None:
    """Tables in different schemas can be swept at the same time."""
    fill(10)
    other = f"{migrated_schema}_other"
    migrate(database_url, schema=other)
    turn, _ = Expired(TableName(other)).removal(0, 1)

    with table.transaction():
        table.execute(turn)
        swept = await idle(database_url, migrated_schema).sweep()
    table.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(other)))

    assert swept.rows == 10


def test_processes(database_url: str, migrated_schema: str, table: Connection, fill: Fill) -> None:
    """Processes that sweep at the same time remove all rows, each row once."""
    fill(40_000)
    variables = {"SESSION_DATABASE_URL": database_url, "SESSION_SCHEMA": migrated_schema}
    command = [sys.executable, "-m", "pgsession", "sweep"]

    sweeps = [
        subprocess.Popen(command, env=environment(variables), stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [process.communicate(timeout=60)[0] for process in sweeps]

    assert [process.returncode for process in sweeps] == [0, 0, 0]
    assert sum(int(text.split()[1]) for text in said) == 40_000
    assert any("Another sweep" not in text for text in said)
    assert count(table) == 0


async def test_close(
    database_url: str, migrated_schema: str, table: Connection, fill: Fill
) -> None:
    """A store that is closed during a sweep leaves no task and no connection behind."""
    fill(3000)
    before = asyncio.all_tasks()
    url = make_conninfo(database_url, application_name=migrated_schema)
    store = PostgresStore(url, schema=migrated_schema, sweep_every=0.001)
    sweeps = "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = %s"

    await store.open()
    await wait_until(table, sweeps, f"{migrated_schema} sweep")
    async with asyncio.timeout(TIMEOUT):
        await store.close()

    assert asyncio.all_tasks() == before
    await wait_for_no_sweep(table, migrated_schema)


async def test_close_pool(database_url: str, migrated_schema: str, table: Connection) -> None:
    """A store that closes a caller's pool also ends its sweeping, and logs nothing."""
    before = asyncio.all_tasks()
    pool = AsyncConnectionPool(database_url, min_size=1, open=False)

    async with PostgresStore(pool, schema=migrated_schema, sweep_every=0.001) as store:
        await store.generate(period=-1)
        await wait_until(table, "SELECT count(*) = 0 FROM session")

    assert pool.closed
    assert asyncio.all_tasks() == before


async def test_cancelled(
    database_url: str, migrated_schema: str, table: Connection, fill: Fill
) -> None:
    """A cancelled sweep leaves no connection open, and the rows that it removed stay removed."""
    fill(3000)
    sweeping = asyncio.create_task(
        idle(database_url, migrated_schema).sweep(progress=lambda _: sweeping.cancel())
    )

    with pytest.raises(asyncio.CancelledError):
        await sweeping

    assert 0 < count(table) < 3000
    await wait_for_no_sweep(table, migrated_schema)


async def test_ended_connection(
    database_url: str, migrated_schema: str, table: Connection, fill: Fill
) -> None:
    """A sweep uses one connection; if the server ends it, the next sweep removes the remaining
    rows.
    """
    fill(3000)
    store = idle(database_url, migrated_schema)
    query = """
        SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s
    """
    ended = []

    def end(_: Swept) -> None:
        ended.extend(table.execute(query, (f"{migrated_schema} sweep",)).fetchall())

    with pytest.raises(StoreUnavailableError):
        await store.sweep(progress=end)

    assert ended == [(True,)]
    assert (await store.sweep()).rows > 0
    assert count(table) == 0


async def test_survives(
    migrated_schema: str,
    table: Connection,
    fill: Fill,
    point: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A store continues sweeping when the server is reachable again, and logs the outage once."""
    point(there=True)
    async with PostgresStore(service="movable", schema=migrated_schema, sweep_every=0.01):
        point(there=False)
        async with asyncio.timeout(TIMEOUT):
            while "could not be removed" not in caplog.text:  # noqa: ASYNC110 - a log has no event
                await asyncio.sleep(0.005)
        fill(10)
        point(there=True)
        await wait_until(table, "SELECT count(*) = 0 FROM session")

    assert caplog.text.count("could not be removed") == 1


async def test_read_only(database_url: str, migrated_schema: str, fill: Fill) -> None:
    """On a read-only server, such as a standby, a sweep raises `StoreUnavailableError`."""
    fill(1)
    url = make_conninfo(database_url, options="-c default_transaction_read_only=on")

    with pytest.raises(StoreUnavailableError, match="read-only"):
        await idle(url, migrated_schema).sweep()


async def test_no_table(database_url: str, schema: str) -> None:
    """The error for a missing table names the remedy."""
    with pytest.raises(SchemaError, match="pgsession migrate"):
        await idle(database_url, schema).sweep()


async def test_unreachable(closed_port: int) -> None:
    """The error for an unreachable server gives the reason, and does not show the password."""
    store = PostgresStore(f"postgresql://ann:s3cret@127.0.0.1:{closed_port}/app")

    with pytest.raises(StoreUnavailableError, match="refused") as caught:
        await store.sweep()

    assert "s3cret" not in str(caught.value)


async def test_no_time(database_url: str, migrated_schema: str, fill: Fill) -> None:
    """A batch that takes longer than the store's timeout fails."""
    fill(1)
    url = make_conninfo(database_url, application_name=migrated_schema)
    expired = Expired(TableName(migrated_schema), lock_timeout=TIMEOUT)

    async with dedicated(url, purpose="sweep", timeout=0.2) as connection:
        with psycopg.connect(database_url, options=f"-csearch_path={migrated_schema}") as holder:
            holder.execute("SELECT FROM session FOR UPDATE")
            with pytest.raises(StoreUnavailableError, match="in time"):
                await sweep(connection, expired)


@pytest.fixture
def partitioned(table: Connection) -> None:
    """The session table in two partitions, so that it has no pages of its own."""
    table.execute("ALTER TABLE session RENAME TO plain")
    table.execute(
        "CREATE TABLE session (LIKE plain INCLUDING DEFAULTS, PRIMARY KEY (session_key)) "
        "PARTITION BY HASH (session_key)"
    )
    for part in range(2):
        table.execute(
            sql.SQL(
                "CREATE TABLE {} PARTITION OF session FOR VALUES WITH (MODULUS 2, REMAINDER {})"
            ).format(sql.Identifier(f"part_{part}"), sql.Literal(part))
        )


@pytest.mark.usefixtures("partitioned")
async def test_partitioned(
    database_url: str, migrated_schema: str, table: Connection, fill: Fill
) -> None:
    """A table without pages of its own is swept by key, a thousand rows at a time."""
    fill(2500)
    fill(50, prefix="living ", seconds=60)
    told: list[Swept] = []

    swept = await idle(database_url, migrated_schema).sweep(progress=told.append)

    assert [each.rows for each in told] == [1000, 2000, 2500]
    assert (swept.rows, swept.pages, swept.is_whole) == (2500, 0, True)
    assert count(table) == 50


@pytest.mark.usefixtures("partitioned")
async def test_partitioned_held(
    database_url: str, migrated_schema: str, table: Connection, fill: Fill
) -> None:
    """Expired rows that a transaction holds keep none of the others from being swept by key."""
    fill(60)
    options = f"-csearch_path={migrated_schema}"
    with psycopg.connect(database_url, options=options) as holder:
        holder.execute("SELECT FROM session LIMIT 2 FOR UPDATE")
        swept = await idle(database_url, migrated_schema).sweep()

    assert swept.rows == 58
    assert count(table) == 2


@pytest.mark.usefixtures("partitioned")
async def test_partitioned_one_at_a_time(
    database_url: str, migrated_schema: str, table: Connection, fill: Fill
) -> None:
    """A table swept by key is swept by one worker at a time as well."""
    fill(10)
    turn, _ = Expired(TableName(migrated_schema)).removal(0, 1)

    with table.transaction():
        table.execute(turn)
        swept = await idle(database_url, migrated_schema).sweep()

    assert (swept.rows, swept.is_whole) == (0, False)


@pytest.fixture
def citus(database_url: str, schema: str) -> Iterator[str]:
    """The conninfo of a database whose catalog has a table of Citus."""
    name = sql.Identifier(schema)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
    url = make_conninfo(database_url, dbname=schema)
    migrate(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET allow_system_table_mods = on")
        connection.execute("CREATE TABLE pg_catalog.pg_dist_partition (logicalrelid regclass)")
    yield url
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.mark.parametrize("is_distributed", [False, True], ids=["local", "distributed"])
async def test_distributed(citus: str, is_distributed: bool) -> None:
    """A table that Citus has distributed is swept by key, not by the pages on this node."""
    async with PostgresStore(citus, sweep_every=None) as store:
        for _ in range(10):
            await store.generate(period=-1)
        if is_distributed:
            with psycopg.connect(citus, autocommit=True) as connection:
                connection.execute("INSERT INTO pg_dist_partition VALUES ('session')")

        swept = await store.sweep()

    assert swept.rows == 10
    assert (swept.total == 0) is is_distributed
