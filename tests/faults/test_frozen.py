"""A server that accepts connections and does not respond."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from pgsession import PostgresStore, StoreUnavailableError
from tests.faults.conftest import Report
from tests.faults.servers import Server, new_server
from tests.faults.site import HEALING, SLACK, opened_site, tasks_left


@pytest.mark.parametrize("timeout", [1.0, 5.0], ids=["1 s", "default"])
async def test_frozen(
    server: Server, report: Report, timeout: float, caplog: pytest.LogCaptureFixture
) -> None:
    """All requests to a frozen server are answered in time, whenever they arrive."""
    caplog.set_level(logging.INFO, "pgsession")
    async with opened_site(server.conninfo(), report.seen, timeout=timeout) as site:
        key = await site.store.generate({})
        await site.storm(key)
        assert report.seen.refused == 0
        with server.frozen():
            async with asyncio.TaskGroup() as group:
                for _ in range(4):  # the later ones find lanes that are blocked
                    group.create_task(site.storm(key))
                    await asyncio.sleep(timeout / 2.5)
                assert (await site.get("/", None)).status_code == 200
                assert (await site.get("/static/x", key)).status_code == 200
        assert report.seen.longest < timeout + SLACK
        report.healed = await site.heal(key)
    assert report.seen.refused >= 4 * 200
    assert report.healed < HEALING
    assert [record.levelname for record in caplog.records if record.levelno >= logging.ERROR] == [
        "ERROR"
    ]


@pytest.mark.parametrize("call", ["renew", "take", "clear", "exclusive", "open"])
async def test_frozen_rare_calls(server: Server, call: str) -> None:
    """Every call to a frozen server fails in time."""
    async with PostgresStore(server.conninfo(), timeout=0.5) as store:
        key = await store.generate({})
        other = PostgresStore(server.conninfo(), timeout=0.5)
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "renew": partial(store.renew, key),
            "take": partial(store.take, key, "a"),
            "clear": partial(store.clear, key),
            "exclusive": lambda: store.exclusive(key, timeout=0.5).__aenter__(),
            "open": other.open,
        }
        with server.frozen():
            began = time.monotonic()
            with pytest.raises(StoreUnavailableError):
                await calls[call]()
            assert time.monotonic() - began < 0.5 + SLACK
        await other.close()


async def freeze_and_read(server: Server, store: PostgresStore, key: str) -> None:
    """Acquire a session's lock, and read under it while the server is frozen."""
    async with store.exclusive(key) as held:
        with server.frozen():
            await held.get(key)


async def test_frozen_holding_a_lock(server: Server) -> None:
    """A statement under a lock and its commit fail in time if the server is frozen."""
    async with PostgresStore(server.conninfo(), timeout=0.5) as store:
        key = await store.generate({})
        began = time.monotonic()

        with pytest.raises(StoreUnavailableError):
            await freeze_and_read(server, store, key)

        assert time.monotonic() - began < 0.5 + 2 * SLACK
        assert await store.get(key) is not None


async def test_closed_while_frozen(tmp_path: Path) -> None:
    """A store can be closed while the server is frozen, and leaves no task behind."""
    with new_server(tmp_path / "server") as server:
        store = PostgresStore(server.conninfo(), timeout=0.5)
        key = await store.generate({})
        with server.frozen():
            reads = [store.get(key) for _ in range(20)]
            await asyncio.gather(*reads, return_exceptions=True)
            began = time.monotonic()
            await store.close()
            assert time.monotonic() - began < 6
        assert tasks_left() == []
