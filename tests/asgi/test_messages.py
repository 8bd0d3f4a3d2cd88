"""Unusual ASGI messages, and other middlewares around the session's."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from httpx import AsyncClient
from psycopg import Connection
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from pgsession import MemoryStore, PostgresStore, SessionMiddleware
from tests.pages import NAME, count, fill, key_of, read

START: Message = {"type": "http.response.start", "status": 200, "headers": []}
BODY: Message = {"type": "http.response.body", "body": b""}

Converse = Callable[..., Awaitable[list[Message]]]


def header(message: Message, name: bytes) -> list[bytes]:
    return [value for key, value in message["headers"] if key == name]


@pytest.mark.parametrize("status", [201, 204, 304, 404])
async def test_status(visit: Callable[..., AsyncClient], status: int) -> None:
    """The session is saved with any status below 500."""
    store = MemoryStore()

    async def respond(request: Request) -> Response:
        request.session["user"] = "ann"
        return Response(status_code=status)

    client = visit(store, routes=(Route("/", respond),))

    response = await client.get("/")

    assert response.status_code == status
    assert await store.get(key_of(client)) is not None


async def test_head(visit: Callable[..., AsyncClient]) -> None:
    """A HEAD request saves the session like a GET request."""
    store = MemoryStore()
    client = visit(store, fill)

    await client.head("/fill")

    assert await store.get(key_of(client)) is not None


async def test_redirect(visit: Callable[..., AsyncClient]) -> None:
    """A change made before a redirect is visible after it."""

    async def start(request: Request) -> Response:
        request.session["user"] = "ann"
        return RedirectResponse("/read")

    client = visit(MemoryStore(), read, routes=(Route("/", start),))

    response = await client.get("/", follow_redirects=True)

    assert response.json() == {"user": "ann"}


@pytest.mark.parametrize("headers", [None, [], (), iter(())], ids=["no", "list", "tuple", "iter"])
async def test_headers(converse: Converse, secret_key: str, headers: Any) -> None:
    """A response may start without headers, or with any iterable of headers."""

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["session"]["user"] = "ann"
        start: Message = {"type": "http.response.start", "status": 200}
        await send(start if headers is None else {**start, "headers": headers})
        await send(BODY)

    start, body = await converse(SessionMiddleware(app, MemoryStore(), secret_key), {})

    assert len(header(start, b"set-cookie")) == 1
    assert body == BODY


async def test_own_headers(converse: Converse, secret_key: str) -> None:
    """The application's own headers are kept, except a Cache-Control beside a cookie."""
    own = [
        (b"cache-control", b"private, max-age=60"),
        (b"set-cookie", b"theme=dark"),
        (b"vary", b"Accept"),
        (b"X-Mixed", b"Case"),
    ]

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["session"]["user"] = "ann"
        await send({**START, "headers": list(own)})

    (start,) = await converse(SessionMiddleware(app, MemoryStore(), secret_key), {})

    assert header(start, b"cache-control") == [b"private, no-store"]
    assert header(start, b"set-cookie")[0] == b"theme=dark"
    assert header(start, b"set-cookie")[1].startswith(NAME.encode())
    assert header(start, b"vary") == [b"Accept, Cookie"]
    assert (b"X-Mixed", b"Case") in start["headers"]


async def test_reused_start(converse: Converse, secret_key: str) -> None:
    """A message that the application sends again and again stays as it is."""
    headers = ((b"cache-control", b"public"), (b"Vary", b"Accept"))
    start = {**START, "headers": list(headers)}

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["session"]["user"] = "ann"
        await send(start)

    middleware = SessionMiddleware(app, MemoryStore(), secret_key)
    sent = [message for _ in range(2) for message in await converse(middleware, {})]

    assert start == {**START, "headers": list(headers)}
    assert [len(header(message, b"set-cookie")) for message in sent] == [1, 1]
    assert header(sent[0], b"set-cookie") != header(sent[1], b"set-cookie")


async def test_headers_are_read_once(converse: Converse, secret_key: str) -> None:
    """The headers of a message may be any iterable, even one that can be read only once."""

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["session"]["user"] = "ann"
        await send({**START, "headers": iter([(b"x-own", b"1")])})

    (start,) = await converse(SessionMiddleware(app, MemoryStore(), secret_key), {})

    assert header(start, b"x-own") == [b"1"]
    assert len(header(start, b"set-cookie")) == 1


async def test_no_response(
    converse: Converse, secret_key: str, postgres: PostgresStore, table: Connection
) -> None:
    """An application that never responds saves nothing."""

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        scope["session"]["user"] = "ann"

    assert await converse(SessionMiddleware(app, postgres, secret_key), {}) == []
    assert count(table) == 0


async def test_two_starts(
    converse: Converse, secret_key: str, postgres: PostgresStore, table: Connection
) -> None:
    """A response that starts twice is saved once."""

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["session"]["user"] = "ann"
        await send({**START, "headers": []})
        await send({**START, "headers": []})

    first, second = await converse(SessionMiddleware(app, postgres, secret_key), {})

    assert len(header(first, b"set-cookie")) == 1
    assert header(second, b"set-cookie") == []
    assert count(table) == 1


async def test_other_messages(converse: Converse, secret_key: str) -> None:
    """Messages that do not start a response are passed on unchanged, before and after it."""
    hint = {"type": "http.response.early_hint", "links": [b"</a.css>"]}
    push = {"type": "http.response.pathsend", "path": "file"}

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(hint)
        await send({**START})
        await send(push)

    sent = await converse(SessionMiddleware(app, MemoryStore(), secret_key), {})

    assert sent == [hint, START, push]


async def test_other_scopes(converse: Converse, secret_key: str) -> None:
    """A scope type without sessions is passed on unchanged."""
    seen: list[Scope] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope)

    await converse(SessionMiddleware(app, MemoryStore(), secret_key), {"type": "webtransport"})

    assert [scope["type"] for scope in seen] == ["webtransport"]
    assert "session" not in seen[0]


async def test_broken_pipe(secret_key: str, postgres: PostgresStore, table: Connection) -> None:
    """If the client has disconnected when the response starts, the session is saved once."""

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["session"]["user"] = "ann"
        await send({**START})

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        raise BrokenPipeError

    scope = {"type": "http", "path": "/", "scheme": "https", "headers": []}
    with pytest.raises(BrokenPipeError):
        await SessionMiddleware(app, postgres, secret_key)(scope, receive, send)

    assert count(table) == 1


async def test_committed_before_response(
    converse: Converse, secret_key: str, postgres: PostgresStore, table: Connection
) -> None:
    """The row is committed before the first message of the response is sent."""
    counts: list[int] = []

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["session"]["user"] = "ann"
        await send({**START})

    async def watch(scope: Scope, receive: Receive, send: Send) -> None:
        async def note(message: Message) -> None:
            counts.append(count(table))
            await send(message)

        await SessionMiddleware(app, postgres, secret_key)(scope, receive, note)

    await converse(watch, {})

    assert counts == [1]


async def test_gone_before_response(
    converse: Converse,
    secret_key: str,
    postgres: PostgresStore,
    table: Connection,
    cookie_of: Callable[[str], str],
) -> None:
    """After a logout, the row is deleted before the response is sent."""
    counts: list[int] = []
    cookie = cookie_of(await postgres.generate({"user": "ann"})).encode()

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        scope["session"].clear()
        await send({**START})

    async def watch(scope: Scope, receive: Receive, send: Send) -> None:
        async def note(message: Message) -> None:
            counts.append(count(table))
            await send(message)

        await SessionMiddleware(app, postgres, secret_key)(scope, receive, note)

    (start,) = await converse(watch, {"headers": [(b"cookie", cookie)]})

    assert counts == [0]
    assert b"Max-Age=0" in header(start, b"set-cookie")[0]


@pytest.mark.parametrize("order", [1, -1], ids=["forged first", "forged last"])
@pytest.mark.parametrize("apart", [True, False], ids=["two headers", "one header"])
async def test_same_name_twice(
    converse: Converse, secret_key: str, cookie_of: Callable[[str], str], order: int, apart: bool
) -> None:
    """Of several cookies with our name, the one with a valid signature counts, in any position."""
    store = MemoryStore()
    seen: list[dict[str, Any]] = []
    cookies = [f"{NAME}={'k' * 40}.{'s' * 43}", cookie_of(await store.generate({"user": "ann"}))]
    given = cookies[::order]

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(dict(scope["session"]))

    texts = given if apart else ["; ".join(given)]
    headers = [(b"cookie", text.encode()) for text in texts]
    await converse(SessionMiddleware(app, store, secret_key), {"headers": headers})

    assert seen == [{"user": "ann"}]


async def _pass_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
    request.session.setdefault("passed", 0)
    response = await call_next(request)
    response.headers["x-user"] = request.session.get("user", "nobody")
    return response


async def test_base_middleware_inside(visit: Callable[..., AsyncClient]) -> None:
    """An inner BaseHTTPMiddleware shares the session with the handler."""
    inside = (Middleware(BaseHTTPMiddleware, dispatch=_pass_on),)
    client = visit(MemoryStore(), fill, read, inside=inside)

    response = await client.get("/fill")

    assert response.headers["x-user"] == "ann"
    assert (await client.get("/read")).json() == {"passed": 0, "user": "ann"}


async def test_base_middleware_outside(visit: Callable[..., AsyncClient]) -> None:
    """An outer BaseHTTPMiddleware does not change how the session works."""

    async def time(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-cookie"] = str("set-cookie" in response.headers)
        return response

    outside = (Middleware(BaseHTTPMiddleware, dispatch=time),)
    client = visit(MemoryStore(), fill, read, outside=outside)

    assert (await client.get("/fill")).headers["x-cookie"] == "True"
    assert (await client.get("/read")).json() == {"user": "ann"}


async def test_base_middleware_after_response(visit: Callable[..., AsyncClient]) -> None:
    """A change that an inner BaseHTTPMiddleware makes after the handler is saved too."""

    async def add(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        request.session["seen"] = True
        return response

    inside = (Middleware(BaseHTTPMiddleware, dispatch=add),)
    client = visit(MemoryStore(), fill, read, inside=inside)
    await client.get("/fill")

    assert (await client.get("/read")).json() == {"user": "ann", "seen": True}
