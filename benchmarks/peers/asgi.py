"""Calls an application in process, as a server does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.types import Message, Receive, Scope

Headers = list[tuple[bytes, bytes]]

#: The headers of a typical browser, without the cookie.
HEADERS: Headers = [
    (b"host", b"127.0.0.1:8000"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"accept-language", b"en-GB,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"connection", b"keep-alive"),
]


class FailedError(RuntimeError):
    """A page did not respond with 200, so the measurement is not valid."""


@asynccontextmanager
async def running(app: Starlette) -> AsyncIterator[None]:
    """Start an application and stop it, through its lifespan."""
    messages: asyncio.Queue[Message] = asyncio.Queue()
    started = asyncio.Event()
    scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}

    async def send(message: Message) -> None:
        if message["type"].endswith(".failed"):
            raise FailedError(message["type"])
        started.set()

    await messages.put({"type": "lifespan.startup"})
    life = asyncio.create_task(app(scope, messages.get, send))
    waiting = asyncio.create_task(started.wait())
    await asyncio.wait([life, waiting], return_when=asyncio.FIRST_COMPLETED)
    if life.done():
        waiting.cancel()
        await life
    try:
        yield
    finally:
        await messages.put({"type": "lifespan.shutdown"})
        await life


class Client:
    """Calls one page of an application, each time with another cookie."""

    def __init__(self, app: Starlette, path: str, cookies: list[bytes]) -> None:
        self._app = app
        self._headers = [[*HEADERS, (b"cookie", cookie)] for cookie in cookies] or [HEADERS]
        self._scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "https",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8000),
        }

    async def call(self, number: int) -> None:
        """Make one request."""
        headers = self._headers
        scope = {**self._scope, "headers": headers[number % len(headers)]}
        await self._app(scope, _receive, _send)


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(message: Message) -> None:
    if message["type"] == "http.response.start" and message["status"] != 200:
        raise FailedError(message["status"])


async def start_sessions(app: Starlette, count: int, *, size: int = 0) -> list[bytes]:
    """Begin `count` sessions, of a size in bytes; return their cookies, as a browser sends them."""
    cookies: list[bytes] = []

    async def send(message: Message) -> None:
        await _send(message)
        for name, value in message.get("headers", ()):
            if name.lower() == b"set-cookie":
                cookies.append(value.split(b";")[0])

    async def begin(share: int) -> None:
        scope: Scope = Client(app, "/start", [])._scope  # noqa: SLF001
        scope["query_string"] = f"size={size}".encode()
        receive: Receive = _receive
        for _ in range(share):
            await app({**scope, "headers": HEADERS}, receive, send)

    await asyncio.gather(*(begin(count // 50) for _ in range(50)))
    return cookies
