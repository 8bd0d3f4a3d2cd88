"""Connections that the server ends, and a server that crashes."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import cycle
from pathlib import Path

import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from pgsession import PostgresStore, StoreUnavailableError
from pgsession.core.keys import digest
from pgsession.postgres.schema import migrate
from tests.faults.conftest import Report
from tests.faults.servers import Server, new_server
from tests.faults.site import HEALING, Writers, opened_site

LOCK = "SELECT FROM session WHERE session_key = %s FOR UPDATE"

WAITING = """
SELECT count(*)
FROM pg_stat_activity
WHERE application_name = %s AND wait_event_type = 'Lock'
"""


async def waiting(server: Server, name: str) -> None:
    """Wait until a statement with this application_name waits for a lock."""
    async with asyncio.timeout(20):
        while server.execute(WAITING, name) != [(1,)]:  # noqa: ASYNC110 - there is no event to await
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("path", ["/read", "/write"])
async def test_idle_connections_killed(server: Server, report: Report, path: str) -> None:
    """Connections that ended while idle make no request fail, neither reads nor writes."""
    async with opened_site(server.conninfo(application_name="idle"), report.seen) as site:
        key = await site.store.generate({})
        await asyncio.gather(*(site.get("/write", key, a=str(n)) for n in range(20)))
        server.kill_backends("idle")

        await asyncio.gather(*(site.get(path, key, b=str(n)) for n in range(20)))

    assert report.seen.refused == 0


async def test_idle_connections_killed_before_rare_calls(server: Server, report: Report) -> None:
    """Renewals, takes, locks and clears do not fail if connections ended while idle."""
    async with opened_site(server.conninfo(application_name="rare"), report.seen) as site:
        store = site.store
        key = await store.generate({"a": 1})

        server.kill_backends("rare")
        key = await store.renew(key)
        server.kill_backends("rare")
        assert await store.take(key, "a") == 1
        server.kill_backends("rare")
        async with store.exclusive(key) as held:
            await held.get(key)
        server.kill_backends("rare")
        assert await store.clear(key, only_if_empty=True)


async def test_idle_connections_of_a_callers_pool_killed(server: Server) -> None:
    """Connections of a caller's pool that ended while idle make no call fail."""
    conninfo = server.conninfo(application_name="theirs")
    async with AsyncConnectionPool(conninfo, min_size=4, max_size=4, open=False) as pool:
        await pool.wait()
        store = PostgresStore(pool)
        key = await store.generate({"a": 1})
        assert server.kill_backends("theirs") == 4

        assert await store.get(key) is not None
        await store.touch(key)


async def test_killed_reading(server: Server, report: Report) -> None:
    """A read whose connection is killed while it runs is retried, and succeeds."""
    async with opened_site(
        server.conninfo(application_name="reader"), report.seen, timeout=5
    ) as site:
        key = await site.store.generate({"a": "1"})
        async with await AsyncConnection.connect(server.conninfo()) as holder:
            await holder.execute("LOCK TABLE session IN ACCESS EXCLUSIVE MODE")
            read = asyncio.create_task(site.get("/read", key))
            await waiting(server, "reader")
            server.kill_backends("reader")

        assert (await read).json() == {"a": "1"}


async def test_killed_writing(server: Server, report: Report) -> None:
    """A write whose connection is killed gets 503, as it may be stored; no other request does."""
    async with opened_site(
        server.conninfo(application_name="writer"), report.seen, timeout=5
    ) as site:
        key = await site.store.generate({})
        async with await AsyncConnection.connect(server.conninfo()) as holder:
            await holder.execute(LOCK, (digest(key),))
            write = asyncio.create_task(site.get("/write", key, a="1"))
            await waiting(server, "writer")
            server.kill_backends("writer")
        assert (await write).status_code == 503

        report.healed = await site.heal(key)
        assert (await site.get("/read", key)).json() == {"healed": "yes"}
    assert report.seen.refused == 1


async def write_and_die(server: Server, store: PostgresStore, key: str) -> None:
    """Write under a session's lock, and lose the connection before the commit."""
    async with store.exclusive(key) as held:
        await held.set(key, {"a": 2})
        server.kill_backends("holder")


async def test_killed_holding_a_lock(server: Server) -> None:
    """A write under a lock is rolled back, with an error, if its connection is killed."""
    async with PostgresStore(server.conninfo(application_name="holder")) as store:
        key = await store.generate({"a": 1})

        with pytest.raises(StoreUnavailableError):
            await write_and_die(server, store, key)

        entry = await store.get(key)
        assert entry is not None
        assert entry.value == {"a": 1}


async def test_connections_killed_under_load(server: Server, report: Report) -> None:
    """No acknowledged change is lost while connections are killed."""
    async with opened_site(server.conninfo(application_name="load"), report.seen) as site:
        keys = [await site.store.generate({}) for _ in range(8)]
        async with Writers(site, keys) as writers:
            for _ in range(20):
                await writers.progress(10)
                await asyncio.to_thread(partial(server.kill_backends, "load"))
        report.healed = await site.heal(keys[0])

        found = await writers.found()
    report.remark = f"{writers.count} acknowledged, {found} found"
    assert found == writers.count
    assert report.healed < HEALING


async def test_crash_under_writers(tmp_path: Path, report: Report) -> None:
    """No acknowledged change is lost in a crash, and the site recovers without a restart."""
    with new_server(tmp_path / "server") as server:
        async with opened_site(server.conninfo(), report.seen) as site:
            keys = [await site.store.generate({}) for _ in range(8)]
            async with Writers(site, keys) as writers:
                for _ in range(3):
                    await writers.progress(300)
                    await asyncio.to_thread(server.stop)
                    await asyncio.to_thread(server.start)
                    report.healed = max(report.healed or 0, await site.heal(keys[0]))

            found = await writers.found()
    report.remark = f"{writers.count} acknowledged, {found} found"
    assert found == writers.count
    assert report.healed is not None
    assert report.healed < HEALING


async def test_long_outage(tmp_path: Path, report: Report) -> None:
    """After an outage of any length, the store reconnects within seconds."""
    with new_server(tmp_path / "server") as server:
        async with opened_site(server.conninfo(), report.seen) as site:
            key = await site.store.generate({})
            await asyncio.gather(*(site.get("/write", key, a=str(n)) for n in range(20)))
            await asyncio.to_thread(server.stop)
            for _ in range(8):
                await site.storm(key)
            assert (await site.get("/", None)).status_code == 200
            assert (await site.get("/static/x", key)).status_code == 200
            await asyncio.to_thread(server.start)

            report.healed = await site.heal(key)
    assert report.seen.longest < 2
    assert report.healed < HEALING


async def test_killed_server(tmp_path: Path) -> None:
    """After the server was killed under load, its dead connections keep no caller waiting."""
    killed, calls = asyncio.Event(), 0
    with new_server(tmp_path / "server") as server:
        migrate(server.conninfo())
        store = PostgresStore(server.conninfo(), timeout=60, sweep_every=None)

        async def call(key: str, *operations: Callable[[str], Awaitable[object]]) -> None:
            nonlocal calls
            for operation in cycle(operations):
                try:
                    await operation(key)
                except StoreUnavailableError:
                    if killed.is_set():
                        return
                    raise
                calls += 1

        keys = [await store.generate({}) for _ in range(40)]
        callers = [asyncio.create_task(call(key, store.get, store.touch)) for key in keys]
        while calls < 2_000:  # noqa: ASYNC110 - there is no event to await
            await asyncio.sleep(0)
        server.kill()
        killed.set()

        async with asyncio.timeout(20):
            await asyncio.gather(*callers)
        await store.close()
