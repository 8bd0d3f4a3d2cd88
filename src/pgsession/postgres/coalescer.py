"""The coalescer: calls that arrive while a statement is under way leave together in the next.

A lane is a task that sends one batch at a time. If a lane is free, a call leaves at
once, so nothing is delayed. If all lanes are busy, calls wait, and leave together.
So a batch is as large as the load makes it, and holds one call where there is none.

Where there is no load, not even a lane is needed: `LoneCalls`. Calls whose rows other
transactions hold wait apart: `CallsApart`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from functools import partial
from typing import Generic

from pgsession.core.logs import event, own_logger
from pgsession.core.observer import StatementObserver, observed
from pgsession.errors import (
    SessionError,
    StoreBusyError,
    StoreClosedError,
    StoreUnavailableError,
)
from pgsession.postgres.callers import AnswerT, Caller, CallT, fail
from pgsession.postgres.calls_apart import CallsApart
from pgsession.postgres.locked_rows import Locked, LockedRows
from pgsession.postgres.lone_calls import Begin, First, LoneCalls, Send

_LOGGER = own_logger()


class Coalescer(Generic[CallT, AnswerT]):
    """Sends calls in batches through a few lanes, each of which sends one batch at a time.

    `send` takes at most `size` calls, and whether to skip locked rows at once. It
    returns an answer for each, in order, or an error that is this call's alone.
    A lane takes its share of the waiting calls, at least `least`, so that the
    answers to one batch can be read while another is under way.

    `begin` sends one call without a lane, where that is possible; see `LoneCalls`. It counts as a
    lane while it is under way.

    A call that is answered with `LOCKED` is sent again until it has another answer; see
    `CallsApart`. Meanwhile all batches skip locked rows at once.

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
        send: Send[CallT, AnswerT],
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
        self._waiting: deque[Caller[CallT, AnswerT]] = deque()
        self._busy: set[asyncio.Task[None]] = set()
        #: The batches under way, by their own identity.
        self._sent: dict[int, list[Caller[CallT, AnswerT]]] = {}
        self._lone = LoneCalls(
            begin, send, start_lane=self._add_lane, free=self._go_on, observer=observer
        )
        self._apart = CallsApart(
            partial(self._answer, skipping=True),
            size=size,
            timeout=timeout,
            locked_rows=locked_rows,
        )
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
        caller = (call, answer, loop.time(), origin)
        if self._waiting or self._sent:
            self._lone.in_a_row = 0
            self._wait(caller)
        elif not self._lone.take(caller):
            self._wait(caller)
        if self._timer is None:
            self._timer = loop.call_later(self._timeout, self._end_late_calls, context=Context())
        return answer

    def _wait(self, caller: Caller[CallT, AnswerT]) -> None:
        """Let a caller wait for a lane, and start one that is free."""
        self._waiting.append(caller)
        if len(self._busy) + self._lone.has_no_lane < self._lanes:
            self._add_lane()

    def _go_on(self) -> None:
        """Start a lane if callers wait: a call without one has ended."""
        if self._waiting:
            self._add_lane()

    def _add_lane(self, first: First | None = None) -> asyncio.Task[None]:
        # In an empty context, as a lane works for many requests.
        lane = self._loop.create_task(self._run_lane(first), context=Context())
        if not lane.done():  # an eager task may have ended already
            self._busy.add(lane)
            # For a lane that is cancelled before its first step.
            lane.add_done_callback(self._end_lane)
        return lane

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
        own = (self._apart.lane, self._lone.ended())
        return {*self._busy, *(each for each in own if each is not None)}

    async def _run_lane(self, first: First | None) -> None:
        try:
            if first is not None:
                await first()
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
        while self._waiting and not self._busy and not self._lone.has_no_lane:
            _, answer, *_ = self._waiting.popleft()
            fail(answer, StoreUnavailableError("The store was interrupted. Try again."))

    def _next_batch(self) -> list[Caller[CallT, AnswerT]]:
        batch: list[Caller[CallT, AnswerT]] = []
        under_way = sum(map(len, self._sent.values())) + self._lone.is_under_way
        fair = -(-(len(self._waiting) + under_way) // self._lanes)
        share = min(self._size, max(self._least, fair))
        while self._waiting and len(batch) < share:
            caller = self._waiting.popleft()
            answer = caller[1]
            if not answer.done():  # else the caller was cancelled, or has timed out
                batch.append(caller)
        return batch

    def _end_late_calls(self) -> None:
        """Fail the callers that have timed out, and set the timer for the next."""
        loop = self._loop
        oldest = loop.time() - self._timeout
        reason = self._reason()
        late = reason or StoreUnavailableError("The database did not answer in time. Try again.")
        busy = reason or StoreBusyError("The database was busy for too long. Try again.")
        left = self._apart.end_late(oldest, late)
        if (since := self._lone.end_late(oldest, late)) is not None:
            left.append(since)
        for caller, error in (
            *((caller, late) for batch in self._sent.values() for caller in batch),
            *((caller, busy) for caller in self._waiting),
        ):
            _, answer, since, _ = caller
            if since <= oldest:
                fail(answer, error)
            elif not answer.done():
                left.append(since)
        self._timer = None
        if left:
            self._timer = loop.call_at(min(left) + self._timeout, self._end_late_calls)

    async def _answer(
        self, batch: Sequence[Caller[CallT, AnswerT]], *, skipping: bool = False
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
                fail(answer, error)
        except Exception as error:  # the outermost edge: no caller may wait for ever
            if not isinstance(error, SessionError):
                _LOGGER.exception("A batch failed unexpectedly.", extra=event("batch_failed"))
            await self._answer_singly(batch, error)
        else:
            for caller, found in zip(batch, answers, strict=True):
                answer = caller[1]
                if answer.done():
                    continue
                if not isinstance(found, (Locked, SessionError)):  # nearly always
                    answer.set_result(found)
                elif isinstance(found, Locked):
                    self._apart.add(caller)
                else:
                    fail(answer, found)

    def _sent_batch(
        self,
        batch: Sequence[Caller[CallT, AnswerT]],
        *,
        skipping: bool,
        is_again: bool,
    ) -> Awaitable[Sequence[AnswerT | Locked | SessionError]]:
        """Send a batch. `is_again` is True for calls that were set apart."""
        answers = self._send([caller[0] for caller in batch], skipping)
        if self._observer is None:
            return answers
        waited = None if is_again else self._loop.time() - batch[0][2]
        return observed(answers, self._observer, [origin for *_, origin in batch], waited)

    async def _answer_singly(
        self, batch: Sequence[Caller[CallT, AnswerT]], error: Exception
    ) -> None:
        """Send each call of a failed batch alone."""
        if len(batch) == 1:
            fail(batch[0][1], error)
            return
        left = deque(batch)
        try:
            while left:
                caller = left.popleft()
                if not caller[1].done():
                    await self._answer([caller])
        finally:
            for _, answer, *_ in left:
                answer.cancel()  # if this lane was cancelled
