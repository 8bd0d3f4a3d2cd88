"""An application that counts in a session and keeps sockets open, for the servers of the matrix.

Each response names the process that sent it.
"""

import os
from contextlib import suppress
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from pgsession import SessionMiddleware, SessionSettings


async def begin(request: Request) -> JSONResponse:
    """Begin a session."""
    request.session["count"] = 0
    return respond()


async def count(request: Request) -> JSONResponse:
    """Raise the number that all requests share."""
    session: Any = request.session
    async with session.exclusive(timeout=20):
        session["count"] += 1
    return respond()


async def mark(request: Request) -> JSONResponse:
    """Set a member that only this request sets."""
    request.session[request.path_params["name"]] = True
    return respond()


async def show(request: Request) -> JSONResponse:
    """Show the session."""
    return respond(session=dict(request.session))


async def sign_in(request: Request) -> JSONResponse:
    """Sign a user in."""
    session: Any = request.session
    session.login(request.path_params["user_id"])
    return respond()


async def wait(websocket: WebSocket) -> None:
    """Name this process, and wait for a client that says nothing."""
    await websocket.accept()
    await websocket.send_text(str(os.getpid()))
    with suppress(WebSocketDisconnect):
        await websocket.receive_text()


def respond(**content: Any) -> JSONResponse:
    """Return a response that names this process."""
    return JSONResponse({"process": os.getpid(), **content})


app = Starlette(
    routes=[
        Route("/begin", begin, methods=["POST"]),
        Route("/count", count, methods=["POST"]),
        Route("/mark/{name}", mark, methods=["POST"]),
        Route("/show", show),
        Route("/sign-in/{user_id}", sign_in, methods=["POST"]),
        WebSocketRoute("/wait", wait),
    ],
    middleware=[Middleware(SessionMiddleware, settings=SessionSettings.from_env())],
)
