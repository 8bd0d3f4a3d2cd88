"""PgBouncer in transaction mode between the store and its server."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pgsession import Changes, PostgresStore
from tests.faults.bouncer import PROGRAM, bouncer, version
from tests.faults.conftest import Report
from tests.faults.servers import Server
from tests.faults.site import HEALING, Writers, opened_site

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no pgbouncer here: install Debian's")

#: From this version on it can carry prepared statements.
CARRYING = (1, 22)


@pytest.fixture(params=[False, True], ids=["unprepared", "prepared"])
def prepared(request: pytest.FixtureRequest) -> bool:
    if request.param and version() < CARRYING:
        pytest.skip("this pgbouncer cannot carry prepared statements")
    return bool(request.param)


@pytest.fixture
def conninfo(server: Server, tmp_path: Path, prepared: bool) -> Iterator[str]:
    """How to reach the server through a PgBouncer with three connections."""
    with bouncer(server, tmp_path / "bouncer", prepared=prepared) as it:
        yield it


async def test_whole_life(conninfo: str, prepared: bool) -> None:
    """Whatever can be done to a session can be done through it."""
    async with PostgresStore(conninfo, prepared=prepared) as store:
        key = await store.generate({"a": 1}, period=60)
        await store.merge(key, Changes(set={"b": 2}))
        await store.touch(key, period=timedelta(hours=1))
        key = await store.renew(key, Changes(set={"c": 3}))
        assert await store.take(key, "c") == 3
        async with store.exclusive(key) as held:
            await held.merge(key, Changes(removed={"a"}))
        entry = await store.get(key)
        assert entry is not None
        assert entry.value == {"b": 2}
        await store.clear(key)
        assert await store.get(key) is None


async def test_many_clients(conninfo: str, prepared: bool) -> None:
    """Many processes' worth of clients share its connections, and none meets another's."""
    stores = [PostgresStore(conninfo, prepared=prepared) for _ in range(10)]
    key = await stores[0].generate({"count": 0})

    async def count(store: PostgresStore, number: int) -> None:
        for turn in range(20):
            await store.merge(key, Changes(set={f"{number}": turn}))
            await store.get(key)
            async with store.exclusive(key, timeout=20) as held:
                entry = await held.get(key)
                assert entry is not None
                assert entry.value is not None
                await held.merge(key, Changes(set={"count": entry.value["count"] + 1}))

    await asyncio.gather(*(count(store, number) for number, store in enumerate(stores)))

    entry = await stores[0].get(key)
    assert entry is not None
    assert entry.value == {"count": 200} | {f"{number}": 19 for number in range(10)}
    for store in stores:
        await store.close()


async def test_server_connections_killed(
    server: Server, conninfo: str, report: Report, prepared: bool
) -> None:
    """Nothing that was acknowledged is lost when the server ends connections behind it."""
    async with opened_site(conninfo, report.seen, timeout=2, prepared=prepared) as site:
        keys = [await site.store.generate({}) for _ in range(8)]
        async with Writers(site, keys) as writers:
            for _ in range(5):
                await writers.progress(20)
                await asyncio.to_thread(server.kill_backends, "pgsession")
        report.healed = await site.heal(keys[0])

        found = await writers.found()
    report.remark = f"{writers.count} acknowledged, {found} found"
    assert found == writers.count
    assert report.healed < HEALING
