"""Calls that are alone: without load each is sent without a lane, and so without a task."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Generic, Protocol, TypeAlias

from pgsession.core.logs import event, own_logger
from pgsession.core.observer import Operation, StatementObserver
from pgsession.errors import SessionError, StoreUnavailableError
from pgsession.postgres.callers import AnswerT, Caller, CallT, fail
from pgsession.postgres.locked_rows import Locked

#: Calls in a row that were alone, after which the next one is sent without a lane. Fewer would
#: part two callers that take turns, whose calls share a batch otherwise.
_QUIET: Final = 8

_LOGGER = own_logger()


class UnderWay(Protocol):
    """A call that was begun without a task."""

    def stop(self) -> None:
        """End it, as it takes too long. It is not answered any more."""
        ...


#: Begins one call without a task; returns None, and has done nothing, if that is not possible now.
#: It gives a function its answer, or the error of this one attempt, and whether another may do.
Begin: TypeAlias = Callable[
    [CallT, Callable[[AnswerT | SessionError, bool], None]], UnderWay | None
]

#: Sends a batch, and says whether to skip locked rows at once. See `Coalescer`.
Send: TypeAlias = Callable[
    [Sequence[CallT], bool], Awaitable[Sequence[AnswerT | Locked | SessionError]]
]

#: What a lane does before it sends batches.
First: TypeAlias = Callable[[], Awaitable[None]]


class LoneCalls(Generic[CallT, AnswerT]):
    """Sends a call that follows `_QUIET` calls that were alone. One call at a time is under way.

    A task, and its turns of the event loop, are a fifth of the client's time for a call. The first
    of several calls must not leave without the others: so some that were alone come before.

    `begin` sends the call, where that is possible. If it fails, and another attempt may do, the
    call is made again in a lane, with all the retries of `send`, for what is left of its time. So
    only calls that may be made twice can be sent so.

    `start_lane` starts a lane that does something first, and `free` is called when the call has
    ended without one.
    """

    def __init__(
        self,
        begin: Begin[CallT, AnswerT] | None,
        send: Send[CallT, AnswerT],
        *,
        start_lane: Callable[[First], asyncio.Task[None]],
        free: Callable[[], None],
        observer: StatementObserver | None,
    ) -> None:
        self._begin = begin
        self._send = send
        self._start_lane = start_lane
        self._free = free
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        #: How many calls in a row have come while no other was waiting or under way.
        self.in_a_row: int = 0
        #: True while a call is under way without a lane. It counts as one.
        self.has_no_lane: bool = False
        #: The call under way, without a lane or in one.
        self._caller: Caller[CallT, AnswerT] | None = None
        self._operation: Operation | None = None
        #: What can stop it while it has no lane.
        self._under_way: UnderWay | None = None
        #: The lane that makes it again, and whether that was cancelled as the call is too late.
        self._lane: asyncio.Task[None] | None = None
        self._is_late = False
        self._ended: asyncio.Future[None] | None = None

    @property
    def is_under_way(self) -> bool:
        """True while a call is under way, without a lane or in one."""
        return self._caller is not None

    def take(self, caller: Caller[CallT, AnswerT]) -> bool:
        """Send a call without a lane. Return False, and do nothing, if it needs one.

        No other call waits or is under way in a lane.
        """
        self.in_a_row = self.in_a_row + 1 if self._caller is None else 0
        if self.in_a_row <= _QUIET or self._begin is None:
            return False
        self._under_way = self._begin(caller[0], self._end)
        if self._under_way is None:
            return False
        self._caller, self.has_no_lane = caller, True
        if self._observer is not None:
            self._operation = self._observer.begin([caller[3]], self._loop.time() - caller[2])
        return True

    def _end(self, found: AnswerT | SessionError, may_retry: bool) -> None:  # noqa: FBT001 - by position, as `Begin` calls it
        """Take the answer, or make the call again in a lane."""
        assert self._caller is not None  # noqa: S101 - for type checkers: it is under way
        self._under_way, self.has_no_lane = None, False
        if may_retry and not self._caller[1].done():
            lane = self._start_lane(partial(self._make_again, self._caller))
            self._lane = lane if self.is_under_way else None  # an eager task may have made it
            lane.add_done_callback(self._end_lane)
        else:
            self._finish(found)
            self._free()
        if self._ended is not None:
            self._ended.set_result(None)
            self._ended = None

    def _finish(self, found: AnswerT | Locked | Exception) -> None:
        """Give the answer to the caller."""
        caller, operation = self._caller, self._operation
        assert caller is not None  # noqa: S101 - for type checkers: it is under way
        self._caller = self._operation = self._lane = None
        self._is_late = False
        answer = caller[1]
        error = found if isinstance(found, Exception) else None
        if operation is not None:
            operation.end("", error)
        if error is not None:
            self.in_a_row = 0
            fail(answer, error)
        elif not answer.done() and not isinstance(found, (Locked, Exception)):
            answer.set_result(found)

    async def _make_again(self, caller: Caller[CallT, AnswerT]) -> None:
        """Make the call again, with all the retries of `send`."""
        found: AnswerT | Locked | Exception
        try:
            [found] = await self._send([caller[0]], False)  # noqa: FBT003 - by position, as `Send` takes it
        except asyncio.CancelledError:
            is_late = self._is_late
            self._finish(StoreUnavailableError("The store was interrupted."))
            if not is_late:
                raise
        except Exception as error:  # the outermost edge: no caller may wait for ever
            if not isinstance(error, SessionError):
                _LOGGER.exception("A batch failed unexpectedly.", extra=event("batch_failed"))
            self._finish(error)
        else:
            self._finish(found)

    def _end_lane(self, lane: asyncio.Task[None]) -> None:
        """Fail the call if its lane was cancelled before its first step."""
        if self._lane is lane:
            self._finish(StoreUnavailableError("The store was interrupted. Try again."))

    def end_late(self, oldest: float, error: StoreUnavailableError) -> float | None:
        """Fail the call if it came before `oldest`, and stop it.

        Return when it came if it goes on, also if its caller was cancelled; else None.
        """
        if self._caller is None:
            return None
        _, answer, since, _ = self._caller
        if since > oldest:
            return since
        fail(answer, error)
        if self._under_way is not None:
            self._under_way.stop()
            self._end(error, may_retry=False)
        elif self._lane is not None and not self._is_late:
            self._is_late = True
            self._lane.cancel()  # the call; it goes on as a lane
        return None

    def ended(self) -> asyncio.Future[None] | None:
        """Return a future for the end of the call that has no lane; None if there is none."""
        if self._under_way is None:
            return None
        if self._ended is None:
            self._ended = self._loop.create_future()
        return self._ended
