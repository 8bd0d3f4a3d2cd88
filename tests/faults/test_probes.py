"""What probes are told while a database is away."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from pgsession import Liveness, PostgresStore, Readiness, SessionMiddleware
from tests.faults.proxy import Mode, proxied
from tests.faults.servers import Server
from tests.faults.site import HEALING, SECRET, SLACK, tasks_left

TIMEOUT = 1.0

Statuses = dict[str, int]


class Probed:
    """An application, as its probes see it."""

    def __init__(self, store: PostgresStore) -> None:
        routes = [
            Route("/ready", Readiness()),
            Route("/once", Readiness(once=True)),
            Route("/alive", Liveness()),
        ]
        middleware = [Middleware(SessionMiddleware, store=store, secret_key=SECRET)]
        transport = httpx.ASGITransport(Starlette(routes=routes, middleware=middleware))
        self._client = httpx.AsyncClient(transport=transport, base_url="https://testserver")

    async def statuses(self) -> Statuses:
        """Ask all endpoints at once. All answer in time; with `once` the store is asked twice."""
        paths = ("/ready", "/once", "/alive")
        began = time.monotonic()
        answers = await asyncio.gather(*map(self._client.get, paths))
        assert time.monotonic() - began < 2 * TIMEOUT + SLACK
        return {path: each.status_code for path, each in zip(paths, answers, strict=True)}

    async def until(self, wanted: Statuses) -> None:
        """Ask until the answers are these."""
        began = time.monotonic()
        while await self.statuses() != wanted:
            assert time.monotonic() - began < HEALING
            await asyncio.sleep(0.05)


UP = {"/ready": 200, "/once": 200, "/alive": 200}
AWAY = {"/ready": 503, "/once": 200, "/alive": 200}
NEVER_UP = {"/ready": 503, "/once": 503, "/alive": 200}


@asynccontextmanager
async def probed(conninfo: str) -> AsyncIterator[Probed]:
    """Probe an application whose store opens on first use; check that it leaves no task behind."""
    store = PostgresStore(conninfo, timeout=TIMEOUT)
    try:
        yield Probed(store)
    finally:
        await store.close()
    assert tasks_left() == []


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    """Crash a server, and start it again."""
    server.stop()
    try:
        yield
    finally:
        server.start()


@pytest.mark.parametrize("fault", ["crashed", "frozen"])
async def test_outage(server: Server, fault: str) -> None:
    """In an outage `Readiness` says so, the others do not, and it heals by itself."""
    async with probed(server.conninfo()) as probes:
        assert await probes.statuses() == UP
        with stopped(server) if fault == "crashed" else server.frozen():
            await probes.until(AWAY)

        await probes.until(UP)


@pytest.mark.parametrize("mode", [Mode.HOLE, Mode.CUT])
async def test_start_in_an_outage(server: Server, mode: Mode) -> None:
    """A process that starts in an outage is alive and not ready, until the database answers."""
    async with proxied(server.port) as proxy, probed(server.conninfo(port=proxy.port)) as probes:
        proxy.mode = mode
        await probes.until(NEVER_UP)

        proxy.mode = Mode.PASS

        await probes.until(UP)
