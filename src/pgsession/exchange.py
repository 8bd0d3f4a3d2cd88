"""One request's way through the middleware, as ASGI messages."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from starlette.datastructures import MutableHeaders
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


class Exchange:
    """One request and its response.

    The session is loaded once, before the application sees the scope, and
    settled once, when the response starts. What changes later is merged when
    the application's call ends.
    """

    __slots__ = ("_attachment", "_policy", "_refused", "_scope", "_send", "_session")

    def __init__(self, policy: Policy, scope: Scope, send: Send) -> None:
        self._policy = policy
        self._scope = scope
        self._send = send
        self._attachment = Attachment(policy)
        self._session: Session
        #: Our refusal went out in place of the application's response.
        self._refused = False

    async def run(self, app: ASGIApp, receive: Receive) -> None:
        """Serve the request, or refuse it with 503 if the store cannot answer."""
        scope = self._scope
        outer = scope.get("session")
        try:
            presented = self._policy.cookie.find(scope["headers"])
            self._session = scope["session"] = await self._attachment.load(presented)
            await app(scope, receive, self._pass)
            await self._finish()
        except StoreUnavailableError as error:
            if self._attachment.started:
                raise
            await self._refuse(error)
        finally:
            if outer is not None:
                scope["session"] = outer

    async def _pass(self, message: Message) -> None:
        """Pass a message on; settle the session first if the response starts with it."""
        if self._refused:
            return
        if not self._attachment.started and message["type"] in _STARTS:
            self._adopt_replacement()
            try:
                cookie = await self._attachment.settle()
            except StoreUnavailableError as error:
                await self._refuse(error)
                return
            finally:
                self._attachment.started = True
            self._add_headers(message, cookie)
        await self._send(message)

    async def _finish(self) -> None:
        """Save what changed after the response had started; the application's call is over."""
        if self._refused or not self._attachment.started:
            return
        self._adopt_replacement()
        try:
            await self._attachment.settle_late()
        except StoreUnavailableError:
            _LOGGER.exception("Changes made after the response had started are lost.")

    async def _refuse(self, error: StoreUnavailableError) -> None:
        self._refused = True
        await refuse(self._scope, self._send, error)

    def _adopt_replacement(self) -> None:
        """Take over a plain dict that the application put in the session's place."""
        current = self._scope.get("session")
        if not isinstance(current, Session) and isinstance(current, Mapping):
            self._session.clear()
            self._session.update(current)
            self._session.mark_accessed()
            self._scope["session"] = self._session

    def _add_headers(self, message: Message, cookie: bytes | None) -> None:
        if cookie is None and not self._session.accessed:
            return
        message.setdefault("headers", [])
        headers = MutableHeaders(scope=message)
        headers.add_vary_header("Cookie")
        if cookie is not None:
            if self._policy.cookie.secure:
                self._policy.plain_http.consider(self._scope)
            headers.append("Set-Cookie", cookie.decode("ascii"))
            headers.setdefault("Cache-Control", "no-store")
