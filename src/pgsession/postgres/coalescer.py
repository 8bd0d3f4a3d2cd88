"""The coalescer: calls that arrive while a statement is under way leave together in the next.

A lane is a task that sends one batch at a time. If a lane is free, a call leaves at
once, so nothing is delayed. If all lanes are busy, calls wait, and leave together.
So a batch is as large as the load makes it, and holds one call where there is none.

Where there is no load, not even a lane is needed: a call that follows some that were alone
is sent without a task.

Calls whose rows other transactions hold wait apart, and are sent again by a lane of
their own.
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import Context
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from pgsession.core.logs import event, own_logger
from pgsession.core.observer import Operation, StatementObserver, observed
from pgsession.errors import (
    SessionBusyError,
    SessionError,
    StoreBusyError,
    StoreClosedError,
    StoreUnavailableError,
)
from pgsession.postgres.locked_rows import Locked, LockedRows

#: Seconds between two attempts to make the calls that wait for locked rows.
_RETRY_EVERY: Final = 0.05

#: Calls in a row that were alone, after which the next one is sent without a lane. Fewer would
#: part two callers that take turns, whose calls share a batch otherwise.
_QUIET: Final = 8

_LOGGER = own_logger()

CallT = TypeVar("CallT")
AnswerT = TypeVar("AnswerT")

#: A caller: its call, the future that gets the answer, when it came, and what a statement for it
#: leads back to.
_Waiting: TypeAlias = tuple[CallT, asyncio.Future[AnswerT], float, object | None]


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


class Coalescer(Generic[CallT, AnswerT]):
    """Sends calls in batches through a few lanes, each of which sends one batch at a time.

    `send` takes at most `size` calls, and whether to skip locked rows at once. It
    returns an answer for each, in order, or an error that is this call's alone.
    A lane takes its share of the waiting calls, at least `least`, so that the
    answers to one batch can be read while another is under way.

    `begin` sends one call without a lane, where that is possible: a task, and its turns of
    the event loop, are a fifth of the client's time for a call. It is used for a call that
    follows `_QUIET` calls that were alone: the first of several calls must not leave without
    the others. If it fails, and another attempt may do, the call is made again in a lane, for what
    is left of its time; so only calls that may be made twice can have it. It counts as a lane
    while it is under way.

    A call that is answered with `LOCKED` is sent again every `_RETRY_EVERY`
    seconds until it has another answer. Meanwhile it holds neither a lane nor a
    connection, and all batches skip locked rows at once.

    If `send` raises `StoreUnavailableError`, every caller in the batch gets
    that. If it raises another error, one call of the batch caused it: each call
    is sent again alone, and only the one at fault gets the error.

    A caller that is cancelled leaves. Its call may still be sent, and its
    neighbours get their answers. A caller that gets no answer within `timeout`
    seconds gets `StoreBusyError` if its call was not sent, and
    `StoreUnavailableError` if it was; or what `reason` returns, if it returns an
    error. While `most_waiting` callers wait, the next one gets `StoreBusyError`
    at once.

    It belongs to the event loop in which it was made.
    """

    def __init__(
        self,
        send: Callable[
            [Sequence[CallT], bool], Awaitable[Sequence[AnswerT | Locked | SessionError]]
        ],
        *,
        lanes: int,
        size: int,
        least: int,
        most_waiting: int,
        timeout: float,
        locked_rows: LockedRows,
        reason: Callable[[], StoreUnavailableError | None] = lambda: None,
        begin: Begin[CallT, AnswerT] | None = None,
        observer: StatementObserver | None = None,
    ) -> None:
        self._send = send
        self._begin = begin
        self._observer = observer
        self._locked_rows = locked_rows
        self._lanes = lanes
        self._size = size
        self._least = least
        self._most_waiting = most_waiting
        self._timeout = timeout
        self._reason = reason
        self._loop = asyncio.get_running_loop()
        self._is_closed = False
        self._waiting: deque[_Waiting[CallT, AnswerT]] = deque()
        self._busy: set[asyncio.Task[None]] = set()
        #: The batches under way, by their own identity.
        self._sent: dict[int, list[_Waiting[CallT, AnswerT]]] = {}
        #: How many calls in a row have come while no other was waiting or under way.
        self._alone = 0
        #: The call under way without a lane, what can stop it, and what observes it.
        self._lone: tuple[list[_Waiting[CallT, AnswerT]], UnderWay, Operation | None] | None = None
        self._lone_ended: asyncio.Future[None] | None = None
        #: The lane that makes such a call again, and when the call came.
        self._again: tuple[asyncio.Task[None], float] | None = None
        #: The calls that wait for locked rows, and the lane that sends them again.
        self._apart: list[_Waiting[CallT, AnswerT]] = []
        #: Those of them that are being sent again.
        self._sent_again: list[_Waiting[CallT, AnswerT]] = []
        self._apart_lane: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def call(self, call: CallT) -> asyncio.Future[AnswerT]:
        """Return a future for the answer to `call`, or for the error that `send` raises for it."""
        if self._is_closed:
            raise StoreClosedError("The store is closed. Open it again, or make a new one.")
        if len(self._waiting) >= self._most_waiting:
            raise StoreBusyError("Too many callers wait for the database already. Try again.")
        loop = self._loop
        answer: asyncio.Future[AnswerT] = loop.create_future()
        origin = None if self._observer is None else self._observer.origin()
        waiting = (call, answer, loop.time(), origin)
        self._alone = 0 if self._waiting or self._sent else self._alone + 1
        if self._alone <= _QUIET or not self._send_alone(waiting):
            self._waiting.append(waiting)
            self._start_lane()
        if self._timer is None:
            self._timer = loop.call_later(self._timeout, self._end_late_calls, context=Context())
        return answer

    def _start_lane(self) -> None:
        """Start a lane, if one is free."""
        if len(self._busy) + (self._lone is not None) < self._lanes:
            self._add_lane(self._run_lane())

    def _add_lane(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # In an empty context, as a lane works for many requests.
        lane = self._loop.create_task(work, context=Context())
        if not lane.done():  # an eager task may have ended already
            self._busy.add(lane)
            # For a lane that is cancelled before its first step.
            lane.add_done_callback(self._end_lane)
        return lane

    def _send_alone(self, waiting: _Waiting[CallT, AnswerT]) -> bool:
        """Send a call without a lane; return False if that is not possible."""
        if self._begin is None:
            return False
        under_way = self._begin(waiting[0], self._end_alone)
        if under_way is None:
            return False
        batch, operation = [waiting], None
        if self._observer is not None:
            waited = self._loop.time() - waiting[2]
            operation = self._observer.begin([waiting[3]], waited)
        self._sent[id(batch)] = batch
        self._lone = batch, under_way, operation
        return True

    def _end_alone(self, found: AnswerT | SessionError, may_retry: bool) -> None:  # noqa: FBT001 - by position, as `Begin` calls it
        """Take the answer to the call that was sent without a lane, or make it again in one."""
        assert self._lone is not None  # noqa: S101 - for type checkers: it is under way
        batch, _, operation = self._lone
        self._lone = None
        [(_, answer, since, _)] = batch
        if may_retry and not answer.done():
            lane = self._add_lane(self._run_again(batch, operation))
            self._again = None if lane.done() else (lane, since)
        else:
            self._finish(batch, operation, found)
            if self._waiting:
                self._start_lane()
        if self._lone_ended is not None:
            self._lone_ended.set_result(None)
            self._lone_ended = None

    def _finish(
        self,
        batch: list[_Waiting[CallT, AnswerT]],
        operation: Operation | None,
        found: AnswerT | Locked | Exception,
    ) -> None:
        """Give the answer to the caller of such a call."""
        del self._sent[id(batch)]
        [(_, answer, *_)] = batch
        error = found if isinstance(found, Exception) else None
        if operation is not None:
            operation.end("", error)
        if error is not None:
            self._alone = 0
            _fail(answer, error)
        elif not answer.done() and not isinstance(found, (Locked, Exception)):
            answer.set_result(found)

    async def _run_again(
        self, batch: list[_Waiting[CallT, AnswerT]], operation: Operation | None
    ) -> None:
        """Make such a call again, with all the retries of `send`. Then go on as a lane."""
        found: AnswerT | Locked | Exception
        try:
            [found] = await self._send([batch[0][0]], False)  # noqa: FBT003 - by position, as `send` takes it
        except asyncio.CancelledError:
            is_late = self._again is None
            self._finish(batch, operation, StoreUnavailableError("The store was interrupted."))
            if not is_late:
                raise
        except Exception as error:  # the outermost edge: no caller may wait for ever
            if not isinstance(error, SessionError):
                _LOGGER.exception("A batch failed unexpectedly.", extra=event("batch_failed"))
            self._finish(batch, operation, error)
        else:
            self._finish(batch, operation, found)
        finally:
            self._again = None
        await self._run_lane()

    def reject(self) -> None:
        """Reject further calls."""
        self._is_closed = True

    async def close(self) -> None:
        """Reject further calls; return when all calls are answered and no task is left."""
        self.reject()
        while under_way := self._under_way():
            await asyncio.wait(under_way)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _under_way(self) -> set[asyncio.Future[None]]:
        """Return what must end before all calls are answered."""
        under_way: set[asyncio.Future[None]] = set(self._busy)
        if self._apart_lane is not None:
            under_way.add(self._apart_lane)
        if self._lone is not None:
            if self._lone_ended is None:
                self._lone_ended = self._loop.create_future()
            under_way.add(self._lone_ended)
        return under_way

    async def _run_lane(self) -> None:
        try:
            while batch := self._next_batch():
                self._sent[id(batch)] = batch
                try:
                    await self._answer(batch)
                finally:
                    del self._sent[id(batch)]
        finally:
            # Now, not in the task's callback: a call made in between would wait for this lane.
            self._end_lane(asyncio.current_task())

    def _end_lane(self, lane: asyncio.Task[None] | None) -> None:
        """Free the place of a lane. If all lanes were cancelled, fail the callers that wait."""
        if lane is not None:
            self._busy.discard(lane)
        while self._waiting and not self._busy and self._lone is None:
            _, answer, *_ = self._waiting.popleft()
            _fail(answer, StoreUnavailableError("The store was interrupted. Try again."))

    def _next_batch(self) -> list[_Waiting[CallT, AnswerT]]:
        batch: list[_Waiting[CallT, AnswerT]] = []
        under_way = sum(map(len, self._sent.values())) if self._sent else 0
        fair = -(-(len(self._waiting) + under_way) // self._lanes)
        share = min(self._size, max(self._least, fair))
        while self._waiting and len(batch) < share:
            waiting = self._waiting.popleft()
            answer = waiting[1]
            if not answer.done():  # else the caller was cancelled, or has timed out
                batch.append(waiting)
        return batch

    def _end_late_calls(self) -> None:
        """Fail the callers that have timed out, and set the timer for the next."""
        loop = self._loop
        oldest = loop.time() - self._timeout
        reason = self._reason()
        late = reason or StoreUnavailableError("The database did not answer in time. Try again.")
        held = SessionBusyError("Another transaction held the session for too long. Try again.")
        busy = reason or StoreBusyError("The database was busy for too long. Try again.")
        left: list[float] = []
        for waiting, error in (
            *((waiting, held) for waiting in (*self._apart, *self._sent_again)),
            *((waiting, late) for batch in self._sent.values() for waiting in batch),
            *((waiting, busy) for waiting in self._waiting),
        ):
            _, answer, since, _ = waiting
            if since <= oldest:
                _fail(answer, error)
            elif not answer.done():
                left.append(since)
        if self._lone is not None:
            (waiting,), under_way, _ = self._lone
            if waiting[2] <= oldest:
                under_way.stop()
                self._end_alone(late, may_retry=False)
            else:  # also if its caller was cancelled
                left.append(waiting[2])
        if self._again is not None:
            lane, since = self._again
            if since <= oldest:
                self._again = None
                lane.cancel()  # the call; it goes on as a lane
            else:
                left.append(since)
        self._timer = None
        if left:
            self._timer = loop.call_at(min(left) + self._timeout, self._end_late_calls)

    async def _answer(
        self, batch: Sequence[_Waiting[CallT, AnswerT]], *, skipping: bool = False
    ) -> None:
        """Send a batch, and give each caller its answer or its error."""
        is_again, skipping = skipping, skipping or self._locked_rows.waiting > 0
        try:
            answers = await self._sent_batch(batch, skipping=skipping, is_again=is_again)
        except asyncio.CancelledError:
            for _, answer, *_ in batch:
                answer.cancel()
            raise
        except StoreUnavailableError as error:
            for _, answer, *_ in batch:
                _fail(answer, error)
        except Exception as error:  # the outermost edge: no caller may wait for ever
            if not isinstance(error, SessionError):
                _LOGGER.exception("A batch failed unexpectedly.", extra=event("batch_failed"))
            await self._answer_singly(batch, error)
        else:
            for waiting, found in zip(batch, answers, strict=True):
                answer = waiting[1]
                if answer.done():
                    continue
                if not isinstance(found, (Locked, SessionError)):  # nearly always
                    answer.set_result(found)
                elif isinstance(found, Locked):
                    self._set_apart(waiting)
                else:
                    _fail(answer, found)

    def _sent_batch(
        self,
        batch: Sequence[_Waiting[CallT, AnswerT]],
        *,
        skipping: bool,
        is_again: bool,
    ) -> Awaitable[Sequence[AnswerT | Locked | SessionError]]:
        """Send a batch. `is_again` is True for calls that were set apart."""
        answers = self._send([waiting[0] for waiting in batch], skipping)
        if self._observer is None:
            return answers
        waited = None if is_again else self._loop.time() - batch[0][2]
        return observed(answers, self._observer, [origin for *_, origin in batch], waited)

    async def _answer_singly(
        self, batch: Sequence[_Waiting[CallT, AnswerT]], error: Exception
    ) -> None:
        """Send each call of a failed batch alone."""
        if len(batch) == 1:
            _fail(batch[0][1], error)
            return
        left = deque(batch)
        try:
            while left:
                waiting = left.popleft()
                if not waiting[1].done():
                    await self._answer([waiting])
        finally:
            for _, answer, *_ in left:
                answer.cancel()  # if this lane was cancelled

    def _set_apart(self, waiting: _Waiting[CallT, AnswerT]) -> None:
        """Let a call wait for its row, and send it again in a while."""
        # Its attempts may be many: only the first is part of the caller's trace.
        self._apart.append((*waiting[:3], None))
        self._locked_rows.waiting += 1
        if self._apart_lane is None:
            self._apart_lane = self._loop.create_task(self._run_apart(), context=Context())

    async def _run_apart(self) -> None:
        """Send the calls that wait for locked rows again and again."""
        try:
            while self._apart:
                await asyncio.sleep(_RETRY_EVERY)
                await self._retry_once()
        finally:
            self._apart_lane = None
            self._locked_rows.waiting -= len(self._apart)
            for _, answer, *_ in self._apart:  # if this lane was cancelled
                _fail(answer, StoreUnavailableError("The store was interrupted. Try again."))
            self._apart = []

    async def _retry_once(self) -> None:
        """Send each of them once. Those that are not sent yet stay apart, and may time out."""
        left = len(self._apart)
        while left > 0:
            apart = self._apart[: min(left, self._size)]
            del self._apart[: len(apart)]
            left -= len(apart)
            batch = [waiting for waiting in apart if not waiting[1].done()]
            self._sent_again = batch
            try:
                if batch:
                    await self._answer(batch, skipping=True)
            finally:
                self._sent_again = []
                self._locked_rows.waiting -= len(apart)  # those set apart again count twice


def _fail(answer: asyncio.Future[AnswerT], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(_copied(error))


def _copied(error: Exception) -> Exception:
    """Return a copy: an error that many callers raise would collect all their tracebacks."""
    try:
        return copy.copy(error)
    except TypeError:  # its constructor does not take its own arguments
        return error
