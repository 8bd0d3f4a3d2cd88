"""Starlette's own SessionMiddleware outside, inside and below ours. Its cookie is `session`."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import Message
from starlette.websockets import WebSocket

from pgsession import MemoryStore, PostgresStore
from tests.neighbours.sites import Site, VisitCounter, page
from tests.pages import NAME, key_of, logout, read, value_of

COOKIES = Middleware(SessionMiddleware, secret_key="the secret of Starlette's middleware")


def note(session: dict[str, Any]) -> None:
    session["note"] = "tea"


async def open_socket(websocket: WebSocket) -> None:
    websocket.session["note"] = "tea"
    await websocket.accept()
    await websocket.close()


def mounted() -> Mount:
    """An application below `/app` with the cookie sessions of Starlette."""
    pages = [*map(page, (note, read, logout)), WebSocketRoute("/socket", open_socket)]
    return Mount("/app", Starlette(routes=pages, middleware=[COOKIES]))


@pytest.fixture
def inner() -> Site:
    """A site with Starlette's middleware in a mounted application."""
    return Site(MemoryStore(), mounted())


@pytest.fixture
def outer() -> Site:
    """A site inside Starlette's middleware, whose session counts the visits."""
    return Site(
        MemoryStore(), page(note), outside=(COOKIES, Middleware(VisitCounter)), exclude=["/note"]
    )


async def test_mounted(inner: Site) -> None:
    """A mounted application with Starlette's middleware leaves the site's session as it is."""
    async with inner.keeping_session():
        await inner.browser.get("/app/note")
        assert (await inner.browser.get("/app/read")).json() == {"note": "tea"}


async def test_mounted_in_postgres(postgres: PostgresStore) -> None:
    """A mounted application with Starlette's middleware leaves the site's row as it is."""
    site = Site(postgres, mounted())

    async with site.keeping_session():
        await site.browser.get("/app/note")
        await site.browser.get("/app/logout")


async def test_mounted_logout(inner: Site) -> None:
    """A mounted application that clears its session deletes its own cookie only."""
    async with inner.keeping_session():
        await inner.browser.get("/app/note")
        await inner.browser.get("/app/logout")
        assert (await inner.browser.get("/app/read")).json() == {}


async def test_mounted_first(inner: Site) -> None:
    """A visitor who used only the mounted application has no session of the site."""
    await inner.browser.get("/app/note")

    assert NAME not in inner.browser.cookies
    assert (await inner.browser.get("/read")).json() == {}


async def test_site_logout(inner: Site) -> None:
    """The end of the site's session is not the end of the mounted application's session."""
    await inner.browser.get("/fill")
    await inner.browser.get("/app/note")

    await inner.browser.get("/logout")

    assert (await inner.browser.get("/app/read")).json() == {"note": "tea"}


async def test_mounted_socket(
    inner: Site, converse: Callable[..., Awaitable[list[Message]]]
) -> None:
    """A WebSocket of a mounted application leaves the site's session as it is."""
    async with inner.keeping_session():
        cookie = f"{NAME}={inner.browser.cookies[NAME]}".encode()
        scope = {"type": "websocket", "path": "/app/socket", "headers": [(b"cookie", cookie)]}

        accepted, _ = await converse(inner.app, scope, {"type": "websocket.connect"})

        assert accepted["type"] == "websocket.accept"
        assert not any(name == b"set-cookie" for name, _ in accepted["headers"])


async def test_mounted_and_excluded() -> None:
    """A mounted application on an excluded path has its session, and the site keeps its own."""
    site = Site(MemoryStore(), mounted(), exclude=["/app"])

    async with site.keeping_session():
        await site.browser.get("/app/note")
        assert (await site.browser.get("/app/read")).json() == {"note": "tea"}


async def test_inside() -> None:
    """With Starlette's middleware inside, `request.session` is its session, and only its."""
    site = Site(MemoryStore(), inside=(COOKIES,))

    await site.browser.get("/fill")

    assert NAME not in site.browser.cookies
    assert site.read_cookie() == {"user": "ann"}
    assert (await site.browser.get("/read")).json() == {"user": "ann"}


async def test_outside(outer: Site) -> None:
    """With Starlette's middleware outside, its cookie contains only what outer code stored."""
    async with outer.keeping_session():
        assert outer.read_cookie() == {"visits": 1}
    assert outer.read_cookie() == {"visits": 2}


async def test_outside_in_postgres(postgres: PostgresStore) -> None:
    """With Starlette's middleware outside, the site's row contains only what the site stored."""
    site = Site(postgres, outside=(COOKIES, Middleware(VisitCounter)))

    async with site.keeping_session():
        assert site.read_cookie() == {"visits": 1}


async def test_outside_and_unused() -> None:
    """An outer session that no code uses gets no cookie."""
    site = Site(MemoryStore(), outside=(COOKIES,))

    async with site.keeping_session():
        assert "session" not in site.browser.cookies


async def test_logout_inside(outer: Site) -> None:
    """The end of the site's session is not the end of the outer session."""
    await outer.browser.get("/fill")

    await outer.browser.get("/logout")

    assert NAME not in outer.browser.cookies
    assert outer.read_cookie() == {"visits": 2}


async def test_late_change() -> None:
    """While a response streams, `request.session` is still the site's session."""

    async def stream(request: Request) -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            yield b"first"
            request.session["late"] = True
            yield b"last"

        return StreamingResponse(body())

    site = Site(MemoryStore(), Route("/stream", stream), outside=(COOKIES,))
    await site.browser.get("/fill")

    await site.browser.get("/stream")

    assert await value_of(site.store, key_of(site.browser)) == {"user": "ann", "late": True}
    assert "session" not in site.browser.cookies


@pytest.fixture
async def gone(closed_port: int) -> AsyncIterator[PostgresStore]:
    """A store whose server does not run."""
    store = PostgresStore(host="127.0.0.1", port=closed_port, timeout=1)
    yield store
    await store.close()


async def test_unavailable_inside(gone: PostgresStore) -> None:
    """A session that cannot be saved does not get into the outer cookie."""
    site = Site(gone, outside=(COOKIES, Middleware(VisitCounter)))

    assert (await site.browser.get("/fill")).status_code == 503
    assert site.read_cookie() == {"visits": 1}


async def test_outside_and_excluded(outer: Site) -> None:
    """On an excluded path, `request.session` is the session of the middleware outside."""
    async with outer.keeping_session():
        await outer.browser.get("/note")
        assert outer.read_cookie() == {"visits": 2, "note": "tea"}


async def test_plain_http() -> None:
    """Without https_only, the site needs a cookie name of its own: its default is Starlette's."""
    site = Site(MemoryStore(), mounted(), https_only=False, session_cookie="site")
    await site.browser.get("/fill")

    await site.browser.get("/app/note")

    assert (await site.browser.get("/read")).json() == {"user": "ann"}
    assert (await site.browser.get("/app/read")).json() == {"note": "tea"}
