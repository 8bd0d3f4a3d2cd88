"""The application under test by the hammer, and a function that calls it through ASGI."""

import asyncio
import json
import logging
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message

from pgsession import SessionMiddleware, SessionNotFoundError, SessionSettings, Store

#: All processes use the same secret, as the workers of one site do.
SECRET: Final = "the hammer's secret that every worker shares"

#: Each change extends the expiry and so sets the cookie: that acknowledges the change.
EXTENDING: Final = SessionSettings(secret_key=SECRET, touch_after=0)

#: Numbers change as often as they can, and the expiry is extended now and then.
ROTATING: Final = SessionSettings(
    secret_key=SECRET, touch_after=0.25, rotate_every=0.001, rotation_grace=0.1
)

#: The response status for a visitor without a session.
GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of one call of the application."""

    status: int
    content: Any
    #: The cookie that the response set, as in a Cookie header; None if it set none.
    cookie: str | None


def make_app(store: Store, settings: SessionSettings = EXTENDING) -> SessionMiddleware:
    """Return an application whose paths name what they do to the session."""
    logging.getLogger("pgsession").addFilter(_is_unexpected)
    pages = (login, change, count, renew, logout, show)
    routes = [Route(f"/{page.__name__}", page, methods=["POST"]) for page in pages]
    return SessionMiddleware(Starlette(routes=routes), store, settings=settings)


def reuse_count(app: SessionMiddleware) -> int:
    """Return how many copies of older cookies came to an application, as its log counts them."""
    return app._policy.reuse_log.count  # noqa: SLF001 - the log says it once in ten seconds


def _is_unexpected(record: logging.LogRecord) -> bool:
    """Return whether a log record is none about a copy, as those are counted."""
    return "has been replaced" not in record.msg


async def login(request: Request) -> Response:
    """Begin a session with this generation."""
    request.session["generation"] = int(request.query_params["generation"])
    return JSONResponse(None)


async def change(request: Request) -> Response:
    """Set a member, or remove it if there is no value."""
    if "generation" not in request.session:
        return Response(status_code=GONE)
    name, value = request.query_params["name"], request.query_params.get("value")
    if value is None:
        request.session.pop(name, None)
    else:
        request.session[name] = value
    for _ in range(len(name) % 3):
        await asyncio.sleep(0)  # so that other requests load and save between our load and save
    return JSONResponse(request.session["generation"])


async def count(request: Request) -> Response:
    """Read, add one and write, under the session's lock."""
    session: Any = request.session
    if "generation" not in session:
        return Response(status_code=GONE)
    try:
        async with session.exclusive(timeout=30):
            session["count"] = session.get("count", 0) + 1
    except SessionNotFoundError:
        return Response(status_code=GONE)
    return JSONResponse(session["generation"])


async def renew(request: Request) -> Response:
    """Renew the key, as a login does."""
    session: Any = request.session
    if "generation" not in session:
        return Response(status_code=GONE)
    session.renew()
    return JSONResponse(session["generation"])


async def logout(request: Request) -> Response:
    """End the session."""
    if "generation" not in request.session:
        return Response(status_code=GONE)
    generation = request.session["generation"]
    request.session.clear()
    return JSONResponse(generation)


async def show(request: Request) -> Response:
    """Return the whole content."""
    if "generation" not in request.session:
        return Response(status_code=GONE)
    return JSONResponse(dict(request.session))


async def call(app: ASGIApp, page: str, *, cookie: str | None = None, **query: object) -> Answer:
    """Call a page with a cookie; return when the application has returned."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"testserver")]
    if cookie is not None:
        headers.append((b"cookie", cookie.encode()))
    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "https",
        "path": f"/{page}",
        "raw_path": f"/{page}".encode(),
        "root_path": "",
        "query_string": urlencode(query).encode(),
        "headers": headers,
        "server": ("testserver", 443),
    }
    await app(scope, receive, send)
    start, *bodies = sent
    body = b"".join(message.get("body", b"") for message in bodies)
    given = dict(start["headers"]).get(b"set-cookie")
    return Answer(
        start["status"],
        json.loads(body) if start["status"] == 200 else None,
        None if given is None else given.decode().partition(";")[0],
    )
