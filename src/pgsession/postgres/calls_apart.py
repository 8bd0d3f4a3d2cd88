"""Calls whose rows other transactions hold: they wait apart, and are sent again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Final, Generic

from pgsession.errors import SessionBusyError, StoreUnavailableError
from pgsession.postgres.callers import AnswerT, Caller, CallT, fail
from pgsession.postgres.locked_rows import LockedRows

#: Seconds between two attempts to make the calls.
_RETRY_EVERY: Final = 0.05

#: So many seconds longer than its timeout a caller waits for an attempt that is under way.
_GRACE: Final = 1.0

_HELD: Final = SessionBusyError("Another transaction held the session for too long. Try again.")


class CallsApart(Generic[CallT, AnswerT]):
    """The calls that wait for locked rows. A lane of their own sends them every `_RETRY_EVERY`.

    Meanwhile they hold neither a connection nor a lane that others could use. `answer` sends at
    most `size` of them, skips locked rows, and gives those back to `add` that are locked still.

    A caller whose row is locked for `timeout` seconds gets `SessionBusyError`, and its call has
    changed nothing: an attempt that is under way then may still succeed, so it is waited for.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Caller[CallT, AnswerT]]], Awaitable[None]],
        *,
        size: int,
        timeout: float,
        locked_rows: LockedRows,
    ) -> None:
        self._answer = answer
        self._size = size
        self._timeout = timeout
        self._locked_rows = locked_rows
        self._waiting: list[Caller[CallT, AnswerT]] = []
        #: Those of them that are being sent again.
        self._sent_again: list[Caller[CallT, AnswerT]] = []
        #: The lane, while there are any.
        self.lane: asyncio.Task[None] | None = None

    def add(self, caller: Caller[CallT, AnswerT]) -> None:
        """Let a call wait for its row, and send it again in a while, unless it is too late."""
        loop = asyncio.get_running_loop()
        if caller[2] <= loop.time() - self._timeout:
            fail(caller[1], _HELD)
            return
        # Its attempts may be many: only the first is part of the caller's trace.
        self._waiting.append((*caller[:3], None))
        self._locked_rows.waiting += 1
        if self.lane is None:
            self.lane = loop.create_task(self._run_lane(), context=Context())
            # For a lane that is cancelled before its first step.
            self.lane.add_done_callback(self._end_lane)

    async def _run_lane(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(_RETRY_EVERY)
                await self._retry_once()
        finally:
            self._end_lane(asyncio.current_task())

    def _end_lane(self, lane: asyncio.Task[None] | None) -> None:
        """Make way for another lane. If this one was cancelled, fail the callers that wait."""
        if lane is not self.lane:
            return
        self.lane = None
        self._locked_rows.waiting -= len(self._waiting)
        for _, answer, *_ in self._waiting:
            fail(answer, StoreUnavailableError("The store was interrupted. Try again."))
        self._waiting = []

    def end_late(self, oldest: float, late: StoreUnavailableError) -> list[float]:
        """Fail the callers that came before `oldest`, and return when the others came.

        One whose attempt is under way counts as younger, and gets `late` in the end.
        """
        left = []
        for _, answer, since, _ in self._waiting:
            if since <= oldest:
                fail(answer, _HELD)
            elif not answer.done():
                left.append(since)
        for _, answer, since, _ in self._sent_again:
            if since <= oldest - _GRACE:
                fail(answer, late)
            elif not answer.done():
                left.append(since if since > oldest else since + _GRACE)
        return left

    async def _retry_once(self) -> None:
        """Send each of them once. Those that are not sent yet stay, and may time out."""
        left = len(self._waiting)
        while left > 0:
            apart = self._waiting[: min(left, self._size)]
            del self._waiting[: len(apart)]
            left -= len(apart)
            batch = [caller for caller in apart if not caller[1].done()]
            self._sent_again = batch
            try:
                if batch:
                    await self._answer(batch)
            finally:
                self._sent_again = []
                self._locked_rows.waiting -= len(apart)  # those that were added again count twice
