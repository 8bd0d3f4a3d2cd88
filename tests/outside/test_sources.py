"""What `Sessions.open` accepts."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request
from starlette.websockets import WebSocket

from pgsession import MemoryStore, Session, SessionNotFoundError
from pgsession.asgi.sources import read_source
from tests.outside.site import Site


@pytest.fixture
def store() -> MemoryStore:
    """One store is enough here: what leads to a key has nothing to do with it."""
    return MemoryStore()


def scope(site: Site, kind: str = "http") -> dict[str, Any]:
    return {"type": kind, "path": "/", "headers": site.headers}


def text(site: Site) -> str:
    return site.headers[0][1].decode()


def nothing(*_: object) -> Any:
    raise AssertionError


SOURCES: dict[str, Callable[[Site], Any]] = {
    "headers": lambda site: site.headers,
    "headers in a tuple": lambda site: (*site.headers,),
    "scope": scope,
    "scope of a WebSocket": lambda site: scope(site, "websocket"),
    "Request": lambda site: Request(scope(site)),
    "WebSocket": lambda site: WebSocket(scope(site, "websocket"), nothing, nothing),
    "HTTPConnection": lambda site: HTTPConnection(scope(site)),
    "environ of Socket.IO": lambda site: {
        "asgi.scope": scope(site),
        "PATH_INFO": "/socket.io",
        "HTTP_COOKIE": text(site),
    },
    "environ of WSGI": lambda site: {
        "wsgi.version": (1, 0),
        "PATH_INFO": "/",
        "HTTP_COOKIE": text(site),
    },
    "mapping": lambda site: {"Cookie": text(site), "host": "testserver"},
    "Headers": lambda site: Headers(raw=site.headers),
    "request that is over": lambda site: site.requests[-1],
    "scope that is over": lambda site: site.requests[-1].scope,
    "session that is over": lambda site: site.session,
}


@pytest.mark.parametrize("name", SOURCES)
async def test_source(site: Site, name: str) -> None:
    """Whatever leads to a session opens it."""
    await site.come("fill?user=ann")
    await site.come("read")  # its session came with a cookie

    async with site.sessions.open(SOURCES[name](site)) as session:
        session["opened"] = 1

    assert await site.content() == {"user": "ann", "opened": 1}


@pytest.mark.parametrize("source", [{}, {"host": "testserver"}, [], {"PATH_INFO": "/"}])
async def test_none(site: Site, source: Any) -> None:
    """A source without a cookie is a visitor without a session."""
    with pytest.raises(SessionNotFoundError, match="visitor"):
        async with site.sessions.open(source):
            pass


@pytest.mark.parametrize(
    "sent",
    [
        {"PATH_INFO": "/public", "wsgi.version": "1"},
        {"type": "http", "headers": "x"},
        {"asgi.scope": "x"},
    ],
    ids=["environment", "scope", "Socket.IO"],
)
async def test_headers_of_a_client(site: Site, sent: dict[str, str]) -> None:
    """Headers that a client sends are headers, whatever their names are."""
    await site.come("fill?user=ann")

    opened = read_source({"cookie": text(site), **sent})

    assert opened.scope is not None
    assert opened.scope["path"] == ""
    assert dict(opened.scope["headers"])[b"cookie"] == text(site).encode()


@pytest.mark.parametrize(
    "source",
    [
        {"host": "shop.example", "cookie": "x=1"},
        {"wsgi.version": (1, 0), "HTTP_HOST": "shop.example"},
    ],
    ids=["headers", "environment"],
)
def test_host(source: dict[str, Any]) -> None:
    """All headers of a mapping count, so that the host may choose the cookie."""
    opened = read_source(source)

    assert opened.scope is not None
    assert dict(opened.scope["headers"])[b"host"] == b"shop.example"


@pytest.mark.parametrize(
    "source", [None, "a cookie", [("cookie", "text")], SimpleNamespace(scope=1), [b"cookie"]]
)
async def test_wrong_type(site: Site, source: Any) -> None:
    """Anything else is a `TypeError` that says what is accepted."""
    with pytest.raises(TypeError, match="ASGI scope"):
        async with site.sessions.open(source):
            pass


async def test_session_of_no_request(site: Site) -> None:
    """A session that belongs to no request leads to none."""
    with pytest.raises(SessionNotFoundError, match="no row"):
        async with site.sessions.open(Session({"user": "ann"})):
            pass


async def test_several_cookies(site: Site) -> None:
    """Of several cookies the session that was created last counts, as in a request."""
    await site.come("fill?user=ann")
    first = site.headers
    site.browser.cookies.clear()
    await site.come("fill?user=bob")

    async with site.sessions.open([*first, *site.headers]) as session:
        assert session == {"user": "bob"}


async def test_shows_nothing(site: Site) -> None:
    """No frame of an error shows a cookie or a key, if the headers came alone."""
    await site.come("fill?user=ann")
    kept = site.headers
    await site.come("logout")

    with pytest.raises(SessionNotFoundError) as failed:
        async with site.sessions.open(kept):
            pass

    frames, secret = [], kept[0][1].decode()[30:60]
    traceback = failed.tb.tb_next
    while traceback is not None:
        if "pgsession" in traceback.tb_frame.f_code.co_filename:
            frames.append({**traceback.tb_frame.f_locals, "source": None})
        traceback = traceback.tb_next
    assert frames
    assert secret not in repr(frames)
    assert secret not in str(failed.value)
