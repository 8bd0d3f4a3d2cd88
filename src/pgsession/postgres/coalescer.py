"""The coalescer: calls that arrive while others are under way leave together.

It adds no delay. A lone call leaves at once; whatever arrives while every lane
is busy waits for one, and leaves with all that waited. So the batches are as
large as the load makes them, and of one where there is none.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeAlias, TypeVar

from pgsession.errors import (
    SessionError,
    StoreBusyError,
    StoreClosedError,
    StoreUnavailableError,
)

_LOGGER = logging.getLogger("pgsession")

CallT = TypeVar("CallT")
AnswerT = TypeVar("AnswerT")


#: Somebody who waits: the call, what becomes its answer, and since when.
_Waiting: TypeAlias = tuple[CallT, asyncio.Future[AnswerT], float]


class Coalescer(Generic[CallT, AnswerT]):
    """Sends calls in batches through a few lanes, each busy with one batch at a time.

    `send` takes at most `size` calls and returns an answer for each, in order.
    A lane leaves the others their share of those who wait, if the share is
    `least` or more: while one batch is under way, another can be read.
    If it raises `StoreUnavailableError`, all its callers get that. If it raises
    anything else, one of the calls is to blame: each is sent again alone, and
    only the guilty one fails.

    A caller that is cancelled leaves; its call may be sent or not, and its
    neighbours never notice. Who has no answer within `patience` seconds leaves
    too, with `StoreBusyError` if the call was not sent, and else with
    `StoreUnavailableError`, whatever `send` still has to tidy up. Who comes on
    top of `most_waiting` gets `StoreBusyError` at once.

    It serves one event loop at a time. Another one may take over once the
    first has ended or nothing is under way in it; else `StoreClosedError`.
    """

    def __init__(
        self,
        send: Callable[[Sequence[CallT]], Awaitable[Sequence[AnswerT]]],
        *,
        lanes: int,
        size: int,
        least: int,
        most_waiting: int,
        patience: float,
    ) -> None:
        self._send = send
        self._lanes = lanes
        self._size = size
        self._least = least
        self._most_waiting = most_waiting
        self._patience = patience
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed_in: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[_Waiting[CallT, AnswerT]] = deque()
        #: The lanes that run, each by a token of its own.
        self._busy: set[object] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        #: The batches under way, by a number of their own.
        self._sent: dict[int, list[_Waiting[CallT, AnswerT]]] = {}
        self._watch: asyncio.TimerHandle | None = None

    def call(self, call: CallT) -> asyncio.Future[AnswerT]:
        """Return what becomes the answer to `call`, or the error that `send` raises for it."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._move(loop)
        if self._closed_in is loop:
            raise StoreClosedError("The store is closed. Open it again, or make a new one.")
        if len(self._waiting) >= self._most_waiting:
            raise StoreBusyError("Too many wait for the database already. Try again.")
        answer: asyncio.Future[AnswerT] = loop.create_future()
        self._waiting.append((call, answer, loop.time()))
        if self._watch is None:
            self._watch = loop.call_later(self._patience, self._refuse_late)
        if len(self._busy) < self._lanes:
            token = object()
            self._busy.add(token)
            # In a context of its own: a lane serves many, and speaks for none of them.
            lane = loop.create_task(self._run_lane(token), context=Context())
            self._tasks.add(lane)
            lane.add_done_callback(self._tasks.discard)
            # If it was cancelled before it began, nothing of it has run.
            lane.add_done_callback(lambda _: self._end_lane(token))
        return answer

    def reopen(self) -> None:
        """Take calls again after `close`."""
        self._closed_in = None

    async def close(self) -> None:
        """Take no more calls in this event loop; return when all are answered, no task left."""
        self._closed_in = asyncio.get_running_loop()
        while self._tasks and self._loop is self._closed_in:
            await asyncio.wait(set(self._tasks))
        if self._watch is not None and self._loop is self._closed_in:
            self._watch.cancel()
            self._watch = None

    def _move(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin anew in an event loop; what belonged to another ended with it."""
        if self._busy and self._loop is not None and not self._loop.is_closed():
            raise StoreClosedError(
                "The store is in use in another event loop. Make one store for each event loop."
            )
        self._loop = loop
        self._waiting = deque()
        self._busy = set()
        self._tasks = set()
        self._sent = {}
        self._watch = None

    async def _run_lane(self, token: object) -> None:
        try:
            while batch := self._next_batch():
                self._sent[id(batch)] = batch
                try:
                    await self._answer(batch)
                finally:
                    del self._sent[id(batch)]
        finally:
            # At once, not when the task's callbacks run: a call made in between would wait
            # for a lane that is gone.
            self._end_lane(token)

    def _end_lane(self, token: object) -> None:
        """Count a lane no more; fail whoever waits though none is left: all were cancelled."""
        if token not in self._busy:
            return
        self._busy.remove(token)
        while self._waiting and not self._busy:
            _, answer, _ = self._waiting.popleft()
            _fail(answer, StoreUnavailableError("The store was interrupted."))

    def _next_batch(self) -> list[_Waiting[CallT, AnswerT]]:
        batch: list[_Waiting[CallT, AnswerT]] = []
        under_way = sum(map(len, self._sent.values())) if self._sent else 0
        fair = -(-(len(self._waiting) + under_way) // self._lanes)
        share = min(self._size, max(self._least, fair))
        while self._waiting and len(batch) < share:
            waiting = self._waiting.popleft()
            _, answer, _ = waiting
            if not answer.done():  # else it was cancelled, or came too late
                batch.append(waiting)
        return batch

    def _refuse_late(self) -> None:
        """Fail whoever has waited for too long; look again when the next one will have."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - self._patience
        late = StoreUnavailableError("The database did not answer in time. Try again.")
        busy = StoreBusyError("The database was busy for too long. Try again.")
        left: list[float] = []
        for waiting, error in (
            *((waiting, late) for batch in self._sent.values() for waiting in batch),
            *((waiting, busy) for waiting in self._waiting),
        ):
            _, answer, since = waiting
            if since <= oldest:
                _fail(answer, error)
            elif not answer.done():
                left.append(since)
        self._watch = None
        if left:
            self._watch = loop.call_at(min(left) + self._patience, self._refuse_late)

    async def _answer(self, batch: Sequence[_Waiting[CallT, AnswerT]]) -> None:
        """Send a batch, and give each caller its answer or its error."""
        try:
            answers = await self._send([call for call, _, _ in batch])
        except asyncio.CancelledError:
            for _, answer, _ in batch:
                answer.cancel()
            raise
        except StoreUnavailableError as error:
            for _, answer, _ in batch:
                _fail(answer, error)
        except Exception as error:  # the outermost edge: nobody may wait for ever
            if not isinstance(error, SessionError):
                _LOGGER.exception("A batch failed in an unforeseen way.")
            await self._answer_singly(batch, error)
        else:
            for (_, answer, _), found in zip(batch, answers, strict=True):
                if not answer.done():
                    answer.set_result(found)

    async def _answer_singly(
        self, batch: Sequence[_Waiting[CallT, AnswerT]], error: Exception
    ) -> None:
        """Find out who is to blame for an error."""
        if len(batch) == 1:
            _fail(batch[0][1], error)
            return
        try:
            for waiting in batch:
                if not waiting[1].done():
                    await self._answer([waiting])
        finally:
            for _, answer, _ in batch:
                answer.cancel()  # only those whom a cancelled lane left over


def _fail(answer: asyncio.Future[AnswerT], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(_copied(error))


def _copied(error: Exception) -> Exception:
    """Return a copy: an error that many raise would gather all their tracebacks."""
    try:
        return copy.copy(error)
    except TypeError:  # made by a constructor that does not take its own arguments
        return error
