"""`get_session`: the session with its type, or one clear error."""

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient as FastAPIClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware as StarletteMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from pgsession import (
    MemoryStore,
    Session,
    SessionExcludedError,
    SessionMiddleware,
    SessionMissingError,
    get_session,
)

SECRET = "one-secret-that-is-long-enough-for-it"
SITE = "https://testserver"

SessionDep = Annotated[Session, Depends(get_session)]


async def page(request: Request) -> PlainTextResponse:
    """Store a member, and print the session."""
    session = get_session(request)
    session["cart"] = ["apple"]
    await session.save()
    return PlainTextResponse(str(session))


def test_typed() -> None:
    """`get_session` returns what `request.session` is."""
    store = MemoryStore(default_period=100)
    app = Starlette(routes=[Route("/", page)])
    app.add_middleware(SessionMiddleware, store=store, secret_key=SECRET)

    with TestClient(app, base_url=SITE) as client:
        text = client.get("/").text

    assert text == "<Session: visitor, 0:01:40 left, members ['cart']>"


def test_no_use() -> None:
    """`get_session` alone is no use of the session."""

    async def look(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(get_session(request).accessed))

    app = Starlette(routes=[Route("/", look)])
    app.add_middleware(SessionMiddleware, store=MemoryStore(), secret_key=SECRET)

    response = TestClient(app, base_url=SITE).get("/")

    assert response.text == "False"
    assert "vary" not in response.headers


def test_fastapi() -> None:
    """`Depends(get_session)` gives a handler its session, for HTTP and for WebSockets."""
    app = FastAPI()

    @app.get("/")
    async def write(session: SessionDep) -> dict[str, Any]:
        session["user"] = "ann"
        return dict(session)

    @app.websocket("/ws")
    async def read(websocket: WebSocket, session: SessionDep) -> None:
        await websocket.accept()
        await websocket.send_json(dict(session))

    app.add_middleware(SessionMiddleware, store=MemoryStore(), secret_key=SECRET)

    with FastAPIClient(app, base_url=SITE) as client:
        assert client.get("/").json() == {"user": "ann"}
        with client.websocket_connect("wss://testserver/ws") as websocket:
            assert websocket.receive_json() == {"user": "ann"}


def test_fastapi_bare_parameter() -> None:
    """A parameter of the type Session, without Depends, is an error that says what to write."""

    async def wrong(session: Session) -> None:
        """Never run."""

    with pytest.raises(TypeError, match=r"session: Annotated\[Session, Depends\(get_session\)\]"):
        FastAPI().get("/")(wrong)


class Foreign:
    """The session of another library."""


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        pytest.param({}, "has no session: add pgsession's", id="none"),
        pytest.param({"session": {}}, "Starlette's own SessionMiddleware", id="plain dict"),
        pytest.param({"session": Foreign()}, "test_access.Foreign", id="another library"),
    ],
)
def test_missing(scope: dict[str, Any], said: str) -> None:
    """Without a session of ours, the error says what stands there and what to do."""
    with pytest.raises(SessionMissingError, match=said):
        get_session(HTTPConnection({"type": "http", **scope}))


def attempt(middleware: list[Middleware]) -> Exception:
    """Return the error of `get_session` in an application with this middleware."""
    errors: list[Exception] = []

    async def attempted(request: Request) -> PlainTextResponse:
        with pytest.raises(Exception, match="session") as raised:
            get_session(request)
        errors.append(raised.value)
        return PlainTextResponse("")

    app = Starlette(routes=[Route("/", attempted)], middleware=middleware)
    TestClient(app, base_url=SITE).get("/")
    return errors[0]


@pytest.mark.parametrize(
    ("middleware", "kind"),
    [
        pytest.param(
            lambda: Middleware(StarletteMiddleware, secret_key=SECRET),
            SessionMissingError,
            id="Starlette's",
        ),
        pytest.param(
            lambda: Middleware(
                SessionMiddleware, store=MemoryStore(), secret_key=SECRET, exclude=["/"]
            ),
            SessionExcludedError,
            id="excluded",
        ),
    ],
)
def test_not_ours(middleware: Callable[[], Middleware], kind: type[Exception]) -> None:
    """The session of Starlette's middleware, and an excluded path, are errors of their own."""
    assert type(attempt([middleware()])) is kind
