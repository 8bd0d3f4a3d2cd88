"""The streams of one request: what waits for the end of its session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from pgsession.asgi.interruption import Interruption
from pgsession.asgi.operations import Operations
from pgsession.asgi.row import Decision
from pgsession.asgi.watching import Waiter
from pgsession.core.decision import Change
from pgsession.core.keys import digest
from pgsession.core.store import Store
from pgsession.core.users import as_user_store
from pgsession.errors import SessionEndedError

#: After these the session of the request is in another row, is of another login, or has no row.
_MOVES: Final = frozenset(
    {Change.CREATE, Change.LOGIN, Change.LOGOUT, Change.DESTROY, Change.DRAIN}
)

#: After these what waits goes on.
_BEGINS: Final = frozenset({Change.CREATE, Change.LOGIN})


class Streams(Operations):
    """A session, and what waits for its end.

    What waits counts from the row and the login number that the session has
    then, and follows what its own request does: a login in it ends nothing,
    and a logout ends all at once. A new key by another request ends nothing.

    A request is registered once, at its first wait, until it is over. Else one that waits anew
    for each event would always be the next to be asked for.
    """

    # Defaults live on the class: most requests never set them.

    _waiter: Waiter | None = None
    #: One for each call that waits.
    _futures: set[asyncio.Future[None]]
    #: The session that this request waits on has ended.
    _is_over: bool = False
    #: The handle of the row when another request ended the session or retired the key.
    _lost_handle: str | None = None
    #: This request has ended the session.
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
        with Interruption() as interruption:
            future = self.wait_for_end()
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

        It is cancelled when the request ends before, and by `stop_waiting`.
        """
        if self._waiter is None:
            self._waiter, self._futures = Waiter(self._tell), set()
            self._watch(self._waiter)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._futures.add(future)
        if self._is_over or self.session.signing.is_logout:
            future.set_result(None)
        return future

    def stop_waiting(self, future: asyncio.Future[None]) -> None:
        """Forget a future, and cancel it if it is not done."""
        self._futures.discard(future)
        future.cancel()

    def end_streams(self) -> None:
        """Wait no longer: the request is over."""
        if self._waiter is not None:
            self._waiter.leave()
            for future in tuple(self._futures):
                self.stop_waiting(future)

    async def _execute(self, decision: Decision, store: Store, *, extend: bool) -> None:
        waiter, change = self._waiter, decision[0]
        if waiter is None or change not in _MOVES:
            await super()._execute(decision, store, extend=extend)
            return
        waiter.leave()  # else an answer may come before this request knows of its own login
        try:
            await super()._execute(decision, store, extend=extend)
        finally:
            if change not in _BEGINS and waiter.handle != self._watched_handle:
                self._tell()
            self._is_over = False
            self._watch(waiter)

    def _tell(self) -> None:
        """Tell all that wait that the session has ended."""
        self._is_over = True
        for future in self._futures:
            if not future.done():
                future.set_result(None)

    def _watch(self, waiter: Waiter) -> None:
        """Wait for the end of the session as it is now."""
        handle = self._watched_handle
        if handle is not None:
            self._policy.watching.here().add(waiter, handle, self.session.login_number)
        elif self._has_ended:
            self._tell()

    @property
    def _watched_handle(self) -> str | None:
        """The handle of the row, also where another request has retired the key."""
        return self._lost_handle if self._key is None else digest(self._key)

    def _end(self) -> None:
        super()._end()
        self._has_ended, self._lost_handle = True, None

    def _lose(self) -> None:
        if self._key is not None:
            self._lost_handle = digest(self._key)
        super()._lose()
