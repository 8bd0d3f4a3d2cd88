"""A site whose sessions are bound to devices. The SESSION_* variables say for how long.

In the folder BOUND_FOLDER, the file `log` gets a line of JSON for each response. The file `fatal`
may contain paths, one in a line: the process that gets a request for the first of them removes the
line, and dies before its answer leaves.
"""

import json
import os
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from pgsession import Session, SessionMiddleware, SessionSettings

FOLDER = Path(os.environ["BOUND_FOLDER"])
LOG, FATAL = FOLDER / "log", FOLDER / "fatal"

# With an empty icon, the browser requests none.
PAGE = """<!doctype html><title>Bound</title><link rel="icon" href="data:,">
<p id="user">{user}</p><p id="bound">{bound}</p><p id="missing">{missing}</p>
<form method="post" action="/login?status=303"><button>Sign in</button></form>
"""


async def look(request: Request) -> Response:
    """Show who is signed in, and whether the session is bound, with the status in the query."""
    status, session = int(request.query_params.get("status", "200")), session_of(request)
    if status == 303:
        return RedirectResponse("/", status)
    return HTMLResponse(
        PAGE.format(
            user=session.user_id or "", bound=session.device_bound, missing=session.proof_missing
        ),
        status,
    )


async def login(request: Request) -> Response:
    session_of(request).login("ann")
    return await look(request)


async def logout(request: Request) -> Response:
    session_of(request).logout()
    return await look(request)


async def renew(request: Request) -> Response:
    session_of(request).renew()
    return await look(request)


async def public(_: Request) -> Response:
    """Answer without a session."""
    return PlainTextResponse("public")


async def events(request: Request) -> Response:
    """Stream one event, the user, and end."""
    user = session_of(request).user_id or ""

    async def stream() -> AsyncIterator[str]:
        yield f"data: {user}\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream")


async def socket(websocket: WebSocket) -> None:
    """Send the user, and wait until the client leaves."""
    user = session_of(websocket).user_id or ""
    await websocket.accept()
    await websocket.send_text(user)
    await websocket.receive()


def session_of(connection: Request | WebSocket) -> Session:
    session = connection.session
    assert isinstance(session, Session)  # for the type checker
    return session


class Recorder:
    """Writes each response to the log, before it leaves."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, partial(self._send, scope, send))

    async def _send(self, scope: Scope, send: Send, message: Message) -> None:
        if message["type"] in {"http.response.start", "websocket.accept"}:
            record(scope, message)
            die_if_told(scope["path"])
        await send(message)


def record(scope: Scope, message: Message) -> None:
    line = {
        "process": os.getpid(),
        "method": scope.get("method", "GET"),
        "path": scope["path"],
        "status": message.get("status", 101),
        "request": texts(scope["headers"]),
        "response": texts(message.get("headers", ())),
    }
    with LOG.open("a") as file:
        file.write(json.dumps(line) + "\n")


def texts(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): text.decode("latin-1") for name, text in headers}


def die_if_told(path: str) -> None:
    first, line_break, rest = FATAL.read_text().partition("\n") if FATAL.exists() else ("", "", "")
    if line_break and path == first:
        FATAL.write_text(rest)
        os._exit(1)


app = Recorder(
    Starlette(
        routes=[
            Route("/", look),
            Route("/login", login, methods=["GET", "POST"]),
            Route("/logout", logout),
            Route("/renew", renew),
            Route("/public", public),
            Route("/events", events),
            WebSocketRoute("/socket", socket),
        ],
        middleware=[Middleware(SessionMiddleware, settings=SessionSettings.from_env())],
    )
)
