"""The streams of one request: what waits for the end of its session."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Collection, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from pgsession import rare
from pgsession.asgi.operations import Operations
from pgsession.asgi.row import Decision
from pgsession.core.decision import Change
from pgsession.core.keys import digest
from pgsession.core.store import Store
from pgsession.core.users import LoginState, as_user_store
from pgsession.errors import RequestEndedError, SessionEndedError

#: After these the session of the request is in another row, is of another login, or has no row.
_MOVES: Final = frozenset(
    {Change.CREATE, Change.LOGIN, Change.LOGOUT, Change.DESTROY, Change.DRAIN}
)


class Streams(Operations):
    """A session, and what waits for its end.

    What waits counts from the row and the login number that the session has
    then, and follows what its own request does: a login in it ends nothing,
    and a logout ends all at once. A new key by another request ends nothing.

    A request is registered once, at its first wait, until it is over. Else one that waits anew
    for each event would always be the next to be asked for. A `lasting` block of a task that
    outlives the request keeps it registered until the block is done.
    """

    # Defaults live on the class: most requests never set them.

    #: Ends the wait together with the proof of a bound session.
    _proof_timer: asyncio.TimerHandle | None = None
    _waiter: rare.Waiter | None = None
    #: One for each call that waits.
    _futures: set[asyncio.Future[None]]
    #: Those of `lasting` blocks, and the tasks of these.
    _blocks: dict[asyncio.Future[None], asyncio.Task[object] | None]
    #: The task that starts the response, while it commits the session.
    _responding: asyncio.Task[object] | None = None
    #: Blocks that stand around a response which signs out.
    _spared: Collection[asyncio.Future[None]] = ()
    #: The session that this request waits on has ended.
    _is_over: bool = False
    #: The request is over.
    _is_closed: bool = False
    #: The handle of the row before the move under way. Nothing is registered during one.
    _moved_from: str | None = None
    _is_moving: bool = False
    #: The move under way ends the session, if it succeeds.
    _is_ending: bool = False
    #: This request has signed out, and begun nothing since.
    _has_ended: bool = False

    def check_users(self) -> None:
        """Raise `SessionError` if the store keeps no users."""
        as_user_store(self._policy.store)

    async def ended(self) -> None:
        """Return when the session has ended; see `Session.ended`."""
        self.check_users()
        future = self.wait_for_end()
        try:
            await future
        finally:
            self.stop_waiting(future)

    @asynccontextmanager
    async def lasting(self) -> AsyncIterator[None]:
        """Cancel the block when the session has ended; see `Session.lasting`."""
        self.check_users()
        has_ended = False
        with rare.Interruption() as interruption:
            future = self.wait_for_end()
            self._blocks[future] = asyncio.current_task()
            if future.done():
                self.stop_waiting(future)
                raise SessionEndedError
            future.add_done_callback(
                lambda future: None if future.cancelled() else interruption.interrupt()
            )
            try:
                yield
            finally:
                has_ended = future.done() and not future.cancelled()
                self.stop_waiting(future)
        # Also for a block that has not suspended since: no cancellation reaches that.
        if has_ended:
            raise SessionEndedError

    def wait_for_end(self) -> asyncio.Future[None]:
        """Return a future that is done once the session has ended.

        It is cancelled when the request ends before, unless it is a block's, and by
        `stop_waiting`. Raises `RequestEndedError` after the request.
        """
        if self._is_closed:
            raise RequestEndedError
        if self._waiter is None:
            self._waiter, self._futures, self._blocks = rare.Waiter(self._note_end), set(), {}
            self._watch(self._waiter)
            self._plan_end_of_proof()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._futures.add(future)
        if self._is_over or self.state.signing.is_logout:
            future.set_result(None)
        return future

    def stop_waiting(self, future: asyncio.Future[None]) -> None:
        """Forget a future, and cancel it if it is not done."""
        self._futures.discard(future)
        self._blocks.pop(future, None)
        future.cancel()
        self._leave_at_end()

    def end_streams(self) -> None:
        """Cancel what waits: the request is over. Blocks are watched until they are done."""
        self._is_closed = True
        if self._waiter is not None:
            for future in self._futures - self._blocks.keys():
                self.stop_waiting(future)
            self._leave_at_end()

    def _leave_at_end(self) -> None:
        if self._waiter is not None and self._is_left:
            self._waiter.leave()
            if self._proof_timer is not None:
                self._proof_timer.cancel()

    @property
    def _is_left(self) -> bool:
        """True if the request is over, and so are its blocks."""
        return self._is_closed and not self._futures

    def _execute(
        self, decision: Decision, store: Store, *, extend: bool
    ) -> Coroutine[Any, Any, None]:
        execute = super()._execute if decision[0] not in _MOVES else self._execute_move
        return execute(decision, store, extend=extend)

    async def _execute_move(self, decision: Decision, store: Store, *, extend: bool) -> None:
        self._begin_move(decision[0])
        try:
            await super()._execute(decision, store, extend=extend)
        finally:
            if store is self._policy.store:  # else it is not committed yet
                self._end_move()

    @contextmanager
    def _undo_save_on_error(self) -> Iterator[None]:
        try:
            with super()._undo_save_on_error():
                yield
        finally:
            if self._is_moving:
                self._end_move()

    def _begin_move(self, change: Change) -> None:
        """Prepare for a change of the row: no answer of before it counts any more.

        Also for a wait that begins meanwhile: nobody knows yet which row it waits for.
        """
        self._is_moving, self._moved_from = True, self._watched_handle
        self._is_ending = change is Change.LOGOUT or (
            change is Change.DESTROY and self.state.signed_in is not None
        )
        if self._waiter is not None:
            self._waiter.leave()

    def _end_move(self) -> None:
        """Tell what waits if the session has ended, and wait for the end of the one of now."""
        self._is_moving = False
        has_moved = self._moved_from != self._watched_handle
        if has_moved:
            self._has_ended = self._is_ending
        if self._waiter is not None:
            if has_moved and self._is_ending:
                self._tell()
            self._is_over = self._is_proof_over
            self._watch(self._waiter)

    def _plan_end_of_proof(self) -> None:
        """Tell what waits when the proof of this request ends. No stream proves anything anew."""
        if self._is_proved and self._judged_until is not None:
            seconds = self._judged_until - time.monotonic()
            loop = asyncio.get_running_loop()
            self._proof_timer = loop.call_later(seconds, self._end_with_proof)

    def _end_with_proof(self) -> None:
        if self._is_proved:  # else this request has begun another session
            self.state.proof_ends = -math.inf
            self._leave_and_tell()

    def _lose_proof(self) -> None:
        super()._lose_proof()
        self._is_over = True  # also for what waits from now on
        self._leave_and_tell()

    def _leave_and_tell(self) -> None:
        if self._waiter is not None:
            self._waiter.leave()
            self._tell()

    def _note_end(self, state: LoginState | None) -> None:
        """Tell what waits that the session has ended, or was bound to a device since."""
        if state is not None and state.login_number == self.login_state.login_number:
            self.state.proof_ends = -math.inf
        self._tell()

    def _tell(self) -> None:
        """Tell all that wait that the session has ended.

        Blocks that stand around the start of a response are spared: to cancel them would
        cut off the very response that says "signed out".
        """
        self._is_over = True
        if self._responding is not None:
            tasks = self._blocks.items()
            self._spared = [future for future, task in tasks if task is self._responding]
        for future in self._futures:
            if not future.done() and future not in self._spared:
                future.set_result(None)

    def _tell_spared(self) -> None:
        """Tell the blocks that were spared after all: the response streams, or it is a socket."""
        spared, self._spared = self._spared, ()
        for future in spared:
            if not future.done():
                future.set_result(None)

    def _watch(self, waiter: rare.Waiter) -> None:
        """Wait for the end of the session as it is now."""
        if self._is_moving or self._is_left:
            return
        handle = self._watched_handle
        if handle is not None:
            self._policy.watching.here().add(waiter, handle, self.login_state)
        elif self._has_ended:
            self._tell()

    @property
    def _watched_handle(self) -> str | None:
        """The handle of the row, also where another request has retired the key.

        None without a row, and for one that this request has no proof for.
        """
        key = self._key
        if key is None and self._unproven is None:
            key = self._lost_key
        return None if key is None else digest(key)
