"""Clients that disconnect, and their requests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from psycopg import Connection
from psycopg_pool import AsyncConnectionPool
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pgsession import PostgresStore, SessionMiddleware
from tests.concurrency.witness import Witness
from tests.pages import count, value_of

START: Message = {"type": "http.response.start", "status": 200, "headers": []}

CookieOf = Callable[[str], str]


async def never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def ignore(_message: Message) -> None:
    pass


def scope_with(cookie: str) -> Scope:
    headers = [(b"cookie", cookie.encode())]
    return {"type": "http", "method": "GET", "path": "/", "scheme": "https", "headers": headers}


@pytest.fixture
async def pool(database_url: str, witness: Witness) -> AsyncIterator[AsyncConnectionPool[Any]]:
    """An open pool of two connections that the witness can see."""
    async with AsyncConnectionPool(
        database_url,
        kwargs={"autocommit": True, "application_name": witness.name},
        min_size=2,
        max_size=2,
        open=False,
    ) as pool:
        await pool.wait()
        yield pool


async def assert_full(pool: AsyncConnectionPool[Any]) -> None:
    """Check that both connections were returned and that both work."""
    async with asyncio.timeout(10), pool.connection() as one, pool.connection() as other:
        await one.execute("SELECT 1")
        await other.execute("SELECT 1")
    assert pool.get_stats()["pool_size"] == 2


def behind_base_middleware(site: ASGIApp) -> ASGIApp:
    return BaseHTTPMiddleware(site, dispatch=lambda request, call_next: call_next(request))


@pytest.mark.parametrize(
    "around",
    [
        pytest.param(lambda site: site, id="64-alone"),
        pytest.param(behind_base_middleware, id="66-behind-base-middleware"),
    ],
)
@pytest.mark.parametrize("late", [False, True], ids=["before-start", "mid-body"])
async def test_disconnect(
    *,
    pool: AsyncConnectionPool[Any],
    migrated_schema: str,
    secret_key: str,
    cookie_of: CookieOf,
    around: Callable[[ASGIApp], ASGIApp],
    late: bool,
) -> None:
    """A request that is cancelled keeps what was committed before, and holds no connection."""
    store = PostgresStore(pool, schema=migrated_schema)
    key = await store.generate({"user": "ann"})
    arrived = asyncio.Event()

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["session"]["n"] = 1
        if late:
            await send({**START})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            scope["session"]["late"] = 2
        arrived.set()
        await asyncio.Event().wait()

    async def serve() -> None:
        site = around(SessionMiddleware(app, store, secret_key))
        await site(scope_with(cookie_of(key)), never, ignore)

    request = asyncio.create_task(serve())
    await arrived.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request

    assert await value_of(store, key) == {"user": "ann", **({"n": 1} if late else {})}
    await assert_full(pool)


async def test_cancelled_while_saving(
    *,
    pool: AsyncConnectionPool[Any],
    witness: Witness,
    migrated_schema: str,
    secret_key: str,
    cookie_of: CookieOf,
) -> None:
    """65: A request cancelled while it saves raises CancelledError; all or nothing is saved."""
    store = PostgresStore(pool, schema=migrated_schema)
    key = await store.generate({"user": "ann"})

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["session"].update(one=1, other=2)
        await send({**START})

    async def send(_message: Message) -> None:
        pytest.fail("a response left")

    site = SessionMiddleware(app, store, secret_key)
    async with witness.holding_row(key):
        request = asyncio.create_task(site(scope_with(cookie_of(key)), never, send))
        await witness.waiting(1)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request

    await store.close()  # statements in flight are finished first
    assert await witness.value(key) in ({"user": "ann"}, {"user": "ann", "one": 1, "other": 2})
    await assert_full(pool)


async def test_broken_pipe(
    counted: PostgresStore, secret_key: str, cookie_of: CookieOf, statements: list[str]
) -> None:
    """69: If sending fails after the save, the session is not saved a second time."""
    key = await counted.generate({"user": "ann"})
    statements.clear()

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["session"]["n"] = 1
        await send({**START})

    async def send(_message: Message) -> None:
        raise OSError

    with pytest.raises(OSError, match=r"^$"):
        await SessionMiddleware(app, counted, secret_key)(scope_with(cookie_of(key)), never, send)

    assert len(statements) == 2  # the load and the save
    assert await value_of(counted, key) == {"user": "ann", "n": 1}


async def test_renewed_and_lost(
    counted: PostgresStore, secret_key: str, cookie_of: CookieOf, table: Connection
) -> None:
    """77: If the response to a renewal is lost, the browser has a dead key; one key is live."""
    old = await counted.generate({"user": "ann"})

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["session"].renew()
        await send({**START})

    async def send(_message: Message) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await SessionMiddleware(app, counted, secret_key)(scope_with(cookie_of(old)), never, send)

    assert await counted.get(old) is None
    assert count(table) == 1
