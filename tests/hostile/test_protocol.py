"""Applications, servers and clients that do what ASGI allows, and what it does not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from httpx import AsyncClient
from psycopg import Connection
from psycopg_pool import AsyncConnectionPool
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pgsession import MemoryStore, PostgresStore, SessionMiddleware
from tests.concurrency.witness import Witness
from tests.hostile.forgeries import PREFIX
from tests.pages import count, fill, key_of, value_of

START: Message = {"type": "http.response.start", "status": 200, "headers": []}

Converse = Callable[..., Awaitable[list[Message]]]
CookieOf = Callable[[str], str]


def cookies(message: Message) -> list[bytes]:
    return [text for name, text in message["headers"] if name.lower() == b"set-cookie"]


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
    """An open pool of two connections, which the witness sees."""
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
    """Check that each connection is back, and that each works."""
    async with asyncio.timeout(10), pool.connection() as one, pool.connection() as other:
        await one.execute("SELECT 1")
        await other.execute("SELECT 1")
    assert pool.get_stats()["pool_size"] == 2


async def test_logout_then_failure(visit: Callable[..., AsyncClient]) -> None:
    """59: A handler that logs out and then raises has logged nobody out, as its answer says."""
    store = MemoryStore()

    async def leave(request: Request) -> Response:
        request.session.clear()
        raise LookupError

    client = visit(store, fill, routes=(Route("/leave", leave),), raises=False)
    await client.get("/fill")

    response = await client.get("/leave")

    assert response.status_code == 500
    assert "set-cookie" not in response.headers
    assert await value_of(store, key_of(client)) == {"user": "ann"}


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("http.response.debug", id="61-debug"),
        pytest.param("http.response.early_hint", id="61-early-hint"),
        pytest.param("http.response.push", id="61-push"),
        pytest.param("http.response.trailers", id="61-trailers"),
        pytest.param("http.response.pathsend", id="61-pathsend"),
        pytest.param("http.response.zerocopysend", id="61-zerocopysend"),
        pytest.param("x.of.our.own", id="61-unheard-of"),
    ],
)
async def test_other_messages(
    converse: Converse, secret_key: str, postgres: PostgresStore, kind: str
) -> None:
    """A message that starts no response passes as it is; the cookie goes with the one that does."""
    odd = {"type": kind, "headers": [(b"x", b"y")], "info": object(), "file": 5}

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        await send(odd)
        scope["session"]["user"] = "ann"
        await send({**START})
        await send(odd)

    before, start, after = await converse(SessionMiddleware(app, postgres, secret_key), {})

    assert before is odd
    assert after is odd
    assert set(odd) == {"type", "headers", "info", "file"}
    assert len(cookies(start)) == 1


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
    """A request cut off half-way keeps what was committed before, and no connection."""
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
    """65: A request that is cancelled while it saves says so, and saves all of it or nothing."""
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

    await store.close()  # who was sent is answered first
    assert await witness.value(key) in ({"user": "ann"}, {"user": "ann", "one": 1, "other": 2})
    await assert_full(pool)


async def test_cookie_of_the_same_name(
    converse: Converse, secret_key: str, postgres: PostgresStore
) -> None:
    """67: A cookie that the application sets under our name stays; ours comes once, and last."""
    own = (b"Set-Cookie", PREFIX + b"theirs")

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["session"]["user"] = "ann"
        await send({**START, "headers": [own]})

    (start,) = await converse(SessionMiddleware(app, postgres, secret_key), {})

    first, last = cookies(start)
    assert first == PREFIX + b"theirs"
    assert await postgres.get(last.removeprefix(PREFIX)[:40].decode()) is not None


async def test_broken_pipe_saves_once(
    counted: PostgresStore, secret_key: str, cookie_of: CookieOf, statements: list[str]
) -> None:
    """69: Where sending fails after the save, there is no second save."""
    key = await counted.generate({"user": "ann"})
    statements.clear()

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["session"]["n"] = 1
        await send({**START})

    async def send(_message: Message) -> None:
        raise OSError

    with pytest.raises(OSError, match=r"^$"):
        await SessionMiddleware(app, counted, secret_key)(scope_with(cookie_of(key)), never, send)

    assert len(statements) == 2  # the look and the save
    assert await value_of(counted, key) == {"user": "ann", "n": 1}


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([[b"Content-Type", b"text/plain"]], id="71-lists"),
        pytest.param([(b"VARY", b"Accept"), (b"vary", b"cookie")], id="71-mixed-case"),
        pytest.param([(b"vary", b"*")], id="71-vary-by-all"),
        pytest.param([(b"cache-Control", b"public")], id="71-cache-rule"),
        pytest.param([(b"x-raw", b"\xff\x00\r\n")], id="71-raw-bytes"),
    ],
)
async def test_odd_headers(
    converse: Converse, secret_key: str, headers: list[tuple[bytes, bytes]]
) -> None:
    """Headers come as they like, and none of them is lost or set twice."""

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["session"]["user"] = "ann"
        await send({**START, "headers": headers})

    (start,) = await converse(SessionMiddleware(app, MemoryStore(), secret_key), {})

    names = [name.lower() for name, _ in start["headers"]]
    assert names[: len(headers)] == [name.lower() for name, _ in headers]
    assert names.count(b"set-cookie") == 1
    assert names.count(b"cache-control") == 1
    assert b"vary" in names


async def test_renewed_and_lost(
    counted: PostgresStore, secret_key: str, cookie_of: CookieOf, table: Connection
) -> None:
    """77: A renewal whose response never arrives leaves the browser a dead key, never two live."""
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


async def test_daylight_saving(database_url: str, migrated_schema: str, table: Connection) -> None:
    """84: A year is as many seconds in a time zone that changes its clocks as anywhere."""
    options = "-cTimeZone=Europe/Paris"
    async with PostgresStore(database_url, schema=migrated_schema, options=options) as store:
        key = await store.generate({"user": "ann"}, period=86_400 * 200, granted=True)

        entry = await store.get(key)

    query = "SELECT extract(epoch FROM expire_date - created_on)::int FROM session"
    assert table.execute(query).fetchall() == [(86_400 * 200,)]
    assert entry is not None
    assert entry.granted is not None
    assert entry.granted.total_seconds() == 86_400 * 200
