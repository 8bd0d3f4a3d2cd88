"""One request's way through the middleware: load, hand over, decide, commit."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Scope, Send

from pgsession.change import Change, Outcome, decide, touch_due
from pgsession.cookie import Cookie, MaxAge
from pgsession.errors import SessionNotFoundError, StoreUnavailableError
from pgsession.plain_http import PlainHttpWarning
from pgsession.refusal import refuse
from pgsession.session import Session
from pgsession.store import Entry, Store

_LOGGER = logging.getLogger("pgsession")

#: The messages with which a response starts, and which can carry headers.
_STARTS: Final = frozenset(
    {"http.response.start", "websocket.accept", "websocket.http.response.start"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What all requests of one middleware have in common."""

    store: Store
    cookie: Cookie
    max_age: MaxAge
    touch_after: timedelta | None
    plain_http: PlainHttpWarning = field(default_factory=PlainHttpWarning)

    def default_period(self) -> timedelta:
        """Return the period of a session that has none of its own."""
        if isinstance(self.max_age, timedelta):
            return self.max_age
        return self.store.default_period


class Exchange:
    """One request and its response.

    The session is loaded once, before the application sees the scope, and
    settled once, when the response starts. What changes later is merged when
    the application's call ends.
    """

    __slots__ = (
        "_entry",
        "_key",
        "_loaded_at",
        "_policy",
        "_presented",
        "_refused",
        "_scope",
        "_send",
        "_settled",
        "session",
    )

    def __init__(self, policy: Policy, scope: Scope, send: Send) -> None:
        self._policy = policy
        self._scope = scope
        self._send = send
        #: The key of a living session, or None.
        self._key: str | None = None
        #: A key that we signed came, whether its session lives or not.
        self._presented = False
        self._entry: Entry | None = None
        self._loaded_at = 0.0
        #: The response has started, and the session's state went with it.
        self._settled = False
        #: The application's response was replaced by ours.
        self._refused = False

    async def load(self) -> Session:
        """Read the session that the cookie names, or make an empty one.

        No statement unless a cookie verifies. Raises `StoreUnavailableError`.
        """
        policy = self._policy
        presented = policy.cookie.find(self._scope["headers"])
        if presented is not None:
            self._presented = True
            self._entry = await policy.store.get(presented)
            self._key = presented if self._entry is not None else None
            self._loaded_at = time.monotonic()
        self.session = Session(
            self._entry,
            default_period=policy.default_period(),
            limit=policy.store.value_limit,
        )
        return self.session

    async def send(self, message: Message) -> None:
        """Pass a message on; settle the session first if the response starts with it."""
        if self._refused:
            return
        if self._settled or message["type"] not in _STARTS:
            await self._send(message)
            return
        self._settled = True
        self._adopt_replacement()
        try:
            cookie = await self._settle()
        except StoreUnavailableError as error:
            self._refused = True
            await refuse(self._scope, self._send, error)
            return
        self._add_headers(message, cookie)
        await self._send(message)

    async def finish(self) -> None:
        """Save what changed after the response had started; the application's call is over."""
        if not self._settled or self._refused:
            return
        self._adopt_replacement()
        try:
            await self._settle_late()
        except StoreUnavailableError:
            _LOGGER.exception("Changes made after the response had started are lost.")

    def _adopt_replacement(self) -> None:
        """Take over a plain dict that the application put in the session's place."""
        current = self._scope.get("session")
        if not isinstance(current, Session) and isinstance(current, Mapping):
            self.session.clear()
            self.session.update(current)
            self.session.mark_accessed()
            self._scope["session"] = self.session

    async def _settle(self) -> bytes | None:
        """Carry out the one change that the request asks for; return a Set-Cookie text."""
        match decide(self._outcome()):
            case Change.NOTHING:
                return None
            case Change.FORGET:
                return self._policy.cookie.delete()
            case Change.CREATE:
                return await self._create()
            case change:
                return await self._change(change, self._key or "")

    async def _create(self) -> bytes:
        store, session = self._policy.store, self.session
        self._key = await store.generate(
            session.changes().set, period=session.period, granted=session.granted is not None
        )
        session.rebase()
        return self._cookie(self._key, store.max_lifetime)

    async def _change(self, change: Change, key: str) -> bytes | None:
        """Carry out a change of a living session; one that died meanwhile stays dead."""
        try:
            heir = await self._carry_out(change, key)
        except SessionNotFoundError:
            _LOGGER.info("A session ended while a request that changed it was under way.")
            self._key = None
            return None
        self._key = heir
        self.session.rebase()
        return (
            self._policy.cookie.delete() if heir is None else self._cookie(heir, self._lifetime())
        )

    async def _carry_out(self, change: Change, key: str) -> str | None:
        """Call the store; return the key that the session has now, None if it is over."""
        store, session = self._policy.store, self.session
        period, granted = session.period, session.granted is not None
        match change:
            case Change.MERGE | Change.REPLACE:
                await store.merge(key, session.changes(), period=period, granted=granted)
            case Change.TOUCH:
                await store.touch(key, period=period, granted=granted)
            case Change.RENEW:
                return await store.renew(key, session.changes(), period=period, granted=granted)
            case Change.DRAIN:
                await store.merge(key, session.changes(), period=period, granted=granted)
                return None if await store.clear(key, only_if_empty=True) else key
            case _:
                await store.clear(key)
                return None
        return key

    async def _settle_late(self) -> None:
        """Merge late changes of a session that exists; warn of what cannot reach the browser."""
        session, key = self.session, self._key
        if not session.modified:
            return
        if key is None:
            _LOGGER.warning(
                "A session was filled after the response had started, when its cookie could no "
                "longer be set: it is lost. Fill it before the response starts."
            )
            return
        try:
            if session.cleared and not session:
                await self._policy.store.clear(key)
            else:
                await self._policy.store.merge(key, session.changes())
        except SessionNotFoundError:
            _LOGGER.info("A session ended before the changes of a long response were saved.")

    def _outcome(self) -> Outcome:
        session = self.session
        live = self._key is not None
        return Outcome(
            live=live,
            stale=self._presented and not live,
            empty=not session,
            changed=session.modified,
            cleared=session.cleared,
            renewed=session.renewed,
            touch_due=session.period_changed or self._touch_due(),
        )

    def _touch_due(self) -> bool:
        entry = self._entry
        return entry is not None and touch_due(
            remaining=entry.period,
            period=self.session.period,
            lifetime=entry.lifetime,
            touch_after=self._policy.touch_after,
        )

    def _lifetime(self) -> timedelta | None:
        """Return what is left of the absolute lifetime now."""
        if self._entry is None or self._entry.lifetime is None:
            return None
        return self._entry.lifetime - timedelta(seconds=time.monotonic() - self._loaded_at)

    def _cookie(self, key: str, lifetime: timedelta | None) -> bytes:
        """Return the Set-Cookie text that goes with a row whose period has just begun."""
        session = self.session
        if self._policy.max_age is None and session.granted is None:
            return self._policy.cookie.write(key, None)
        period = session.period if lifetime is None else min(session.period, lifetime)
        return self._policy.cookie.write(key, period)

    def _add_headers(self, message: Message, cookie: bytes | None) -> None:
        if cookie is None and not self.session.accessed:
            return
        message.setdefault("headers", [])
        headers = MutableHeaders(scope=message)
        headers.add_vary_header("Cookie")
        if cookie is not None:
            if self._policy.cookie.secure:
                self._policy.plain_http.consider(self._scope)
            headers.append("Set-Cookie", cookie.decode("ascii"))
            headers.setdefault("Cache-Control", "no-store")
