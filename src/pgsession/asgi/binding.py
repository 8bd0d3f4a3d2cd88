"""A session bound to its row: when its changes are committed, and by which task."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any, Final

from starlette.types import Scope

from pgsession.asgi.policy import Policy
from pgsession.asgi.rotating import RotatingRow
from pgsession.asgi.row import Decision
from pgsession.core.cookie import FoundCookie
from pgsession.core.decision import Change
from pgsession.core.session import Session
from pgsession.core.state import Snapshot
from pgsession.core.store import Entry, Store
from pgsession.errors import (
    ResponseStartedError,
    SessionError,
    SessionNotFoundError,
    StoreUnavailableError,
)

#: A request that is answered within so many seconds is answered at once.
_AT_ONCE: Final = 0.05

#: How often the changes after a response are saved, if more are made meanwhile.
_LATE_SAVES: Final = 3

#: What a save records, and what is undone if its transaction is rolled back.
_UNDONE: Final = (
    "_key",
    "_number",
    "_cookie_due",
    "_has_new_key",
    "_remaining",
    "_lifetime",
    "_as_of",
)

_LOGGER = logging.getLogger("pgsession")


class Binding(RotatingRow):
    """One request's session, bound to its row.

    Changes are committed when the response starts (`commit`), when the
    application's call ends (`commit_late`), and when a handler asks for it
    (`save`, `exclusive`, `take`). Tasks of one request use the store one after
    another.
    """

    # Defaults live on the class: most requests never set them.

    #: The request has failed: it commits nothing any more.
    _discarded: bool = False
    #: This request holds the session's lock.
    _is_exclusive: bool = False
    #: Orders the tasks of this request that use the store. A lone `commit` works without it.
    _task_lock: asyncio.Lock | None = None
    #: A `commit` is in flight that works without `_task_lock`.
    _is_committing: bool = False

    session: Session

    def __init__(self, policy: Policy, scope: Scope) -> None:
        super().__init__(policy, scope, Session(attachment=self))

    def begin_with(self, found: FoundCookie, entry: Entry | None) -> None:
        """Begin with the cookie that came with the request, and what the store has for its key."""
        self._found = found
        if entry is not None:
            self._came_alive = True
            self._key = found.key
            self.session = Session(entry, attachment=self)
            self._note_entry(entry)

    @property
    def default_period(self) -> timedelta:
        """The period of a session that has none of its own."""
        max_age = self._policy.max_age
        return max_age if isinstance(max_age, timedelta) else self._policy.store.default_period

    @property
    def value_limit(self) -> int:
        """The largest session, in bytes."""
        return self._policy.store.value_limit

    def discard(self) -> None:
        """Commit nothing from now on: the request has failed."""
        self._discarded = True

    async def commit(self, *, extend: bool) -> bytes | None:
        """Make the one change that the request asks for. Return a Set-Cookie text if one is due.

        With `extend=False` the session is not extended just because that is due.
        A session that was not used has no changes, so it is not compared.
        """
        is_used = extend or self.session.accessed or self._task_lock is not None
        if is_used and not self._discarded:
            decision = self._decide(touch=extend)
            if decision[0] is not Change.NOTHING or self._task_lock is not None:
                try:
                    await self._commit(decision, extend=extend)
                except SessionNotFoundError:
                    _LOGGER.info("A session ended while a request that changed it was in flight.")
                    return None
                except StoreUnavailableError as error:
                    if decision[0] is not Change.TOUCH or self.session.period_changed:
                        raise
                    self._policy.extension_pause.begin(error)
                    return None
            if extend and self._is_behind():
                self._cookie_due = True
        if not self._cookie_due or not await self._is_still_alive():
            return None
        return self._set_cookie()

    async def _is_still_alive(self) -> bool:
        """Return False if another request has ended or renewed the session since it was loaded.

        The browser may have the cookie of a renewal by then, and this one would
        overwrite it. A request that is answered at once need not ask.
        """
        if self._key is None or time.monotonic() - self._as_of < _AT_ONCE:
            return True
        try:
            entry = await self._policy.store.get(self._key)
        except StoreUnavailableError:
            return False  # the next response sets the cookie
        if entry is None:
            self._lose()
            return False
        self._note_number(entry.number)
        return True

    async def _commit(self, decision: Decision, *, extend: bool) -> None:
        if self._task_lock is not None or self._is_committing:  # another task uses the store
            async with self._hold_task_lock():
                decision = self._decide(touch=extend)
                await self._execute(decision, self._policy.store, extend=extend)
            return
        self._is_committing = True
        try:
            await self._execute(decision, self._policy.store, extend=extend)
        finally:
            self._is_committing = False
            self._release_task_lock()

    def _release_task_lock(self) -> None:
        if self._task_lock is not None:  # made by a task that waits for `_commit`
            self._task_lock.release()

    @asynccontextmanager
    async def _hold_task_lock(self) -> AsyncIterator[None]:
        if self._task_lock is None:
            self._task_lock = asyncio.Lock()
            if self._is_committing:
                await self._task_lock.acquire()  # on behalf of `_commit`, which releases it
        async with self._task_lock:
            yield

    async def commit_late(self) -> None:
        """Commit what changed after the response had started, if the session has a row.

        What is changed meanwhile is committed too, unless that goes on and on.
        """
        for _ in range(_LATE_SAVES):
            if self._discarded or self._lost or self._is_dropped or not self.session.modified:
                return
            if self._key is None and not self.session.is_empty:
                _LOGGER.warning(
                    "A session was filled after the response had started, when its cookie could no "
                    "longer be set: its content is lost. Fill it before the response starts."
                )
                return
            try:
                await self.save()
            except SessionNotFoundError:
                _LOGGER.info("A session ended before the changes of a long response were saved.")
                return
        if self.session.modified:
            _LOGGER.warning(
                "A task changed a session again and again after its response: the last change is "
                "lost. Let the request wait for the task, or call session.save() in it."
            )

    async def save(self) -> None:
        """Commit now; see `Session.save`."""
        async with self._hold_task_lock():
            await self._save(self._policy.store)

    async def reload(self) -> None:
        """Read the session again; see `Session.reload`."""
        await self._reload(self._policy.store)

    @asynccontextmanager
    async def exclusive(self, timeout: timedelta) -> AsyncIterator[None]:
        """Hold this session's lock; see `Session.exclusive`."""
        if self._lost:
            raise SessionNotFoundError
        if self._key is None:
            with self._undo_on_error():
                yield  # a session without a row is known to no other request: no lock is needed
            return
        if self._is_exclusive:
            raise SessionError(
                "This request already holds the session's lock. Do not nest session.exclusive()."
            )
        self._is_exclusive = True
        try:
            # The task lock is held until the transaction has ended: other tasks of this request
            # must not use the new key of a renewal that is not committed.
            async with AsyncExitStack() as task_lock:
                with ExitStack() as undo:
                    async with self._policy.store.exclusive(self._key, timeout=timeout) as held:
                        await self._reload(held)
                        undo.enter_context(self._undo_on_error())
                        yield
                        undo.enter_context(self._undo_save_on_error())
                        await task_lock.enter_async_context(self._hold_task_lock())
                        await self._save(held)
        finally:
            self._is_exclusive = False

    async def take(self, name: str, default: object) -> Any:  # noqa: ANN401 - JSON
        """Remove a member and return it, only once; see `Session.take`."""
        session, taken = self.session, default
        async with self._hold_task_lock():
            if self._key is not None:
                taken = await self._policy.store.take(self._key, name, default)
            if session.is_unsaved(name):
                taken = session[name]
            session.forget(name)
        return taken

    @contextmanager
    def _undo_on_error(self) -> Iterator[None]:
        """Undo what the block did to the session if it raises."""
        before: Snapshot | None = self.session.snapshot()
        try:
            yield
            before = None
        finally:
            if before is not None:
                self.session.restore(before)

    @contextmanager
    def _undo_save_on_error(self) -> Iterator[None]:
        """Undo what a save recorded if its transaction is rolled back.

        If another request has ended the session, that stays recorded.
        """
        noted = [(name, getattr(self, name)) for name in _UNDONE]
        stored = self.session.stored
        is_committed = False
        try:
            yield
            is_committed = True
        finally:
            if not is_committed and not self._lost:
                for name, value in noted:
                    setattr(self, name, value)
                self.session.stored = stored
                self.session.is_new = False

    async def _save(self, store: Store) -> None:
        if self._lost:
            raise SessionNotFoundError
        decision = self._decide(touch=False)
        if self.started and decision[0] is Change.CREATE:
            raise ResponseStartedError
        await self._execute(decision, store, extend=False)

    async def _reload(self, store: Store) -> None:
        async with self._hold_task_lock():
            if self._lost:
                raise SessionNotFoundError
            if self._key is None:
                return
            entry = await store.get(self._key)
            if entry is None:
                self._lose()
                raise SessionNotFoundError
            self._note_entry(entry)
            self.session.rebase(entry, self.session.changes())
