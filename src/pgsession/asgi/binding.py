"""A session's tie to its row: which key it has, and how its changes get there."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias, assert_never

from pgsession.asgi.plain_http import PlainHttpWarning
from pgsession.asgi.trouble import Trouble
from pgsession.core.cookie import Cookie, MaxAge
from pgsession.core.decision import DECISIONS, Change, touch_due
from pgsession.core.session import UNCHANGED, Session, Snapshot
from pgsession.core.store import Changes, Entry, Store
from pgsession.errors import ResponseStartedError, SessionError, SessionNotFoundError

_LOGGER = logging.getLogger("pgsession")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What all requests of one middleware have in common."""

    store: Store
    cookie: Cookie
    max_age: MaxAge
    touch_after: timedelta | None
    #: Tells for an ASGI scope whether a session that cannot be loaded is left empty.
    is_anonymous: Callable[[MutableMapping[str, Any]], bool] = lambda _: False
    plain_http: PlainHttpWarning = field(default_factory=PlainHttpWarning)
    trouble: Trouble = field(default_factory=Trouble)


#: What is to be done about a session, as of the moment when it was looked at: the change, what
#: differs from what was loaded, and `Session.wishes`.
_Decision: TypeAlias = tuple[Change, Changes, tuple[int, int, int]]


class Attachment:
    """What ties one request's session to the store.

    It executes what `decide` names, and nothing else, in one place. Once the
    session has ended under the request's hands nothing is written any more.
    """

    # What most requests never set stands here, not in each of them.

    #: The key of the living session, or None.
    _key: str | None = None
    #: A key that we signed came with the request, whether its session lives or not.
    _presented: bool = False
    #: The session lived when it was loaded and has ended since, by another's hand.
    _lost: bool = False
    #: A key was made or removed before the response started, and the browser must learn it.
    _cookie_due: bool = False
    #: The request has failed: nothing of it is saved, but for what was saved already.
    _given_up: bool = False
    #: This request holds the session's lock.
    _is_exclusive: bool = False
    #: The tasks of one request go to the store one after another, those that do.
    _turn: asyncio.Lock | None = None
    #: The response is being settled, by the first that goes there, without a lock.
    _is_settling: bool = False
    #: The response has started: no cookie can be set any more.
    started: bool = False
    #: The row's remaining period and lifetime, as of this second of the monotonic clock.
    _remaining: timedelta = timedelta(0)
    _lifetime: timedelta | None = None
    _as_of: float = 0.0

    #: The request's session, empty until `begin_with`.
    session: Session

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.session = Session(attachment=self)

    def begin_with(self, presented: str, entry: Entry | None) -> None:
        """Begin with what the store has for a key that came with the request."""
        self._presented = True
        if entry is not None:
            self._key = presented
            self.session = Session(entry, attachment=self)
            self._note(entry)

    @property
    def default_period(self) -> timedelta:
        """The period of a session that has none of its own."""
        max_age = self._policy.max_age
        return max_age if isinstance(max_age, timedelta) else self._policy.store.default_period

    @property
    def value_limit(self) -> int:
        """The largest session, in bytes."""
        return self._policy.store.value_limit

    def give_up(self) -> None:
        """Save nothing from now on: the request has failed."""
        self._given_up = True

    async def settle(self) -> bytes | None:
        """Carry out the one change that the request asks for; return a Set-Cookie text."""
        if not self._given_up:
            decision = self._decide()
            if decision[0] is not Change.NOTHING or self._turn is not None:
                try:
                    await self._settle(decision)
                except SessionNotFoundError:
                    _LOGGER.info("A session ended while a request that changed it was under way.")
                    return None
        return self._set_cookie() if self._cookie_due else None

    async def _settle(self, decision: _Decision) -> None:
        if self._turn is not None or self._is_settling:  # somebody goes there, or has been there
            async with self._in_turn():
                await self._carry_out(self._decide(), self._policy.store, slide=True)
            return
        self._is_settling = True
        try:
            await self._carry_out(decision, self._policy.store, slide=True)
        finally:
            self._is_settling = False
            self._let_others_go()

    def _let_others_go(self) -> None:
        if self._turn is not None:  # made meanwhile, by one who waits
            self._turn.release()

    @asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        if self._turn is None:
            self._turn = asyncio.Lock()
            if self._is_settling:
                await self._turn.acquire()  # for the one who settles, and will release it
        async with self._turn:
            yield

    async def settle_late(self) -> None:
        """Merge what changed after the response had started, if the session has a row."""
        if self._given_up or self._lost or not self.session.modified:
            return
        if self._key is None and self.session:
            _LOGGER.warning(
                "A session was filled after the response had started, when its cookie could no "
                "longer be set: its content is lost. Fill it before the response starts."
            )
            return
        try:
            await self.save()
        except SessionNotFoundError:
            _LOGGER.info("A session ended before the changes of a long response were saved.")

    async def save(self) -> None:
        """Commit now; see `Session.save`."""
        async with self._in_turn():
            await self._save(self._policy.store)

    async def reload(self) -> None:
        """Read again; see `Session.reload`."""
        await self._reload(self._policy.store)

    @asynccontextmanager
    async def exclusive(self, timeout: timedelta) -> AsyncIterator[None]:
        """Hold this session's lock; see `Session.exclusive`."""
        if self._lost:
            raise SessionNotFoundError
        if self._key is None:
            with self._undoing():
                yield  # nobody else can know a session that has no row yet
            return
        if self._is_exclusive:
            raise SessionError("This request holds the session's lock already.")
        self._is_exclusive = True
        try:
            # Nobody else of this request sees the key that a renewal makes before it is committed.
            async with AsyncExitStack() as turn:
                with ExitStack() as undoing:
                    async with self._policy.store.exclusive(self._key, timeout=timeout) as held:
                        await self._reload(held)
                        undoing.enter_context(self._undoing())
                        yield
                        undoing.enter_context(self._unless_committed())
                        await turn.enter_async_context(self._in_turn())
                        await self._save(held)
        finally:
            self._is_exclusive = False

    async def take(self, name: str, default: object) -> Any:  # noqa: ANN401 - JSON
        """Remove and return a member, once; see `Session.take`."""
        session, taken = self.session, default
        async with self._in_turn():
            if self._key is not None:
                taken = await self._policy.store.take(self._key, name, default)
            if session.is_unsaved(name):
                taken = session[name]
            session.forget(name)
        return taken

    @contextmanager
    def _undoing(self) -> Iterator[None]:
        """Take back what the block did to the session, if it raises."""
        before: Snapshot | None = self.session.snapshot()
        try:
            yield
            before = None
        finally:
            if before is not None:
                self.session.restore(before)

    @contextmanager
    def _unless_committed(self) -> Iterator[None]:
        """Take back what a save noted, if what it wrote is rolled back; not that all has ended."""
        noted = self._key, self._cookie_due, self._remaining, self._lifetime, self._as_of
        stored = self.session.stored
        is_committed = False
        try:
            yield
            is_committed = True
        finally:
            if not is_committed and not self._lost:
                self._key, self._cookie_due, self._remaining, self._lifetime, self._as_of = noted
                self.session.stored = stored
                self.session.is_new = False

    async def _save(self, store: Store) -> None:
        if self._lost:
            raise SessionNotFoundError
        decision = self._decide(touch=False)
        if self.started and decision[0] is Change.CREATE:
            raise ResponseStartedError
        await self._carry_out(decision, store, slide=False)

    async def _reload(self, store: Store) -> None:
        async with self._in_turn():
            if self._lost:
                raise SessionNotFoundError
            if self._key is None:
                return
            entry = await store.get(self._key)
            if entry is None:
                self._lose()
                raise SessionNotFoundError
            self._note(entry)
            self.session.rebase(entry, self.session.changes())

    def _decide(self, *, touch: bool = True) -> _Decision:
        """Return what is to be done, and what differs from what was loaded: compared once.

        Raises `InvalidValueError` for a value that cannot be stored, unless nothing will be.
        """
        session = self.session
        live = self._key is not None
        changes = UNCHANGED if self._lost else session.changes()
        changed = changes is not UNCHANGED and bool(changes)
        wishes = cleared, renewed, period_changed = session.wishes
        outcome = (  # an `Outcome`, for less: this is on every request's way
            live,
            self._presented and not live,  # stale
            self._lost,
            not session,  # empty
            changed,
            cleared > 0,
            renewed > 0 and not self.started,
            # What is changed slides anyway.
            period_changed > 0 or (touch and live and not changed and self._touch_due()),
        )
        return DECISIONS[outcome], changes, wishes

    async def _carry_out(self, decision: _Decision, store: Store, *, slide: bool) -> None:
        """Call the store, and take note of what the session and its row are now.

        Raises `SessionNotFoundError`, once and for all, if the session has ended.
        """
        change, changes, wishes = decision
        if change is Change.NOTHING:
            return
        session, key = self.session, self._key or ""
        is_own = session.granted is not None
        granted = is_own if session.period_changed else None
        slide = slide or session.period_changed or change is Change.CREATE
        period = session.period if slide else None
        try:
            match change:
                case Change.MERGE | Change.REPLACE:
                    await store.merge(key, changes, period=period, granted=granted)
                case Change.TOUCH:
                    await store.touch(key, period=session.period, granted=granted)
                case Change.CREATE:
                    self._key = await store.generate(changes.set, period=period, granted=is_own)
                    self._lifetime, self._as_of = store.max_lifetime, time.monotonic()
                    session.mark_accessed()  # so that the response's start is not passed by
                case Change.RENEW:
                    self._key = await store.renew(key, changes, period=period, granted=granted)
                    self._cookie_due = True
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
            self._slid(period)
        session.acknowledge(changes, is_new=self._key is None, wishes=wishes)

    def _end(self) -> None:
        self._key = None
        self._cookie_due = True

    def _lose(self) -> None:
        self._key = None
        self._lost = True
        self._cookie_due = False

    def _note(self, entry: Entry) -> None:
        self._remaining, self._lifetime = entry.period, entry.lifetime
        self._as_of = time.monotonic()

    def _slid(self, period: timedelta) -> None:
        """Take note that the row's period has just begun anew."""
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
        """Return the Set-Cookie text that tells the browser what the row is now."""
        cookie = self._policy.cookie
        if self._key is None:
            return cookie.delete()
        if self._policy.max_age is None and self.session.granted is None:
            return cookie.write(self._key, None)
        remaining = self._remaining
        if elapsed := int(time.monotonic() - self._as_of):  # nearly never a second
            remaining -= timedelta(0, elapsed)
        return cookie.write(self._key, remaining)
