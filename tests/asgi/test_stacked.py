"""Several session middlewares in one application, stacked and mounted."""

import json
from collections.abc import Callable

import pytest
from httpx import AsyncClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pgsession import MemoryStore, SessionExcludedError, SessionMiddleware
from tests.pages import fill, read

SECRET = "a secret of the inner application that is long enough"


async def fill_inner(request: Request) -> Response:
    request.session["inner"] = True
    return Response()


async def read_inner(request: Request) -> Response:
    return JSONResponse(dict(request.session))


def inner_app(store: MemoryStore, *, path: str = "/") -> Starlette:
    return Starlette(
        routes=[Route("/fill", fill_inner), Route("/read", read_inner)],
        middleware=[
            Middleware(
                SessionMiddleware,
                store=store,
                secret_key=SECRET,
                session_cookie="inner",
                path=path,
            )
        ],
    )


async def test_mounted(visit: Callable[..., AsyncClient]) -> None:
    """A mounted application with its own middleware has its own session."""
    inner = inner_app(MemoryStore(), path="/inner")
    client = visit(MemoryStore(), fill, read, routes=(Mount("/inner", inner),))

    await client.get("/fill")
    response = await client.get("/inner/fill")

    assert "; path=/inner;" in response.headers["set-cookie"]
    assert (await client.get("/read")).json() == {"user": "ann"}
    assert (await client.get("/inner/read")).json() == {"inner": True}


async def test_cookies_stay_below_path(visit: Callable[..., AsyncClient]) -> None:
    """The cookie of a mounted application is sent only to that application."""
    inner = inner_app(MemoryStore(), path="/inner")
    client = visit(MemoryStore(), fill, read, routes=(Mount("/inner", inner),))
    await client.get("/inner/fill")

    assert "cookie" not in (await client.get("/read")).request.headers
    assert "inner=" in (await client.get("/inner/read")).request.headers["cookie"]


async def test_one_store(visit: Callable[..., AsyncClient]) -> None:
    """Two middlewares with one store and different cookies do not accept each other's keys."""
    store = MemoryStore()
    inner = inner_app(store)
    client = visit(store, fill, read, routes=(Mount("/inner", inner),))
    await client.get("/fill")
    signed = client.cookies["__Host-session"]

    response = await client.get("/inner/read", headers={"cookie": f"inner={signed}"})

    assert response.json() == {}


async def test_mounted_under_outer(visit: Callable[..., AsyncClient]) -> None:
    """An application mounted without its own middleware shares the outer session."""
    plain = Starlette(routes=[Route("/fill", fill_inner)])
    client = visit(MemoryStore(), read, routes=(Mount("/plain", plain),))

    await client.get("/plain/fill")

    assert (await client.get("/read")).json() == {"inner": True}


async def test_stacked(visit: Callable[..., AsyncClient]) -> None:
    """If two middlewares wrap one handler, the request has the session of the inner one."""
    inner = Middleware(
        SessionMiddleware, store=MemoryStore(), secret_key=SECRET, session_cookie="inner"
    )
    client = visit(MemoryStore(), fill, read, inside=(inner,))

    response = await client.get("/fill")

    (cookie,) = response.headers.get_list("set-cookie")
    assert cookie.startswith("inner=")
    assert (await client.get("/read")).json() == {"user": "ann"}


class Stranger:
    """A session middleware that keeps a dict in the scope and writes it into a readable cookie."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["session"] = {"stranger": 1}

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                content = json.dumps(dict(scope["session"])).encode().hex().encode()
                cookie = (b"set-cookie", b"stranger=" + content)
                message = {**message, "headers": [*message["headers"], cookie]}
            await send(message)

        await self._app(scope, receive, send_with_cookie)


@pytest.mark.parametrize("before", ["/fill", "/read"], ids=["signed in", "a visitor"])
async def test_foreign_session(visit: Callable[..., AsyncClient], before: str) -> None:
    """A session that another middleware inside puts into the scope is never taken for ours."""
    store = MemoryStore()
    mounted = Mount("/mounted", Stranger(Starlette(routes=[Route("/fill", fill_inner)])))
    client = visit(store, fill, read, routes=(mounted,))
    ours = (await client.get(before)).cookies.get("__Host-session")
    content = (await client.get("/read")).json()

    response = await client.get("/mounted/fill")

    (cookie,) = response.headers.get_list("set-cookie")
    assert cookie == "stranger=" + b'{"stranger": 1, "inner": true}'.hex()
    assert client.cookies.get("__Host-session") == ours
    assert (await client.get("/read")).json() == content


async def test_outside(visit: Callable[..., AsyncClient]) -> None:
    """Nothing of ours reaches the cookie of a middleware that stands outside."""
    client = visit(MemoryStore(), fill, read, outside=(Middleware(Stranger),))

    for path in ("/fill", "/read"):
        cookie = (await client.get(path)).headers.get_list("set-cookie")[-1]
        assert cookie == "stranger=" + b'{"stranger": 1}'.hex()

    assert (await client.get("/read")).json() == {"user": "ann"}


async def test_outside_and_excluded(visit: Callable[..., AsyncClient]) -> None:
    """An excluded request has the session of the middleware that stands outside."""
    client = visit(MemoryStore(), read, outside=(Middleware(Stranger),), exclude=["/read"])

    assert (await client.get("/read")).json() == {"stranger": 1}


async def test_excluded_scope_of_an_earlier_request(secret_key: str) -> None:
    """A scope that is used again does not show an excluded request the session before."""

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["path"] == "/excluded":
            with pytest.raises(SessionExcludedError):
                scope["session"]["user"]
        else:
            scope["session"]["user"] = "ann"
        await send({"type": "http.response.start", "status": 200, "headers": []})

    site = SessionMiddleware(app, MemoryStore(), secret_key, exclude=["/excluded"])
    scope: Scope = {"type": "http", "path": "/", "headers": [], "method": "GET"}

    async def receive() -> Message:
        raise NotImplementedError

    async def send(_message: Message) -> None:
        pass

    await site(scope, receive, send)
    scope["path"] = "/excluded"
    await site(scope, receive, send)


async def test_second_try(secret_key: str) -> None:
    """A middleware that calls the application again finds the session of the last try."""
    tries = 0

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        nonlocal tries
        tries += 1
        scope["session"]["try"] = tries
        if tries == 1:
            raise LookupError
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Message:
        raise NotImplementedError

    async def send(_message: Message) -> None:
        pass

    site = SessionMiddleware(app, MemoryStore(), secret_key)
    scope: Scope = {"type": "http", "path": "/", "headers": [], "method": "GET", "scheme": "https"}
    with pytest.raises(LookupError):
        await site(scope, receive, send)

    await site(scope, receive, send)

    assert scope["session"] == {"try": 2}


async def test_route_is_known_outside(visit: Callable[..., AsyncClient]) -> None:
    """What the application puts into the scope is there for a middleware outside, as always."""
    routes: list[object] = []

    class Metrics:
        def __init__(self, app: ASGIApp) -> None:
            self._app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await self._app(scope, receive, send)
            routes.append(scope.get("endpoint") is not None)

    outside = (Middleware(Metrics), Middleware(Stranger))

    await visit(MemoryStore(), read, outside=outside).get("/read")

    assert routes == [True]


async def test_between_stacked(visit: Callable[..., AsyncClient]) -> None:
    """Code between two middlewares uses the outer session, before and after the inner one runs."""

    class Between:
        def __init__(self, app: ASGIApp) -> None:
            self._app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            scope["session"]["visits"] = scope["session"].get("visits", 0) + 1
            await self._app(scope, receive, send)
            scope["session"]["after"] = True

    store = MemoryStore()
    inner = Middleware(
        SessionMiddleware, store=MemoryStore(), secret_key=SECRET, session_cookie="inner"
    )
    client = visit(store, fill, read, inside=(Middleware(Between), inner))

    response = await client.get("/fill")

    assert len(response.headers.get_list("set-cookie")) == 2
    assert (await client.get("/read")).json() == {"user": "ann"}
    entry = await store.get(client.cookies["__Host-session"].partition(".")[0])
    assert entry is not None
    assert entry.value == {"visits": 2, "after": True}
