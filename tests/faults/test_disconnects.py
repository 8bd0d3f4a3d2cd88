"""Clients that disconnect at any moment keep no connection and leave no transaction open."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from psycopg_pool import AsyncConnectionPool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pgsession import PostgresStore, Session, SessionMiddleware
from tests.faults.conftest import Report
from tests.faults.servers import Server
from tests.faults.site import SECRET, cookie_of

#: Each request is cancelled this many seconds later than the previous one. The last
#: cancellations come after the request has ended.
STEP = 0.0001
STEPS = 100

BUSY = """
SELECT count(*)
FROM pg_stat_activity
WHERE application_name = 'disconnects' AND (state <> 'idle' OR xact_start IS NOT NULL)
"""

Pool = AsyncConnectionPool


@pytest.fixture
async def pool(server: Server) -> AsyncIterator[Pool]:
    conninfo = server.conninfo(application_name="disconnects")
    kwargs = {"autocommit": True}
    async with AsyncConnectionPool(
        conninfo, kwargs=kwargs, min_size=2, max_size=2, open=False
    ) as it:
        await it.wait()
        yield it


async def merge(session: Session) -> None:
    session["a"] = session.get("a", 0) + 1


async def login(session: Session) -> None:
    session["user"] = "ann"
    session.renew()


async def spend(session: Session) -> None:
    async with session.exclusive():
        session["credit"] = session.get("credit", 9) - 1


async def take(session: Session) -> None:
    await session.take("a")


async def logout(session: Session) -> None:
    session.clear()


ACTIONS = [merge, login, spend, take, logout]


def acting(action: object) -> ASGIApp:
    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        assert callable(action)
        await action(scope["session"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    return app


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.__name__)
async def test_cancelled(server: Server, pool: Pool, report: Report, action: object) -> None:
    """A request that is cancelled at any moment leaves the pool as it was."""
    store = PostgresStore(pool)
    app = SessionMiddleware(acting(action), store, SECRET)
    cancelled, taken = 0, 0.0
    for _ in range(3):  # the first one opens the store
        key, begin = await store.generate({"a": 1}), time.monotonic()
        await visit(app, key)
        taken = time.monotonic() - begin
    pause = max(STEP, 2 * taken / STEPS)  # the last moments are after the end, however slow this is
    for step in range(STEPS):
        key = await store.generate({"a": 1})
        request = asyncio.create_task(visit(app, key))
        until = time.monotonic() + step * pause
        await asyncio.sleep(0)
        while time.monotonic() < until:  # noqa: ASYNC110 - each turn of the loop is another moment
            await asyncio.sleep(0)
        cancelled += request.cancel()
        await asyncio.wait([request])

    await settled(server, pool)
    report.remark = f"{cancelled} cancelled, {STEPS - cancelled} done"
    assert 0 < cancelled < STEPS
    await store.close()


@pytest.mark.parametrize("after", ["start", "body"])
async def test_gone(server: Server, pool: Pool, after: str) -> None:
    """The changes of a client that disconnects before the response is sent are saved, once."""
    store = PostgresStore(pool)
    key = await store.generate({"a": 1})

    async def send(message: Message) -> None:
        if message["type"].endswith(after):
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await visit(SessionMiddleware(acting(merge), store, SECRET), key, send)

    entry = await store.get(key)
    assert entry is not None
    assert entry.value == {"a": 2}
    await settled(server, pool)
    await store.close()


async def visit(app: ASGIApp, key: str, send: Send | None = None) -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def ignore(_message: Message) -> None:
        await asyncio.sleep(0)

    headers = [(b"cookie", cookie_of(key).encode())]
    scope = {"type": "http", "method": "GET", "path": "/", "scheme": "https", "headers": headers}
    await app(scope, receive, send or ignore)


async def settled(server: Server, pool: Pool) -> None:
    """Wait until all connections are in the pool and idle."""
    async with asyncio.timeout(10):
        while pool.get_stats()["pool_available"] != 2:  # noqa: ASYNC110 - there is no event to await
            await asyncio.sleep(0.01)
        while server.execute(BUSY) != [(0,)]:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
