"""The program of docs/how-to/fastapi.md does what the page says."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from pgsession import (
    MemoryStore,
    Session,
    SessionMiddleware,
    SessionMissingError,
    SessionSettings,
    get_session,
)
from tests.applications import SECRET
from tests.pages import NAME
from tests.project.conftest import Names
from tests.project.documents import Document

PROGRAM, ORDER = Document("docs/how-to/fastapi.md").programs
SESAME = {"user": "ann", "password": "sesame"}


def client(app: ASGIApp) -> TestClient:
    return TestClient(app, base_url="https://testserver")


def test_program(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ann signs in, is known to the dependencies and the WebSocket, and signs out for good."""
    monkeypatch.setenv("SESSION_WATCH_EVERY", "0.1s")
    page = names(PROGRAM)
    with client(page["app"]) as visitor:
        assert [visitor.get("/").json()["visits"] for _ in range(2)] == [1, 2]
        assert visitor.get("/account").status_code == 401
        assert visitor.post("/sign-in", data={**SESAME, "password": "?"}).status_code == 403
        assert visitor.post("/sign-in", data=SESAME).status_code == 204
        assert visitor.get("/account").json()["user"] == "ann"
        assert [it["is_current"] for it in visitor.get("/devices").json()] == [True]
        copy = visitor.cookies[NAME]
        with visitor.websocket_connect("wss://testserver/events") as socket:
            socket.send_text("hello")
            assert socket.receive_text() == "ann: hello"
            visitor.post("/sign-out")
            with pytest.raises(WebSocketDisconnect) as closed:
                socket.receive_text()
            assert closed.value.code == 4401
        visitor.cookies.set(NAME, copy)
        assert visitor.get("/account").status_code == 401
        page["app"].dependency_overrides[page["user_of"]] = lambda: "bob"
        assert visitor.get("/account").json()["user"] == "bob"
    assert page["pool"].closed


CurrentSession = Annotated[Session, Depends(get_session)]


def site() -> FastAPI:
    """An application with the middleware, and the pages of the mistakes."""
    app = FastAPI()
    app.add_middleware(SessionMiddleware, store=MemoryStore(), secret_key=SECRET)

    async def late(session: CurrentSession) -> AsyncIterator[None]:
        yield
        session["late"] = True

    @app.get("/late", dependencies=[Depends(late)])
    async def with_late() -> None: ...

    @app.get("/early", dependencies=[Depends(late, scope="function")])
    async def with_early() -> None: ...

    async def failing(session: CurrentSession) -> AsyncIterator[None]:
        session["unsaved"] = True
        yield
        raise LookupError

    @app.get("/failing", dependencies=[Depends(failing, scope="function")])
    async def with_failing() -> None: ...

    @app.get("/begin")
    def begin(session: CurrentSession) -> None:  # in a thread
        session.login("ann")

    @app.get("/refuse")
    async def refuse(session: CurrentSession) -> None:
        session["failed"] = session.get("failed", 0) + 1
        raise HTTPException(403)

    @app.get("/show")
    async def show(session: CurrentSession) -> dict[str, Any]:
        return {**session, "user": session.user_id}

    return app


def test_mistakes(caplog: pytest.LogCaptureFixture) -> None:
    """A 403 saves; behind `yield` only a session that exists is saved; a thread can sign in."""
    with client(site()) as visitor:
        visitor.get("/late")
        assert NAME not in visitor.cookies
        assert "WARNING" in {record.levelname for record in caplog.records}
        visitor.get("/refuse")
        visitor.get("/late")
        assert visitor.get("/show").json() == {"failed": 1, "late": True, "user": None}
        visitor.cookies.clear()
        visitor.get("/early")
        assert visitor.get("/show").json() == {"late": True, "user": None}
        with pytest.raises(LookupError):
            visitor.get("/failing")
        assert "unsaved" not in visitor.get("/show").json()
        visitor.get("/begin")
        assert visitor.get("/show").json()["user"] == "ann"


def test_bare_parameter() -> None:
    """A parameter `session: Session` is an error at the start."""
    app = FastAPI()

    with pytest.raises(Exception, match="Depends"):

        @app.get("/")
        async def home(session: Session) -> None: ...


class Visiting:
    """A middleware that uses the session."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["session"]["seen"] = True
        await self._app(scope, receive, send)


def test_order() -> None:
    """In the order of the page, a middleware has the session, and a rejection the CORS headers."""
    app = FastAPI()

    @app.get("/")
    async def home(request: Request) -> dict[str, Any]:
        return dict(request.session)

    settings = SessionSettings(secret_key=SECRET, csrf_protection=True)
    scope = {
        "app": app,
        "CORSMiddleware": CORSMiddleware,
        "SessionMiddleware": _with_store,
        "YourMiddlewareThatUsesTheSession": Visiting,
        "settings": settings,
    }
    exec(ORDER, scope)  # noqa: S102 - the project's own page

    visitor = client(app)
    assert visitor.get("/").json() == {"seen": True}
    origin = {"origin": "https://app.example.org"}
    rejected: Response | Any = visitor.post("/", headers=origin)
    assert rejected.status_code == 403
    assert rejected.headers["access-control-allow-credentials"] == "true"


def _with_store(app: ASGIApp, settings: SessionSettings) -> ASGIApp:
    return SessionMiddleware(app, store=MemoryStore(), settings=settings)


def test_function_outside() -> None:
    """A function of `@app.middleware` below `add_middleware` stands outside of it."""
    app = FastAPI()
    app.add_middleware(SessionMiddleware, store=MemoryStore(), secret_key=SECRET)

    @app.middleware("http")
    async def note(request: Request, call_next: Any) -> Response:
        get_session(request)["seen"] = True
        response: Response = await call_next(request)
        return response

    with pytest.raises(SessionMissingError):
        client(app).get("/")
