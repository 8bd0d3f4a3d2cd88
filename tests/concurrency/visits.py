"""Requests to small applications, and a browser that keeps one cookie."""

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

SECRET: Final = "a secret of the tests that is long enough for all"
MAX_AGE: Final = re.compile(r"; Max-Age=(\d+);")

#: What a handler does with its session.
Work: TypeAlias = Callable[[Session], Awaitable[object]]


async def idle(session: Session) -> None:
    """Access the session, but do not change it."""
    session.mark_accessed()


def application(
    store: Store, work: Work = idle, *, late: Work = idle, **settings: object
) -> SessionMiddleware:
    """Return an application that does `work`, responds, and then does the `late` work."""

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
    """A response: its status, and its Set-Cookie headers."""

    status: int
    cookies: list[str]

    @property
    def cookie(self) -> str:
        """The only cookie set, as a browser sends it back."""
        (text,) = self.cookies
        return text.partition(";")[0]

    @property
    def key(self) -> str:
        """The key in the only cookie set."""
        return key_in(self.cookie)

    @property
    def max_age(self) -> int | None:
        """The Max-Age of the only cookie set; None if it ends with the browser."""
        (text,) = self.cookies
        found = MAX_AGE.search(text)
        return None if found is None else int(found[1])


def key_in(cookie: str) -> str:
    """Return the store's key in a cookie."""
    selector, verifier, *_ = cookie.partition("=")[2].split(".")
    return f"{selector}.{verifier}" if verifier else selector


async def visit(
    app: ASGIApp,
    cookie: str | None = None,
    *,
    on_start: Callable[[], Awaitable[object]] | None = None,
) -> Answer:
    """Make a request; return the answer when the application has returned, after its late work.

    `on_start` is awaited when the server gets the first message of the response,
    before any of it is sent.
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
    """A point in a handler: a test can wait until it is reached, and then open it."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def passed(self) -> None:
        """Signal that the gate is reached, and wait until it is open."""
        self.reached.set()
        await self.opened.wait()

    def after(self, work: Work) -> Work:
        """Return work that does `work` and then waits at this gate."""

        async def stop(session: Session) -> None:
            await work(session)
            await self.passed()

        return stop


class Browser:
    """Keeps the cookie that the server set last, and the seconds until it expires."""

    def __init__(self) -> None:
        self.cookie: str | None = None
        #: Seconds until the cookie expires; None if it ends with the browser.
        self.remaining: float | None = None

    @property
    def key(self) -> str:
        """The store's key in the cookie."""
        assert self.cookie is not None
        return key_in(self.cookie)

    async def visit(self, app: ASGIApp) -> Answer:
        """Make a request, and store its cookie as a browser does."""
        answer = await visit(app, self.cookie)
        if answer.cookies:
            self.cookie, self.remaining = answer.cookie, answer.max_age
        if self.remaining == 0:
            self.cookie = None
        return answer

    def age(self, by: timedelta) -> None:
        """Make the cookie older."""
        if self.remaining is not None:
            self.remaining -= by.total_seconds()
