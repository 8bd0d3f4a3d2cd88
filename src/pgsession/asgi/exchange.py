"""One request's way through the middleware, as ASGI messages."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any, Final

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import Message, Scope, Send

from pgsession.asgi.binding import Attachment, Policy
from pgsession.asgi.refusal import refuse
from pgsession.asgi.unavailable import UnavailableSession
from pgsession.core.session import Session
from pgsession.errors import StoreUnavailableError

_LOGGER = logging.getLogger("pgsession")

#: The messages with which a response starts, and which can carry headers.
_STARTS: Final = frozenset(
    {"http.response.start", "websocket.accept", "websocket.http.response.start"}
)

#: From this status on a response says that the request has failed, so nothing of it is saved.
_SERVER_ERROR: Final = 500


class ResponseRefusedError(OSError):
    """Told to a stream that goes on though the client has been answered 503."""


#: What an application may end with because of a refusal, ours or that of the store.
OURS: Final = (StoreUnavailableError, ResponseRefusedError, ClientDisconnect)

_VARY: Final = (b"vary", b"Cookie")
_NO_STORE: Final = (b"cache-control", b"no-store")


class Exchange(Attachment):
    """One request and its response.

    The session is loaded once, before the application sees the scope, and
    settled once, when the response starts. What changes later is merged when
    the application's call ends: `finish`.
    """

    #: Nobody had used the session when the response started, nor had a cookie come.
    is_unused: bool = False
    #: Our refusal went out in place of the application's response.
    _refused: bool = False
    #: The log counts this request among those that went without their session.
    _is_reported: bool = False
    #: Why the store could not do what the application asked of the session.
    _failure: StoreUnavailableError | None = None
    session: Session
    started: bool

    def __init__(self, policy: Policy, scope: Scope, send: Send) -> None:
        # As the class above does, for less: this is on every request's way.
        self._policy = policy
        self.session = session = Session.__new__(Session)
        session.attachment = self
        self._scope = scope
        self._send = send

    async def look_up(self, presented: str) -> bool:
        """Load the session of a key; return whether the request may go on, else it is refused."""
        policy = self._policy
        trouble = policy.trouble
        try:
            entry = await policy.store.get(presented)
        except StoreUnavailableError as error:
            if not policy.is_anonymous(self._scope):
                await self._refuse(error)
                return False
            self._report(error)
            self._presented = True
            self.session = UnavailableSession(attachment=self)
            self.give_up()
            self._failure = error  # why the application fails, if it fails at changing this one
        else:
            if trouble.is_on:
                trouble.note_answer()
            self.begin_with(presented, entry)
        return True

    def is_finished(self) -> bool:
        """Tell whether nothing can be left to save, once the application's call is over."""
        return self._scope.get("session") is self.session and self.session.is_unchanged

    def pass_on(self, message: Message) -> Awaitable[None]:
        """Pass a message on; settle the session first if the response starts with it.

        Returns what the server returns where there is nothing more to await.
        """
        if self.started or message["type"] not in _STARTS:
            return self._drop(message) if self._refused else self._send(message)
        session = self.session
        if (
            self._presented
            or session
            or session.accessed
            or self._turn is not None  # somebody saves
            or self._scope.get("session") is not session
        ):
            return self._start(message)
        self.started = self.is_unused = True  # so there is nothing to settle
        return self._send(message)

    async def _drop(self, message: Message) -> None:
        """Let the rest of a refused response go nowhere; end a stream."""
        if message.get("more_body"):
            raise ResponseRefusedError

    async def save(self) -> None:
        with self._noting():
            await super().save()

    async def reload(self) -> None:
        with self._noting():
            await super().reload()

    @asynccontextmanager
    async def exclusive(self, timeout: timedelta) -> AsyncIterator[None]:
        with self._noting():
            async with super().exclusive(timeout):
                yield

    async def take(self, name: str, default: object) -> Any:  # noqa: ANN401 - JSON
        with self._noting():
            return await super().take(name, default)

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Take note of a failure of the store, which somebody may turn into a response."""
        try:
            yield
        except StoreUnavailableError as error:
            self._failure = error
            raise

    async def _start(self, message: Message) -> None:
        """Settle the session, add its headers to the response and start it, or refuse."""
        status = message.get("status", 0)
        if status >= _SERVER_ERROR:
            self.give_up()
        try:
            if self._scope.get("session") is not self.session:
                self._adopt_replacement()
            if status == _SERVER_ERROR and self._failure is not None:
                raise self._failure  # a mounted application has made it its own
            cookie = await self.settle()
        except StoreUnavailableError as error:
            self.started = True
            await self._refuse(error)
            return
        self.started = True
        self._add_headers(message, cookie)
        await self._send(message)

    async def finish(self) -> None:
        """Save what changed after the response had started; the application's call is over."""
        if self._refused or not self.started:
            return
        try:
            self._adopt_replacement()
            await self.settle_late()
        except StoreUnavailableError:
            _LOGGER.exception("Changes made after the response had started are lost.")

    async def answer_for(self, error: Exception) -> bool:
        """Refuse the request if the store is why it failed; return whether it is answered."""
        errors = list(_leaves(error))
        if self._refused:
            return all(isinstance(each, OURS) for each in errors)
        match errors[0]:
            case StoreUnavailableError() as first if not self.started and all(
                isinstance(each, StoreUnavailableError) for each in errors
            ):
                await self._refuse(first)
        return self._refused

    async def _refuse(self, error: StoreUnavailableError) -> None:
        self._refused = True
        self._report(error)
        await refuse(self._scope, self._send)

    def _report(self, error: StoreUnavailableError) -> None:
        """Have the log count this request among those that went without, once."""
        if not self._is_reported:
            self._is_reported = True
            self._policy.trouble.note(error)

    def _adopt_replacement(self) -> None:
        """Take over a plain dict that the application put in the session's place."""
        current = self._scope.get("session")
        if not isinstance(current, Session) and isinstance(current, Mapping):
            content = dict(current)  # before it is cleared: it may be a view of the session
            self.session.clear()
            self.session.update(content)
            self.session.mark_accessed()
            self._scope["session"] = self.session

    def _add_headers(self, message: Message, cookie: bytes | None) -> None:
        """Add Vary if the response depends on the session, and the cookie if there is one."""
        unavailable = self.session.is_unavailable
        if cookie is None and not self.session.accessed and not unavailable:
            return
        message["headers"] = headers = list(message.get("headers", ()))
        names = [name.lower() for name, _ in headers]
        if b"vary" in names:
            MutableHeaders(raw=headers).add_vary_header("Cookie")
        else:
            headers.append(_VARY)
        if unavailable:
            MutableHeaders(raw=headers)["Cache-Control"] = "no-store"
        if cookie is not None:
            if self._policy.cookie.secure:
                self._policy.plain_http.consider(self._scope)
            headers.append((b"set-cookie", cookie))
            if b"cache-control" not in names:
                headers.append(_NO_STORE)


def _leaves(error: Exception) -> Iterator[Exception]:
    """Yield the errors in a group of groups, or the one that is none."""
    if isinstance(error, ExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error
