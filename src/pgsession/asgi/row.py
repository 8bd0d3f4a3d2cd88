"""The row of one request's session: its key, its expiry, and the change to be made to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final, TypeAlias, assert_never

from pgsession.asgi.row_cookie import RowCookie
from pgsession.core.content import UNCHANGED, Wishes, is_empty
from pgsession.core.decision import DECISIONS, Change, Outcome, decide, due_below, touch_due
from pgsession.core.login import NO_SIGNING
from pgsession.core.logs import Event, event, own_logger
from pgsession.core.store import Changes, Entry, Store, Written
from pgsession.errors import SessionNotFoundError, StoreUnavailableError

_LOGGER = own_logger()

#: What to do about a session, as of the moment of the decision: the change, the differences
#: from what was loaded, and `Session.wishes`.
Decision: TypeAlias = tuple[Change, Changes, Wishes]

#: These change the value and keep the key, and so extend the expiry only when that is due.
_CHANGES_OF_VALUE: Final = frozenset({Change.MERGE, Change.REPLACE, Change.DRAIN})

#: These give a session the period that it has in the handler's eyes.
_BEGINNINGS: Final = frozenset({Change.CREATE, Change.LOGIN, Change.LOGOUT})


class SessionRow(RowCookie):
    """What one request knows about the row of its session.

    `_decide` names one change and `_execute` makes it: no other code calls
    the store to change a row, except `Operations.take`, and `Binding.merge` where the change is
    MERGE in any case. After another request has ended the session, this one writes nothing more.
    """

    # Defaults live on the class: most requests never set them.

    #: The keys of further cookies that the request came with; the browser has several of one name.
    _twins: Sequence[str] = ()
    #: Further keys that a session may have had that has taken over one from before a switch.
    _old_keys: Sequence[str] = ()
    #: The session was found when it was loaded, and another request has ended it since.
    _lost: bool = False
    #: The key that the session had until then. The row may live on under another one.
    _lost_key: str | None = None
    #: This request has ended the session of its cookie.
    _has_ended: bool = False
    #: What the handler stored is not kept, as the request is of another site.
    _is_dropped: bool = False
    #: The row keeps its number until the cookie of this response has arrived: this request has just
    #: extended the session, begun it or raised its number.
    _is_announced: bool = False
    #: True once the response has started: no cookie can be set any more.
    started: bool = False

    @property
    def default_period(self) -> timedelta:
        """The period of a session that has none of its own."""
        max_age = self._policy.max_age
        return max_age if isinstance(max_age, timedelta) else self._policy.store.default_period

    def _decide(self, *, touch: bool = True) -> Decision:
        """Compare the session with what was loaded, and return what to do about it.

        Raises `InvalidValueError` for a changed value that cannot be stored,
        unless another request has ended the session and nothing begins a new one.
        """
        session, state = self.session, self.state
        live = self._key is not None
        wishes = cleared, renewed, period_changed, signing = state.wishes
        changes = UNCHANGED if self._lost and signing is NO_SIGNING else state.changes(session)
        changed = changes is not UNCHANGED and bool(changes)
        empty = is_empty(session)
        cross_site = not live and not (empty and not cleared) and self._is_cross_site()
        outcome = (  # the fields of an `Outcome`; a tuple is cheaper, and every request needs one
            live,
            self._found is not None and not live,  # stale
            self._lost,
            empty,
            changed,
            cleared > 0,
            renewed > 0 and not self.started,
            # A change extends the expiry without a touch.
            period_changed > 0 or (touch and live and not changed and self._touch_due()),
            cross_site,
            state.signed_in is not None,
        )
        if signing is NO_SIGNING:  # nearly always
            change = DECISIONS[outcome]
        else:
            signs = state.is_signing_in(session), signing.is_confirmed, signing.is_logout
            change = decide(Outcome(*outcome, *signs))
        if cross_site and change is Change.NOTHING and not empty and not self._lost:
            self._is_dropped = True
            self._policy.warnings.cross_site(self._scope)
        return change, changes, wishes

    async def _execute(self, decision: Decision, store: Store, *, extend: bool) -> None:
        """Make the change in the store, and record the new state of the session and its row.

        With `extend=False` the expiry stays, unless the handler has set a period.
        Otherwise a change of the value extends it when that is due, as a read does.
        Raises `SessionNotFoundError` if the session has ended.
        """
        change, changes, wishes = decision
        if change is Change.NOTHING:
            if self._lost and wishes[0]:  # cleared, though another request has ended it
                await self._clear_twins(store)
            elif self._key is None and is_empty(self.session):
                self.state.acknowledge(changes, is_new=True, wishes=wishes)  # nothing to end
            return
        state = self.state
        if change in _CHANGES_OF_VALUE:
            extend = extend and self._touch_due()
        is_ours = state.period_changed > 0 or change in _BEGINNINGS
        extend = extend or is_ours
        # A period of its own that the handler did not set may have changed in the row since.
        period = (state.period if is_ours else self.default_period) if extend else None
        try:
            written = await self._call(store, decision, period)
        except SessionNotFoundError:
            self._lose()
            raise
        if written is not None:
            self._note_written(written)
        if period is not None and self._key is not None:
            self._note_extended(state.granted or period)
        state.acknowledge(changes, is_new=self._key is None, wishes=wishes)

    def _call(
        self, store: Store, decision: Decision, period: timedelta | None
    ) -> Coroutine[Any, Any, Written | None]:
        """Call the method of the store that makes the change; return what it tells of the row."""
        change, changes, _ = decision
        key, granted = self._key or "", self._grant()
        if change is Change.MERGE:  # nearly always
            return store.merge(key, changes, period=period, granted=granted)
        if change is Change.TOUCH:
            return store.touch(key, period=period, granted=granted)
        return self._call_rarely(store, decision, period)

    def _grant(self) -> bool | None:
        """Return whether the handler has set or unset the session's own period, or None."""
        state = self.state
        return state.granted is not None if state.period_changed else None

    async def _call_rarely(
        self, store: Store, decision: Decision, period: timedelta | None
    ) -> Written | None:
        """Do what `_call` does for the changes that may need several calls."""
        change, changes, _ = decision
        key, granted, written = self._key or "", self._grant(), None
        match change:
            case Change.REPLACE:
                await self._clear_twins(store)
                return await store.merge(key, changes, period=period, granted=granted)
            case Change.CREATE:
                await self._create(store, changes, period)
            case Change.RENEW:
                await self._clear_twins(store)
                self._key = await store.renew(key, changes, period=period, granted=granted)
                self._note_new_key("session_renewed", "A session got a new key.")
            case Change.DRAIN:
                await self._clear_twins(store)
                async with _in_time(store):
                    written = await store.merge(key, changes, period=period, granted=granted)
                    if await store.clear(key, only_if_empty=True):
                        self._end()
            case Change.DESTROY:
                await store.clear(key, *self._twins)
                self._end()
            case Change.FORGET:
                self._cookie_due = self._has_new_key = True
            case Change.NOTHING | Change.LOGIN | Change.CONFIRM | Change.LOGOUT:
                pass  # `SigningRow` makes these
            case Change.MERGE | Change.TOUCH:
                pass  # `_call` makes these
            case _:
                assert_never(change)
        return written

    async def _create(self, store: Store, changes: Changes, period: timedelta | None) -> None:
        """Make a session with the value that is set."""
        granted = self.state.granted is not None
        self._key = await store.generate(changes.set, period=period, granted=granted)
        self._begin("session_created", "A session was created.", store)

    def _begin(self, name: Event, text: str, store: Store) -> None:
        """Record that the session begins anew."""
        self._lifetime, self._as_of = store.max_lifetime, time.monotonic()
        self.state.accessed = True  # else `Exchange.send` would skip the cookie
        self._note_new_key(name, text)

    async def _clear_twins(self, store: Store) -> None:
        """End the sessions of the browser's other cookies of our name, if there are any.

        One that is younger would hide this session after a login, and any would
        be the visitor's after a logout. They are ended first: if the change fails
        afterwards, this session is as it was.
        """
        if self._twins:
            await store.clear(*self._twins)

    def _note_new_key(self, name: Event, text: str) -> None:
        """Record that the browser must learn another key, or that there is none any more."""
        _LOGGER.debug(text, extra=event(name))
        self._number = 0
        self._cookie_due = self._has_new_key = True
        self._is_dropped = False

    def _end(self) -> None:
        """Record that this request has ended the session."""
        self._key = self._lost_key = None
        self._has_ended = True
        self._note_new_key("session_ended", "A session was ended.")

    def _lose(self) -> None:
        """Record that another request has ended the session. Its cookie is not ours to delete."""
        if self._key is not None:
            self._lost_key = self._key
        self._key = None
        self._lost = True
        self._cookie_due = False

    def _note_entry(self, entry: Entry) -> None:
        self._remaining, self._lifetime = entry.period, entry.lifetime
        self._note_number(entry.number)
        self._as_of = time.monotonic()

    def _note_written(self, written: Written) -> None:
        self._note_number(written.number)
        self.state.note_granted(written.granted)

    def _note_extended(self, period: timedelta) -> None:
        """Record that the row now expires `period` from now, or at the end of its lifetime."""
        self._is_announced = True
        now = time.monotonic()
        if self._lifetime is not None:
            self._lifetime -= timedelta(seconds=now - self._as_of)
        limits = (self._lifetime, self._policy.store.max_inactivity)
        self._remaining = min([period, *(limit for limit in limits if limit is not None)])
        self._as_of = now
        if self.state.period_changed or not self._ends_with_browser():
            self._cookie_due = True

    def _is_extension_due(self) -> bool:
        """Return True if the row or the cookie of a session that was not used must be extended."""
        return self._key is not None and (self._touch_due() or self._is_behind())

    def _touch_due(self) -> bool:
        policy, period = self._policy, self.state.granted or self.default_period
        if self._lifetime is None and self._remaining > due_below(period, policy.touch_after):
            return False  # nearly always
        is_due = touch_due(
            remaining=self._remaining,
            period=period,
            lifetime=self._lifetime,
            touch_after=policy.touch_after,
        )
        return is_due and not policy.extension_pause.is_on()


@asynccontextmanager
async def _in_time(store: Store) -> AsyncIterator[None]:
    """Give several operations the time of one. Raises `StoreUnavailableError` after that."""
    limit = asyncio.timeout(store.timeout)
    try:
        async with limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
    if limit.expired():
        raise StoreUnavailableError("The database did not answer in time. Try again.")
