"""The middleware is found wherever an application has it, or the error says what is wrong."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Host, Mount, Route, Router
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from pgsession import MemoryStore, SessionMiddleware, SettingsError
from pgsession.testing import age, session_of, signed_in
from tests.applications import SECRET
from tests.testing.site import ADDRESS, PAGES, make_app, session_middleware, show

OURS = session_middleware(MemoryStore())


def fastapi() -> ASGIApp:
    app = FastAPI(routes=PAGES)
    app.add_middleware(SessionMiddleware, store=MemoryStore(), secret_key=SECRET)
    return app


def among_others() -> ASGIApp:
    async def pass_on(request: Any, call: Callable[[Any], Awaitable[Any]]) -> Any:
        return await call(request)

    others = [Middleware(GZipMiddleware), Middleware(BaseHTTPMiddleware, dispatch=pass_on)]
    return Starlette(routes=PAGES, middleware=[*others, OURS, *others])


def around() -> ASGIApp:
    return SessionMiddleware(Starlette(routes=PAGES), MemoryStore(), SECRET)


def in_function() -> ASGIApp:
    app = make_app(MemoryStore())

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return call


class Site:
    """An application that is a method."""

    def __init__(self) -> None:
        self.app = make_app(MemoryStore())

    async def call(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def mounted() -> ASGIApp:
    return Starlette(routes=[Route("/more", show), Mount("/", make_app(MemoryStore()))])


def at_host() -> ASGIApp:
    return Router([Host("testserver", make_app(MemoryStore()))])


def in_router() -> ASGIApp:
    return Router(PAGES, middleware=[OURS])


def at_route() -> ASGIApp:
    return Starlette(routes=[Route("/", show, middleware=[OURS])])


@pytest.mark.parametrize(
    "make",
    [
        fastapi,
        among_others,
        around,
        in_function,
        lambda: Site().call,
        mounted,
        at_host,
        in_router,
        at_route,
    ],
    ids=["fastapi", "others", "around", "function", "method", "mount", "host", "router", "route"],
)
def test_found(make: Callable[[], ASGIApp]) -> None:
    """A client of the application is signed in."""
    client = signed_in(TestClient(make(), base_url=ADDRESS), "ann")

    assert client.get("/").json() == ["ann", {}]


def test_mounted_application() -> None:
    """With several middlewares, a client of one mounted application shares the cookies."""
    store = MemoryStore()
    one, two = make_app(store, session_cookie="one"), make_app(store, session_cookie="two")
    client = TestClient(Starlette(routes=[Mount("/1", one), Mount("/2", two)]), base_url=ADDRESS)
    with pytest.raises(SettingsError, match=r"2 SessionMiddlewares\. Make another client"):
        signed_in(client, "ann")

    signed_in(TestClient(two, base_url=ADDRESS, cookies=client.cookies.jar), "ann")

    assert client.get("/1").json() == [None, {}]
    assert client.get("/2").json() == ["ann", {}]


@pytest.mark.parametrize(
    ("client", "message"),
    [
        (TestClient(Starlette(routes=PAGES), base_url=ADDRESS), "has no SessionMiddleware"),
        (TestClient(make_app(MemoryStore())), 'base_url="https://testserver"'),
        (
            TestClient(make_app(MemoryStore(), domain="example.com"), base_url=ADDRESS),
            r"domain is 'example\.com', for its base_url, whose host is 'testserver'",
        ),
    ],
    ids=["none", "http", "domain"],
)
def test_refused(client: TestClient, message: str) -> None:
    """A client that could not be signed in is an error that says what to do."""
    with pytest.raises(SettingsError, match=message):
        signed_in(client, "ann")
    with pytest.raises(SettingsError, match=message), session_of(client) as session:
        session["a"] = 1


async def test_other_clients() -> None:
    """A client without an application in this process, or of another kind, is refused."""
    async with httpx.AsyncClient(base_url=ADDRESS) as client:
        with pytest.raises(SettingsError, match="calls no application"):
            await age(client, days=1)
    with httpx.Client() as other, pytest.raises(TypeError, match=r"AsyncClient .*, not Client\."):
        signed_in(other, "ann")  # type: ignore[call-overload] # the type checker refuses it too
