"""Sessions of WebSockets."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from psycopg import Connection
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from pgsession import Changes, MemoryStore, PostgresStore, SessionMiddleware, Store

NAME = b"__Host-session="

CONNECT: Message = {"type": "websocket.connect"}
ACCEPT: Message = {"type": "websocket.accept"}
CLOSE: Message = {"type": "websocket.close", "code": 1000}

Converse = Callable[..., Awaitable[list[Message]]]
CookieOf = Callable[[str], str]


def socket(cookie: str = "") -> Scope:
    headers = [(b"cookie", cookie.encode())] if cookie else []
    return {"type": "websocket", "scheme": "wss", "headers": headers, "extensions": {}}


def cookies(message: Message) -> list[bytes]:
    return [value for name, value in message.get("headers", []) if name == b"set-cookie"]


def key_in(message: Message) -> str:
    (cookie,) = cookies(message)
    return cookie.removeprefix(NAME).partition(b".")[0].decode()


async def value_of(store: Store, key: str) -> dict[str, Any] | None:
    entry = await store.get(key)
    return None if entry is None else entry.value


async def test_accept(converse: Converse, secret_key: str) -> None:
    """A change made before a WebSocket is accepted is saved, and the accept sets the cookie."""
    store = MemoryStore()

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["session"]["user"] = "ann"
        await send({**ACCEPT})

    (accept,) = await converse(SessionMiddleware(app, store, secret_key), socket(), CONNECT)

    assert await value_of(store, key_in(accept)) == {"user": "ann"}


async def test_read(converse: Converse, secret_key: str, cookie_of: CookieOf) -> None:
    """A WebSocket reads the session of its cookie."""
    store = MemoryStore()
    seen: list[dict[str, Any]] = []

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        seen.append(dict(scope["session"]))
        await send({**ACCEPT})

    cookie = cookie_of(await store.generate({"user": "ann"}))
    (accept,) = await converse(SessionMiddleware(app, store, secret_key), socket(cookie), CONNECT)

    assert seen == [{"user": "ann"}]
    assert cookies(accept) == []


async def test_open_socket(converse: Converse, secret_key: str, cookie_of: CookieOf) -> None:
    """Changes made in an open WebSocket are merged when it ends."""
    store = MemoryStore()
    key = await store.generate({"user": "ann"})

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        await send({**ACCEPT})
        await store.merge(key, Changes(set={"other": 1}))
        scope["session"]["late"] = True
        await send(CLOSE)

    await converse(SessionMiddleware(app, store, secret_key), socket(cookie_of(key)), CONNECT)

    assert await value_of(store, key) == {"user": "ann", "other": 1, "late": True}


async def test_new_in_open_socket(
    converse: Converse, secret_key: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A session that is first filled in an open WebSocket is lost, with a warning."""

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        await send({**ACCEPT})
        scope["session"]["late"] = True

    await converse(SessionMiddleware(app, MemoryStore(), secret_key), socket(), CONNECT)

    (record,) = caplog.records
    assert record.levelno == logging.WARNING


async def test_closed_before_accepted(
    converse: Converse, secret_key: str, postgres: PostgresStore, table: Connection
) -> None:
    """A WebSocket that is closed before it is accepted saves nothing."""

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["session"]["user"] = "ann"
        await send(CLOSE)

    sent = await converse(SessionMiddleware(app, postgres, secret_key), socket(), CONNECT)

    assert sent == [CLOSE]
    assert table.execute("SELECT count(*) FROM session").fetchone() == (0,)


async def test_closed_before_accepted_keeps(
    converse: Converse, secret_key: str, cookie_of: CookieOf
) -> None:
    """A WebSocket that is not accepted does not change an existing session."""
    store = MemoryStore()
    key = await store.generate({"user": "ann"})

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["session"]["user"] = "eve"
        await send(CLOSE)

    await converse(SessionMiddleware(app, store, secret_key), socket(cookie_of(key)), CONNECT)

    assert await value_of(store, key) == {"user": "ann"}


async def test_denial_response(converse: Converse, secret_key: str) -> None:
    """A response instead of an accept saves the session and sets the cookie as usual."""
    store = MemoryStore()

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["session"]["attempts"] = 1
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b""})

    start, _ = await converse(SessionMiddleware(app, store, secret_key), socket(), CONNECT)

    assert await value_of(store, key_in(start)) == {"attempts": 1}


async def test_held_connection(
    converse: Converse,
    secret_key: str,
    cookie_of: CookieOf,
    database_url: str,
    migrated_schema: str,
) -> None:
    """An open WebSocket holds no connection to the database."""
    async with PostgresStore(database_url, schema=migrated_schema, pool_size=1, timeout=1) as store:
        key = await store.generate({"user": "ann"})

        async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
            await send({**ACCEPT})
            assert await store.get(key) is not None
            await send(CLOSE)

        app_with_sessions = SessionMiddleware(app, store, secret_key)
        sent = await converse(app_with_sessions, socket(cookie_of(key)), CONNECT)

    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]


async def test_failing_socket(converse: Converse, secret_key: str, cookie_of: CookieOf) -> None:
    """If a WebSocket handler raises, its changes after the accept are not saved."""
    store = MemoryStore()
    key = await store.generate({"user": "ann"})

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        await send({**ACCEPT})
        scope["session"]["late"] = True
        raise LookupError

    with pytest.raises(LookupError):
        await converse(SessionMiddleware(app, store, secret_key), socket(cookie_of(key)), CONNECT)

    assert await value_of(store, key) == {"user": "ann"}


LEFT = WebSocketDisconnect(1006)


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        pytest.param(LEFT, True, id="alone"),
        pytest.param(ExceptionGroup("", [LEFT, ExceptionGroup("", [LEFT])]), True, id="tasks"),
        pytest.param(ExceptionGroup("", [LEFT, LookupError()]), False, id="beside a failure"),
    ],
)
async def test_client_left(
    converse: Converse, secret_key: str, cookie_of: CookieOf, *, error: Exception, kept: bool
) -> None:
    """A WebSocket function that ends because the client left has not failed."""
    store = MemoryStore()
    key = await store.generate({"user": "ann"})

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        await send({**ACCEPT})
        scope["session"]["late"] = True
        raise error

    with pytest.raises(type(error)):
        await converse(SessionMiddleware(app, store, secret_key), socket(cookie_of(key)), CONNECT)

    assert await value_of(store, key) == {"user": "ann"} | ({"late": True} if kept else {})


async def test_client_left_before_accept(
    converse: Converse, secret_key: str, cookie_of: CookieOf
) -> None:
    """A client that leaves before the WebSocket is accepted changes nothing."""
    store = MemoryStore()
    key = await store.generate({"user": "ann"})

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        scope["session"]["early"] = True
        raise LEFT

    with pytest.raises(WebSocketDisconnect):
        await converse(SessionMiddleware(app, store, secret_key), socket(cookie_of(key)), CONNECT)

    assert await value_of(store, key) == {"user": "ann"}


def site(store: Store, secret_key: str) -> ASGIApp:
    async def fill(request: Request) -> Response:
        request.session["user"] = "ann"
        return Response()

    async def read(request: Request) -> Response:
        return JSONResponse(dict(request.session))

    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(dict(websocket.session))
        websocket.session["said"] = await websocket.receive_text()
        await websocket.close()

    return Starlette(
        routes=[Route("/fill", fill), Route("/read", read), WebSocketRoute("/talk", talk)],
        middleware=[Middleware(SessionMiddleware, store=store, secret_key=secret_key)],
    )


def test_starlette(secret_key: str) -> None:
    """A page and a WebSocket of one browser share its session."""
    client = TestClient(site(MemoryStore(), secret_key), base_url="https://testserver")
    client.get("/fill")

    with client.websocket_connect("wss://testserver/talk") as websocket:
        assert websocket.receive_json() == {"user": "ann"}
        websocket.send_text("hello")

    assert client.get("/read").json() == {"user": "ann", "said": "hello"}


def test_starlette_client_left(secret_key: str) -> None:
    """What a WebSocket function stored is kept if the client leaves."""

    async def listen(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.session["said"] = await websocket.receive_text()
        await websocket.receive_text()

    app = site(MemoryStore(), secret_key)
    assert isinstance(app, Starlette)
    app.router.routes.append(WebSocketRoute("/listen", listen))
    client = TestClient(app, base_url="https://testserver")
    client.get("/fill")

    with (
        pytest.raises(
            WebSocketDisconnect
        ),  # as Starlette's client shows what an application raises
        client.websocket_connect("wss://testserver/listen") as websocket,
    ):
        websocket.send_text("hello")

    assert client.get("/read").json() == {"user": "ann", "said": "hello"}
