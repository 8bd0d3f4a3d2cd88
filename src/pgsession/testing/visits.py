"""A visit: one request to an application's session middleware, with a block as the application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import copy

from starlette.types import Message, Receive, Scope, Send

from pgsession.asgi.exchange import Exchange
from pgsession.asgi.middleware import SessionMiddleware
from pgsession.asgi.policy import Policy
from pgsession.core.decision import Change
from pgsession.core.session import Session
from pgsession.core.tracked import state_of
from pgsession.errors import SessionError, StoreUnavailableError
from pgsession.testing.applications import middleware_of
from pgsession.testing.clients import Browser


@asynccontextmanager
async def visit(browser: Browser) -> AsyncIterator[Session]:
    """Open the session of a client in the running event loop; save it after the block.

    The application's own middleware loads and saves it, and writes the cookie. If the
    block raises, or changes nothing, nothing is saved.
    """
    middleware = middleware_of(browser.app)
    cookie = policy_of(middleware).cookie
    request = Visit(middleware, browser.scope(cookie))
    session = await request.begin()
    is_saved = False
    try:
        yield session
        is_saved = True
    finally:
        cookies = await request.end(is_saved=is_saved)
    browser.keep(cookies, cookie)


def policy_of(middleware: SessionMiddleware) -> Policy:
    """Return what all requests of a middleware share."""
    return middleware._policy  # noqa: SLF001 - of this package


class Visit:
    """A request whose application waits between `begin` and `end`."""

    def __init__(self, middleware: SessionMiddleware, scope: Scope) -> None:
        # A copy, with another application, for every path, and without the hook: nobody has
        # signed in with the application.
        self._middleware = own = copy(middleware)
        own.app = self._wait
        own._is_excluded = None  # noqa: SLF001 - a copy
        own._policy = copy(policy_of(middleware))  # noqa: SLF001 - a copy
        own._policy.on_new_device = None  # noqa: SLF001 - as above
        self._scope = scope
        loop = asyncio.get_running_loop()
        #: The session, or None if the request has ended without it.
        self._loaded: asyncio.Future[Session | None] = loop.create_future()
        self._left: asyncio.Future[bool] = loop.create_future()
        self._error: SessionError | None = None
        self._cookies: list[bytes] = []

    async def begin(self) -> Session:
        """Return the session, as a handler gets it. Raises what keeps it from being loaded."""
        self._request = asyncio.create_task(self._make_request())
        try:
            session = await self._loaded
        except asyncio.CancelledError:
            self._request.cancel()
            raise
        if session is not None and not session.is_unavailable:
            return session
        await self.end(is_saved=False)
        raise StoreUnavailableError(
            "The store could not load the client's session. The log of pgsession says why."
        )

    async def end(self, *, is_saved: bool) -> list[bytes]:
        """Save what has changed, if anything. Return the Set-Cookie texts of the response.

        Raises what keeps it from being saved.
        """
        self._left.set_result(is_saved)
        await self._request
        if self._error is not None:
            raise self._error
        return self._cookies

    async def _make_request(self) -> None:
        try:
            await self._middleware(self._scope, _no_body, self._send)
        except _NothingToSaveError:
            pass
        except SessionError:
            if self._error is None:
                raise
        finally:
            if not self._loaded.done():
                self._loaded.set_result(None)

    async def _wait(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Wait for the end of the block, as the application, and save the session."""
        session: Session = scope["session"]
        self._loaded.set_result(session)
        if not await self._left or _is_untouched(session):
            raise _NothingToSaveError
        try:
            await session.save()
        except SessionError as error:  # the middleware may answer with a 503
            self._error = error
            raise
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def _send(self, message: Message) -> None:
        headers = message.get("headers", ())
        self._cookies += [value for name, value in headers if name.lower() == b"set-cookie"]


class _NothingToSaveError(Exception):
    """Ends the request: a handler that raises saves nothing."""


async def _no_body() -> Message:
    return {"type": "http.request"}


def _is_untouched(session: Session) -> bool:
    """Return True if a response now would do no more than extend the session."""
    exchange = state_of(session).attachment
    assert isinstance(exchange, Exchange)  # noqa: S101 - for type checkers: it is the middleware's
    change, *_ = exchange._decide(touch=False)  # noqa: SLF001 - of this package
    has_new_key = exchange._has_new_key  # noqa: SLF001 - of this package
    return change in {Change.NOTHING, Change.FORGET} and not has_new_key
