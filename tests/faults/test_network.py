"""A network that is slow, loses data, is half-open or cuts connections."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from pgsession import Changes, PostgresStore, StoreUnavailableError
from tests.faults.conftest import Report
from tests.faults.proxy import Mode, Proxy, proxied
from tests.faults.servers import Server
from tests.faults.site import HEALING, SLACK, Site, opened_site


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[Proxy]:
    """A proxy to the server that can inject faults."""
    async with proxied(server.port) as it:
        yield it


@pytest.fixture
async def site(server: Server, proxy: Proxy, report: Report) -> AsyncIterator[Site]:
    """A site that reaches its server only through the proxy."""
    async with opened_site(server.conninfo(port=proxy.port), report.seen) as it:
        yield it


async def test_slow(site: Site, proxy: Proxy, report: Report) -> None:
    """On a slow network no request fails: a few answers of the server serve them all."""
    key = await site.store.generate({})
    proxy.delay, before = 0.05, proxy.answers

    await site.storm(key)

    assert report.seen.refused == 0  # so each operation took less than the timeout, a second
    # 15 to 25 are seen, for connecting and for a few batches: not one for each request.
    assert proxy.answers - before <= 50


@pytest.mark.parametrize("mode", [Mode.HOLE, Mode.DEAF], ids=["black hole", "half-open"])
async def test_silent(site: Site, proxy: Proxy, report: Report, mode: Mode) -> None:
    """While the server's answers are lost, requests get 503 in time; later the site recovers."""
    key = await site.store.generate({})
    await site.storm(key)
    proxy.mode, before = mode, report.seen.refused
    for _ in range(2):
        await site.storm(key)
    assert report.seen.refused - before == 400
    assert report.seen.longest < 1 + SLACK

    proxy.mode = Mode.PASS

    report.healed = await site.heal(key)
    assert report.healed < HEALING


async def test_silent_once_connected(site: Site, proxy: Proxy, report: Report) -> None:
    """A new connection that gets no answer any more is given up, and others are made."""
    key = await site.store.generate({})
    proxy.answers_each = 2  # those of the handshake
    proxy.cut()
    for _ in range(2):
        await site.storm(key, requests=20)
    assert report.seen.longest < 1 + SLACK

    proxy.answers_each = None

    report.healed = await site.heal(key)
    assert report.healed < HEALING


async def test_dead_connections_live_network(site: Site, proxy: Proxy, report: Report) -> None:
    """Connections that died silently are all dropped at once, not one after the other."""
    store = site.store
    key, other = await store.generate({}), await store.generate({})
    async with store.exclusive(key), store.exclusive(other):
        await store.get(key)  # on the third connection
    proxy.bury()

    report.healed = await site.heal(key)

    assert report.seen.refused <= 2  # not three, one for each connection
    assert report.healed < HEALING


async def test_refusing_connections(site: Site, proxy: Proxy, report: Report) -> None:
    """While connections are cut and new ones rejected, all requests get 503 in time."""
    key = await site.store.generate({})
    await site.storm(key)
    proxy.mode = Mode.CUT
    proxy.cut()
    await site.storm(key)
    assert report.seen.refused == 200
    assert report.seen.longest < 1 + SLACK

    proxy.mode = Mode.PASS

    report.healed = await site.heal(key)
    assert report.healed < HEALING


async def test_cut_at_every_byte(server: Server, proxy: Proxy, report: Report) -> None:
    """Wherever an answer is cut off, reads succeed, and no change is stored in part."""
    calls = refused = 0
    async with PostgresStore(server.conninfo(port=proxy.port), pool_size=1) as store:
        key = await store.generate({"a": 0, "b": 0})
        for fuse in range(0, 240, 3):
            await store.get(key)  # on a working connection
            proxy.fuse = fuse
            calls += 1
            try:
                await store.merge(key, Changes(set={"a": fuse, "b": fuse}))
            except StoreUnavailableError:
                refused += 1
            entry = await store.get(key)
            proxy.fuse = None
            assert entry is not None
            assert entry.value is not None
            assert entry.value["a"] == entry.value["b"]
    report.remark = f"{calls} changes cut, {refused} refused"
    assert 0 < refused < calls


async def test_cut_generations(server: Server, proxy: Proxy, report: Report) -> None:
    """A new session whose answer is cut off is created once, though the call is retried."""
    async with PostgresStore(server.conninfo(port=proxy.port), pool_size=1) as store:
        keys = []
        for fuse in range(0, 60, 3):
            await store.get("unknown")
            proxy.fuse = fuse
            generating = asyncio.create_task(store.generate({"fuse": fuse}))
            await asyncio.sleep(0)
            keys.append(await generating)
            proxy.fuse = None
        for key in keys:
            assert await store.get(key) is not None
    report.remark = f"{len(keys)} generated"
