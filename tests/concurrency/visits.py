"""Requests to tiny applications, and a browser that remembers one cookie."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, TypeAlias

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pgsession import Session, SessionMiddleware, Store

SECRET: Final = "a secret of the tests, long enough for all"
MAX_AGE: Final = re.compile(r"; Max-Age=(\d+);")

#: What a handler does with its session.
Work: TypeAlias = Callable[[Session], Awaitable[object]]


async def idle(session: Session) -> None:
    """Look at the session, and leave it as it is."""
    session.mark_accessed()


def application(
    store: Store, work: Work = idle, *, late: Work = idle, **settings: object
) -> SessionMiddleware:
    """Return an application that does `work`, answers, and then does the `late` work."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        session = Request(scope).session
        assert isinstance(session, Session)
        await work(session)
        response = PlainTextResponse("ok", background=BackgroundTask(late, session))
        await response(scope, receive, send)

    middleware: Callable[..., SessionMiddleware] = SessionMiddleware
    return middleware(app, store=store, secret_key=SECRET, **settings)


def filling(**members: object) -> Work:
    """Return work that sets these members."""

    async def fill(session: Session) -> None:
        session.update(members)

    return fill


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: its status, and the Set-Cookie texts in it."""

    status: int
    cookies: list[str]

    @property
    def cookie(self) -> str:
        """The one cookie set, as a browser sends it back."""
        (text,) = self.cookies
        return text.partition(";")[0]

    @property
    def key(self) -> str:
        """The key in the one cookie set."""
        return key_in(self.cookie)

    @property
    def max_age(self) -> int | None:
        """The one cookie's Max-Age, or None for one that dies with the browser."""
        (text,) = self.cookies
        found = MAX_AGE.search(text)
        return None if found is None else int(found[1])


def key_in(cookie: str) -> str:
    """Return the store's key in a cookie."""
    return cookie.partition("=")[2].partition(".")[0]


async def visit(
    app: ASGIApp,
    cookie: str | None = None,
    *,
    on_start: Callable[[], Awaitable[object]] | None = None,
) -> Answer:
    """Make a request; return the answer when the whole call, late work too, is over.

    `on_start` is awaited when the server gets the response's first message,
    before a byte of it leaves.
    """
    starts: list[Message] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            starts.append(message)
            if on_start is not None:
                await on_start()

    headers = [] if cookie is None else [(b"cookie", cookie.encode())]
    await app(_scope(headers), _receive, send)
    (start,) = starts
    return Answer(
        start["status"],
        [text.decode() for name, text in start["headers"] if name.lower() == b"set-cookie"],
    )


def _scope(headers: list[tuple[bytes, bytes]]) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "server": ("testserver", 443),
        "client": ("testclient", 1),
    }


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


@dataclass(slots=True)
class Gate:
    """A place in a handler that a test sees reached, and opens."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def passed(self) -> None:
        """Say that somebody is here, and wait until the gate is open."""
        self.reached.set()
        await self.opened.wait()

    def after(self, work: Work) -> Work:
        """Return what does `work` and then stops here."""

        async def stop(session: Session) -> None:
            await work(session)
            await self.passed()

        return stop


class Browser:
    """Keeps the cookie as the server last set it, and knows when it would drop it."""

    def __init__(self) -> None:
        self.cookie: str | None = None
        #: Seconds until the cookie is dropped; None: when the browser is closed.
        self.remaining: float | None = None

    @property
    def key(self) -> str:
        """The store's key in the cookie."""
        assert self.cookie is not None
        return key_in(self.cookie)

    async def visit(self, app: ASGIApp) -> Answer:
        """Make a request, and do with its answer what browsers do."""
        answer = await visit(app, self.cookie)
        if answer.cookies:
            self.cookie, self.remaining = answer.cookie, answer.max_age
        if self.remaining == 0:
            self.cookie = None
        return answer

    def age(self, by: timedelta) -> None:
        """Make the cookie that much older."""
        if self.remaining is not None:
            self.remaining -= by.total_seconds()
