"""A server that responds with errors: read-only, locked, or out of connections."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool

from pgsession import PostgresStore, SchemaError, StoreUnavailableError
from tests.faults.conftest import Report
from tests.faults.servers import Server, free_port
from tests.faults.site import HEALING, SLACK, Site, opened_site

WAITING = """
SELECT count(*)
FROM pg_stat_activity
WHERE application_name = %s AND wait_event_type = 'Lock'
"""


@contextmanager
def read_only(server: Server) -> Iterator[None]:
    """Make the server read-only, as administrators do when a disk is almost full."""
    server.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    server.execute("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        server.execute("ALTER SYSTEM RESET ALL")
        server.execute("SELECT pg_reload_conf()")


async def test_read_only(server: Server, report: Report) -> None:
    """On a read-only server, reads succeed and changes get 503 at once."""
    async with opened_site(server.conninfo(), report.seen) as site:
        key = await site.store.generate({"a": "1"})
        with read_only(server):
            # The setting takes effect after a moment, and a value that is already
            # stored is no change.
            async with asyncio.timeout(HEALING):
                written = 2
                while (await site.get("/write", key, a=str(written))).status_code != 503:
                    written += 1
            for _ in range(10):
                assert (await site.get("/write", key, a="0")).status_code == 503
                assert (await site.get("/read", key)).status_code == 200
        report.healed = await site.heal(key)
    assert report.seen.longest < SLACK
    assert report.healed < HEALING


async def test_read_only_and_due(server: Server, report: Report) -> None:
    """On a read-only server, a read succeeds even if the expiry would have to be extended."""
    async with opened_site(server.conninfo(), report.seen) as site:
        key = await site.store.generate({"a": "1"}, period=3600)  # of a week: it is due
        with read_only(server):
            server.wait_until("SELECT current_setting('default_transaction_read_only') = 'on'")
            for _ in range(10):
                assert (await site.get("/read", key)).status_code == 200
        entry = await site.store.get(key)
        assert entry is not None
        assert entry.period <= timedelta(hours=1)
    assert report.seen.longest < SLACK


async def test_read_only_and_written(server: Server, report: Report) -> None:
    """Writes that a read-only server rejects do not replace connections without end."""
    async with opened_site(server.conninfo(), report.seen) as site:
        key = await site.store.generate({"a": "1"})
        with read_only(server):
            server.wait_until("SELECT current_setting('default_transaction_read_only') = 'on'")
            before, start, rejected = made(site.store), time.monotonic(), 0
            while rejected < 100:  # the setting takes effect after a moment
                answer = await site.get("/write", key, a=str(time.monotonic()))
                rejected += answer.status_code == 503
            seconds = time.monotonic() - start
        # In a second, at most as many as the pool has, and those that are made for them.
        assert made(site.store) - before <= (seconds + 2) * 10


def made(store: PostgresStore) -> int:
    """Return how many connections the store has made."""
    engine = store._engine  # noqa: SLF001 - psycopg's pool counts them
    assert engine is not None
    pool = engine.pool._pool  # noqa: SLF001 - as above
    assert pool is not None
    return pool.get_stats()["connections_num"]


async def test_read_only_at_start(server: Server) -> None:
    """A store does not open on a read-only server; it opens once the server accepts writes."""
    options = make_conninfo(server.conninfo(), options="-c default_transaction_read_only=on")
    with pytest.raises(StoreUnavailableError, match="default_transaction_read_only is on"):
        await PostgresStore(options).open()

    store = PostgresStore(server.conninfo())
    with read_only(server):
        server.wait_until("SELECT current_setting('default_transaction_read_only') = 'on'")
        with pytest.raises(StoreUnavailableError, match="takes no writes"):
            await store.generate()
    server.wait_until("SELECT current_setting('default_transaction_read_only') = 'off'")
    await store.generate()
    await store.close()


async def test_table_locked(server: Server, report: Report) -> None:
    """While the table is locked, requests get 503 in time, and no statement keeps waiting."""
    name = "locked"
    async with opened_site(server.conninfo(application_name=name), report.seen) as site:
        key = await site.store.generate({})
        with psycopg.connect(server.conninfo()) as holder:
            holder.execute("LOCK TABLE session IN ACCESS EXCLUSIVE MODE")
            await asyncio.gather(site.storm(key), site.storm(key))
            assert report.seen.refused == 400
            async with asyncio.timeout(SLACK):
                while server.execute(WAITING, name) != [(0,)]:  # noqa: ASYNC110 - there is no event to await
                    await asyncio.sleep(0.01)
        report.healed = await site.heal(key)
    assert report.seen.longest < 1 + SLACK
    assert report.healed < HEALING


async def test_server_full(server: Server, report: Report) -> None:
    """When the server has no free connection, requests get 503 in time."""
    # Two: the server may still be closing the first one when the pool connects.
    server.execute("CREATE ROLE few LOGIN CONNECTION LIMIT 2")
    server.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON session TO few")
    try:
        async with opened_site(server.conninfo(user="few"), report.seen) as site:
            key = await site.store.generate({})
            server.execute("ALTER ROLE few CONNECTION LIMIT 0")
            server.kill_backends("pgsession")
            await site.storm(key)
            server.execute("ALTER ROLE few CONNECTION LIMIT 10")
            report.healed = await site.heal(key)
    finally:
        server.execute("DROP OWNED BY few; DROP ROLE few")
    assert report.seen.refused >= 200
    assert report.seen.longest < 1 + SLACK
    assert report.healed < HEALING


async def test_pool_exhausted(server: Server, report: Report) -> None:
    """When a caller's pool has no free connection, requests get 503 in time."""
    async with AsyncConnectionPool(server.conninfo(), min_size=1, max_size=1, open=False) as pool:
        site = Site(PostgresStore(pool, timeout=1), report.seen)
        key = await site.store.generate({})
        async with pool.connection():
            await site.storm(key)
        report.healed = await site.heal(key)
    assert report.seen.refused == 200
    assert report.seen.longest < 1 + SLACK


async def test_nobody_there(report: Report, caplog: pytest.LogCaptureFixture) -> None:
    """When the server was never reachable, all requests get 503, with one log line for all."""
    caplog.set_level(logging.INFO, "pgsession")
    async with opened_site(f"host=127.0.0.1 port={free_port()}", report.seen) as site:
        await site.storm("k" * 40)
        assert (await site.get("/", None)).status_code == 200
    assert report.seen.refused == 200
    assert report.seen.longest < 1 + SLACK
    assert [record.name for record in caplog.records] == ["pgsession"]


@pytest.mark.parametrize(
    ("statement", "remedy"),
    [
        ("REVOKE INSERT, DELETE ON session FROM clerk", "GRANT INSERT, DELETE ON session"),
        ("REVOKE USAGE ON SCHEMA public FROM public", "USAGE on the schema|no table"),
    ],
    ids=["table", "schema"],
)
async def test_missing_privilege(server: Server, statement: str, remedy: str) -> None:
    """When the store opens, the error for missing privileges names them."""
    server.execute("CREATE ROLE clerk LOGIN")
    server.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON session TO clerk")
    server.execute(statement)
    try:
        with pytest.raises(SchemaError, match=remedy):
            await PostgresStore(server.conninfo(user="clerk")).open()
    finally:
        server.execute("GRANT USAGE ON SCHEMA public TO public")
        server.execute("DROP OWNED BY clerk; DROP ROLE clerk")
