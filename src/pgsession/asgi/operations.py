"""What a handler asks for at once: to save, to reload, to take, and to hold the session's lock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any, Final

from msgspec.structs import replace

from pgsession.asgi.finishing import finished
from pgsession.asgi.rotating import RotatingRow
from pgsession.asgi.row import Decision
from pgsession.core.content import Snapshot
from pgsession.core.decision import Change
from pgsession.core.store import Store
from pgsession.errors import ResponseStartedError, SessionError, SessionNotFoundError

#: What a save records, and what is undone if its transaction is rolled back.
_UNDONE: Final = (
    "_key",
    "_number",
    "_cookie_due",
    "_has_new_key",
    "_remaining",
    "_lifetime",
    "_as_of",
    "_surplus_of",
    "_new_device",
    "_is_offered",
    "_is_proved",
    "_judged_until",
    "_unproven",
)


class Operations(RotatingRow):
    """The methods of a session that call the store at once.

    Tasks of one request use the store one after another: the *task lock*
    orders them. `save` and `take` commit at once, also in an `exclusive` block:
    what they have committed stays if the block raises, and all else is undone.
    They are finished even if they are cancelled there, and no task of this
    request writes between the block's error and the end of its lock. So nothing
    of a block that raised is written once another request may hold the lock.
    """

    # Defaults live on the class: most requests never set them.

    #: This request holds the session's lock, or waits for it.
    _is_exclusive: bool = False
    #: What was not saved when the `exclusive` block under way began; None outside of a block.
    _before: Snapshot | None = None
    #: The store of that block.
    _held: Store | None = None
    #: Orders the tasks of this request that use the store. A lone `commit` works without it.
    _task_lock: asyncio.Lock | None = None
    #: A `commit` is in flight that works without `_task_lock`.
    _is_committing: bool = False

    @property
    def is_writing(self) -> bool:
        """True while a task of this request writes to the store."""
        return self._is_committing or (self._task_lock is not None and self._task_lock.locked())

    async def save(self) -> None:
        """Commit now; see `Session.save`."""
        async with self._hold_task_lock():
            await self._save(self._policy.store)

    async def reload(self) -> None:
        """Read the session again; see `Session.reload`."""
        async with self._hold_task_lock():
            await self._reload(self._policy.store)

    @asynccontextmanager
    async def exclusive(self, timeout: timedelta) -> AsyncIterator[None]:
        """Hold this session's lock; see `Session.exclusive`."""
        if self._is_exclusive:
            raise SessionError(
                "This request already holds the session's lock. Do not nest session.exclusive()."
            )
        if self._is_gone:
            raise SessionNotFoundError
        self._is_exclusive = True
        try:
            # The task lock is held from the end of the block to the end of the transaction: other
            # tasks of this request must not use the new key of a renewal that is not committed,
            # nor save what the block has changed once it has failed.
            async with (
                AsyncExitStack() as task_lock,
                AsyncExitStack() as undo,
                AsyncExitStack() as lock,
            ):
                self._held = held = await self._lock(lock, timeout)
                undo.enter_context(self._undo_on_error())
                try:
                    yield
                finally:
                    await self._end_writes(task_lock)
                if held is not None:
                    undo.enter_context(self._undo_save_on_error())
                    await self._save(held)
        finally:
            self._is_exclusive, self._held = False, None

    async def take(self, name: str, default: object) -> Any:  # noqa: ANN401 - JSON
        """Remove a member and return it, only once; see `Session.take`."""
        async with self._hold_task_lock():
            if self._before is None:
                return await self._take(name, default)
            return await finished(self._take(name, default))

    async def _lock(self, stack: AsyncExitStack, timeout: timedelta) -> Store | None:
        """Acquire the session's lock and reload; return the store to commit with.

        None for a session without a row: no other request knows it, so there is
        no lock.
        """
        if self._key is None:
            return None
        store = self._policy.store
        held = await stack.enter_async_context(store.exclusive(self._key, timeout=timeout))
        async with self._hold_task_lock():
            await self._reload(held)
        return held

    async def _end_writes(self, task_lock: AsyncExitStack) -> None:
        """Acquire the task lock: what other tasks write is done then, and none begins to write."""
        holding = task_lock.enter_async_context(self._hold_task_lock())
        await (finished(holding) if self.is_writing else holding)

    @contextmanager
    def _undo_on_error(self) -> Iterator[None]:
        """Undo what the block did to the session and did not commit, if it raises."""
        self._before = self.state.snapshot(self.session)
        is_done = False
        try:
            yield
            is_done = True
        finally:
            before, self._before = self._before, None
            if not is_done:
                self.state.restore(self.session, before)

    @contextmanager
    def _undo_save_on_error(self) -> Iterator[None]:
        """Undo what a save recorded if its transaction is rolled back.

        If another request has ended the session, that stays recorded.
        """
        noted = [(name, getattr(self, name)) for name in _UNDONE]
        state = self.state
        stored, user, user_as_of = state.stored, state.signed_in, state.signed_in_as_of
        is_committed = False
        try:
            yield
            is_committed = True
        finally:
            if not is_committed and not self._lost:
                for name, value in noted:
                    setattr(self, name, value)
                state.stored, state.is_new = stored, False
                state.note_signed_in(user, user_as_of)

    async def _save(self, store: Store) -> None:
        await self.judge_again()
        if self._is_gone:
            raise SessionNotFoundError
        decision = self._decide(touch=False)
        if self.started and decision[0] is Change.CREATE:
            raise ResponseStartedError
        await self._execute(decision, store, extend=False)

    @property
    def _is_gone(self) -> bool:
        """True if the session has ended, and this request neither signs in nor out."""
        state = self.state
        return self._lost and not (state.is_signing_in(self.session) or state.signing.is_logout)

    def _execute(  # pyright: ignore[reportIncompatibleMethodOverride] - it returns a coroutine
        self, decision: Decision, store: Store, *, extend: bool
    ) -> Coroutine[Any, Any, None]:
        if self._before is None or store is not self._policy.store:
            return super()._execute(decision, store, extend=extend)
        return finished(self._execute_within(decision, store, extend=extend))

    async def _execute_within(self, decision: Decision, store: Store, *, extend: bool) -> None:
        """Make a change that stays if the `exclusive` block under way raises.

        It is made while the block holds its lock: a block that has lost it, as its
        connection was ended or this process hung, gets an error instead.
        """
        if self._held is not None and self._key is not None:
            await self._held.get(self._key)
        granted = self.state.granted
        await super()._execute(decision, store, extend=extend)
        if decision[0] is not Change.NOTHING:
            self._before = Snapshot(granted)

    async def _take(self, name: str, default: object) -> Any:  # noqa: ANN401 - JSON
        await self.judge_again()
        session, state, taken = self.session, self.state, default
        if self._key is not None:
            taken = await self._policy.store.take(self._key, name, default)
        if state.is_unsaved(session, name):
            taken = session[name]
        state.forget(session, name)
        if self._before is not None:
            self._before = self._before.without(name)
        return taken

    async def _reload(self, store: Store) -> None:
        await self.judge_again()
        if self._is_gone:
            raise SessionNotFoundError
        if self._key is None:
            return
        entry = await store.get(self._key)
        if entry is None:
            self._lose()
            raise SessionNotFoundError
        if not self._may_keep(entry):
            self._lose_proof()
            raise SessionNotFoundError
        self._note_entry(entry)
        self.state.rebase(self.session, entry, self.state.changes(self.session))
        if self._before is not None and not self._before.period_changed:
            self._before = replace(self._before, granted=entry.granted)

    @asynccontextmanager
    async def _hold_task_lock(self) -> AsyncIterator[None]:
        if self._task_lock is None:
            self._task_lock = asyncio.Lock()
            if self._is_committing:
                await self._task_lock.acquire()  # on behalf of `_commit`, which releases it
        async with self._task_lock:
            yield
