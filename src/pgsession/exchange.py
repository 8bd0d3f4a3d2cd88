"""One request's way through the middleware, as ASGI messages."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Mapping
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pgsession.attachment import Attachment, Policy
from pgsession.errors import StoreUnavailableError
from pgsession.refusal import refuse
from pgsession.session import Session

_LOGGER = logging.getLogger("pgsession")

#: The messages with which a response starts, and which can carry headers.
_STARTS: Final = frozenset(
    {"http.response.start", "websocket.accept", "websocket.http.response.start"}
)

#: From this status on a response says that the request has failed, so nothing of it is saved.
_SERVER_ERROR: Final = 500

_VARY: Final = (b"vary", b"Cookie")
_NO_STORE: Final = (b"cache-control", b"no-store")


class ResponseRefusedError(OSError):
    """Told to a stream that goes on though the client has been answered 503."""


class Exchange(Attachment):
    """One request and its response.

    The session is loaded once, before the application sees the scope, and
    settled once, when the response starts. What changes later is merged when
    the application's call ends.
    """

    #: Our refusal went out in place of the application's response.
    _refused: bool = False
    session: Session

    def __init__(self, policy: Policy, scope: Scope, send: Send) -> None:
        self._policy = policy  # as the class above does, for less: this is on every request's way
        self._scope = scope
        self._send = send

    async def run(self, app: ASGIApp, receive: Receive) -> None:
        """Serve the request, or refuse it with 503 if the store cannot answer."""
        scope = self._scope
        outer = scope.get("session")
        presented = self._policy.cookie.find(scope["headers"])
        try:
            if presented is None:
                self.begin()
            else:
                await self.load(presented)
        except StoreUnavailableError as error:
            await self._refuse(error)
            return
        scope["session"] = session = self.session
        try:
            await app(scope, receive, self.pass_on)
            if (
                presented is not None
                or session
                or self._key is not None
                or scope.get("session") is not session
            ):
                await self._finish()
        except StoreUnavailableError as error:
            if self.started:
                raise
            await self._refuse(error)
        except (ResponseRefusedError, ClientDisconnect):
            if not self._refused:
                raise
        finally:
            session.detach()
            if outer is not None:
                scope["session"] = outer

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
            or session.cleared
            or self._key is not None
            or self._scope.get("session") is not session
        ):
            return self._start(message)
        self.started = True  # no cookie came, and nobody used the session: nothing to settle
        return self._send(message)

    async def _drop(self, message: Message) -> None:
        """Let the rest of a refused response go nowhere; end a stream."""
        if message.get("more_body"):
            raise ResponseRefusedError

    async def _start(self, message: Message) -> None:
        """Settle the session, add its headers to the response and start it, or refuse."""
        if self._scope.get("session") is not self.session:
            self._adopt_replacement()
        if message.get("status", 0) >= _SERVER_ERROR:
            self.give_up()
        try:
            cookie = await self.settle()
        except StoreUnavailableError as error:
            await self._refuse(error)
            return
        finally:
            self.started = True
        self._add_headers(message, cookie)
        await self._send(message)

    async def _finish(self) -> None:
        """Save what changed after the response had started; the application's call is over."""
        if self._refused or not self.started:
            return
        self._adopt_replacement()
        try:
            await self.settle_late()
        except StoreUnavailableError:
            _LOGGER.exception("Changes made after the response had started are lost.")

    async def _refuse(self, error: StoreUnavailableError) -> None:
        self._refused = True
        await refuse(self._scope, self._send, error)

    def _adopt_replacement(self) -> None:
        """Take over a plain dict that the application put in the session's place."""
        current = self._scope.get("session")
        if not isinstance(current, Session) and isinstance(current, Mapping):
            self.session.clear()
            self.session.update(current)
            self.session.mark_accessed()
            self._scope["session"] = self.session

    def _add_headers(self, message: Message, cookie: bytes | None) -> None:
        """Add Vary if the response depends on the session, and the cookie if there is one."""
        if cookie is None and not self.session.accessed:
            return
        message["headers"] = headers = list(message.get("headers", ()))
        _add_vary(headers)
        if cookie is not None:
            if self._policy.cookie.secure:
                self._policy.plain_http.consider(self._scope)
            headers.append((b"set-cookie", cookie))
            if all(name.lower() != b"cache-control" for name, _ in headers):
                headers.append(_NO_STORE)


def _add_vary(headers: list[tuple[bytes, bytes]]) -> None:
    for name, _ in headers:
        if name.lower() == b"vary":
            MutableHeaders(raw=headers).add_vary_header("Cookie")
            return
    headers.append(_VARY)
