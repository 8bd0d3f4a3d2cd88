"""The row of one request's session: its key, its expiry, and the change to be made to it."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import TypeAlias, assert_never

from pgsession.asgi.policy import Policy
from pgsession.core.decision import DECISIONS, Change, touch_due
from pgsession.core.session import Session
from pgsession.core.state import UNCHANGED
from pgsession.core.store import Changes, Entry, Store
from pgsession.errors import SessionNotFoundError

_LOGGER = logging.getLogger("pgsession")

#: What to do about a session, as of the moment of the decision: the change, the differences
#: from what was loaded, and `Session.wishes`.
Decision: TypeAlias = tuple[Change, Changes, tuple[int, int, int]]


class SessionRow:
    """What one request knows about the row of its session.

    `_decide` names one change and `_execute` makes it: no other code calls
    the store to change a row, except `Binding.take`. After another request
    has ended the session, this one writes nothing any more.
    """

    # Defaults live on the class: most requests never set them.

    #: The key of the session, or None if it has no row.
    _key: str | None = None
    #: The request came with a key that we signed, even if its session was not found.
    _came_with_key: bool = False
    #: The session was found when it was loaded, and another request has ended it since.
    _lost: bool = False
    #: The response must set or delete the cookie.
    _cookie_due: bool = False
    #: The row's remaining period and lifetime, as of the time `_as_of` of the monotonic clock.
    _remaining: timedelta = timedelta(0)
    _lifetime: timedelta | None = None
    _as_of: float = 0.0

    #: True once the response has started: no cookie can be set any more.
    started: bool = False

    session: Session

    def __init__(self, policy: Policy, session: Session) -> None:
        self._policy = policy
        self.session = session

    def _decide(self, *, touch: bool = True) -> Decision:
        """Compare the session with what was loaded, and return what to do about it.

        Raises `InvalidValueError` for a changed value that cannot be stored,
        unless another request has ended the session.
        """
        session = self.session
        live = self._key is not None
        changes = UNCHANGED if self._lost else session.changes()
        changed = changes is not UNCHANGED and bool(changes)
        wishes = cleared, renewed, period_changed = session.wishes
        outcome = (  # the fields of an `Outcome`; a tuple is cheaper, and every request needs one
            live,
            self._came_with_key and not live,  # stale
            self._lost,
            not session,  # empty
            changed,
            cleared > 0,
            renewed > 0 and not self.started,
            # A change extends the expiry without a touch.
            period_changed > 0 or (touch and live and not changed and self._touch_due()),
        )
        return DECISIONS[outcome], changes, wishes

    async def _execute(self, decision: Decision, store: Store, *, extend: bool) -> None:
        """Make the change in the store, and record the new state of the session and its row.

        With `extend=False` the expiry stays, unless the handler has set a period.
        Raises `SessionNotFoundError` if the session has ended.
        """
        change, changes, wishes = decision
        if change is Change.NOTHING:
            return
        session, key = self.session, self._key or ""
        has_own_period = session.granted is not None
        granted = has_own_period if session.period_changed else None
        extend = extend or session.period_changed or change is Change.CREATE
        period = session.period if extend else None
        try:
            match change:
                case Change.MERGE | Change.REPLACE:
                    await store.merge(key, changes, period=period, granted=granted)
                case Change.TOUCH:
                    await store.touch(key, period=session.period, granted=granted)
                case Change.CREATE:
                    self._key = await store.generate(
                        changes.set, period=period, granted=has_own_period
                    )
                    self._lifetime, self._as_of = store.max_lifetime, time.monotonic()
                    session.mark_accessed()  # else `Exchange.send` would skip the cookie
                    _LOGGER.debug("A session was created.")
                case Change.RENEW:
                    self._key = await store.renew(key, changes, period=period, granted=granted)
                    self._cookie_due = True
                    _LOGGER.debug("A session got a new key.")
                case Change.DRAIN:
                    await store.merge(key, changes, period=period, granted=granted)
                    if await store.clear(key, only_if_empty=True):
                        self._end()
                case Change.DESTROY:
                    await store.clear(key)
                    self._end()
                case Change.FORGET:
                    self._cookie_due = True
                case _:
                    assert_never(change)
        except SessionNotFoundError:
            self._lose()
            raise
        if period is not None and self._key is not None:
            self._note_extended(period)
        session.acknowledge(changes, is_new=self._key is None, wishes=wishes)

    def _end(self) -> None:
        """Record that this request has ended the session."""
        _LOGGER.debug("A session was ended.")
        self._key = None
        self._cookie_due = True

    def _lose(self) -> None:
        """Record that another request has ended the session. Its cookie is not ours to delete."""
        self._key = None
        self._lost = True
        self._cookie_due = False

    def _note_entry(self, entry: Entry) -> None:
        self._remaining, self._lifetime = entry.period, entry.lifetime
        self._as_of = time.monotonic()

    def _note_extended(self, period: timedelta) -> None:
        """Record that the row now expires `period` from now, or at the end of its lifetime."""
        now = time.monotonic()
        if self._lifetime is not None:
            self._lifetime -= timedelta(seconds=now - self._as_of)
        self._remaining = period if self._lifetime is None else min(period, self._lifetime)
        self._as_of = now
        self._cookie_due = True

    def _touch_due(self) -> bool:
        return touch_due(
            remaining=self._remaining,
            period=self.session.period,
            lifetime=self._lifetime,
            touch_after=self._policy.touch_after,
        )

    def _set_cookie(self) -> bytes:
        """Return a Set-Cookie text with the key and the remaining period, or one that deletes."""
        cookie = self._policy.cookie
        if self._key is None:
            return cookie.delete()
        if self._policy.max_age is None and self.session.granted is None:
            return cookie.write(self._key, None)
        remaining = self._remaining
        if elapsed := int(time.monotonic() - self._as_of):  # zero for most requests
            remaining -= timedelta(0, elapsed)
        return cookie.write(self._key, remaining)
