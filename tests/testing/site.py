"""An application whose session the tests look into from outside."""

from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from pgsession import Session, SessionMiddleware, SessionSettings, Store
from tests.applications import SECRET

ADDRESS = "https://testserver"


def session_in(connection: HTTPConnection) -> Session:
    """Return the session, for type checkers."""
    assert isinstance(connection.session, Session)
    return connection.session


async def show(request: Request) -> JSONResponse:
    """Return the user and the content of the session."""
    session = session_in(request)
    return JSONResponse([session.user_id, dict(session)])


async def count(request: Request) -> JSONResponse:
    """Count in the session."""
    request.session["count"] = request.session.get("count", 0) + 1
    return JSONResponse(request.session["count"])


async def login(request: Request) -> JSONResponse:
    """Sign ann in."""
    session_in(request).login("ann")
    return JSONResponse(None)


async def greet(socket: WebSocket) -> None:
    """Send the user, the scheme and the host."""
    await socket.accept(socket.scope["subprotocols"][0] if socket.scope["subprotocols"] else None)
    words = [session_in(socket).user_id, socket.url.scheme, socket.url.netloc, socket.url.path]
    await socket.send_json([*words, socket.url.query, socket.headers.get("x-test")])
    await socket.close()


PAGES: list[BaseRoute] = [
    Route("/", show),
    Route("/count", count),
    Route("/login", login),
    WebSocketRoute("/ws", greet),
    WebSocketRoute("/below/ws", greet),
]


def make_app(store: Store, **settings: Any) -> Starlette:
    """Return the application, with a middleware of these settings."""
    return Starlette(routes=PAGES, middleware=[session_middleware(store, **settings)])


def session_middleware(store: Store, **settings: Any) -> Middleware:
    """Return the middleware as an application lists it."""
    given = SessionSettings(secret_key=SECRET, **settings)
    return Middleware(SessionMiddleware, store=store, settings=given)
