"""Several session middlewares in one application, stacked and mounted."""

from collections.abc import Callable

from httpx import AsyncClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pgsession import MemoryStore, SessionMiddleware
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
