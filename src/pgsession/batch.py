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
from typing import Generic, NamedTuple, TypeVar

from pgsession.errors import (
    SessionError,
    StoreBusyError,
    StoreClosedError,
    StoreUnavailableError,
)

_LOGGER = logging.getLogger("pgsession")

CallT = TypeVar("CallT")
AnswerT = TypeVar("AnswerT")


class _Waiting(NamedTuple, Generic[CallT, AnswerT]):
    """Somebody who waits for an answer, and since when."""

    call: CallT
    answer: asyncio.Future[AnswerT]
    since: float


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
        self._busy = 0
        self._tasks: set[asyncio.Task[None]] = set()
        #: The batches under way, by a number of their own.
        self._sent: dict[int, list[_Waiting[CallT, AnswerT]]] = {}
        self._watch: asyncio.TimerHandle | None = None

    async def call(self, call: CallT) -> AnswerT:
        """Return the answer to `call`. Raises what `send` raises for it."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._move(loop)
        if self._closed_in is loop:
            raise StoreClosedError("The store is closed. Open it again, or make a new one.")
        if len(self._waiting) >= self._most_waiting:
            raise StoreBusyError("Too many wait for the database already. Try again.")
        answer: asyncio.Future[AnswerT] = loop.create_future()
        self._waiting.append(_Waiting(call, answer, loop.time()))
        if self._watch is None:
            self._watch = loop.call_later(self._patience, self._refuse_late)
        if self._busy < self._lanes:
            self._busy += 1
            # In a context of its own: a lane serves many, and speaks for none of them.
            loop.create_task(self._run_lane(), context=Context())  # noqa: RUF006 - it keeps itself
        return await answer

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
        self._busy = 0
        self._tasks = set()
        self._sent = {}
        self._watch = None

    async def _run_lane(self) -> None:
        lane = asyncio.current_task()
        if lane is not None:
            self._tasks.add(lane)
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
            self._busy -= 1
            self._tasks.discard(lane)
            if not self._busy:
                self._abandon()

    def _abandon(self) -> None:
        """Fail whoever still waits though no lane is left: the lanes were cancelled."""
        while self._waiting:
            _fail([self._waiting.popleft()], StoreUnavailableError("The store was interrupted."))

    def _next_batch(self) -> list[_Waiting[CallT, AnswerT]]:
        batch: list[_Waiting[CallT, AnswerT]] = []
        under_way = sum(map(len, self._sent.values()))
        fair = -(-(len(self._waiting) + under_way) // self._lanes)
        share = min(self._size, max(self._least, fair))
        while self._waiting and len(batch) < share:
            waiting = self._waiting.popleft()
            if not waiting.answer.done():  # else it was cancelled, or came too late
                batch.append(waiting)
        return batch

    def _refuse_late(self) -> None:
        """Fail whoever has waited for too long; look again when the next one will have."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - self._patience
        sent = [waiting for batch in self._sent.values() for waiting in batch]
        _fail(
            [waiting for waiting in sent if waiting.since <= oldest],
            StoreUnavailableError("The database did not answer in time. Try again."),
        )
        while self._waiting and self._waiting[0].since <= oldest:
            busy = StoreBusyError("The database was busy for too long. Try again.")
            _fail([self._waiting.popleft()], busy)
        left = [each.since for each in (*sent, *self._waiting) if not each.answer.done()]
        self._watch = None
        if left:
            self._watch = loop.call_at(min(left) + self._patience, self._refuse_late)

    async def _answer(self, batch: list[_Waiting[CallT, AnswerT]]) -> None:
        """Send a batch, and give each caller its answer or its error."""
        try:
            answers = await self._send([waiting.call for waiting in batch])
        except asyncio.CancelledError:
            for waiting in batch:
                waiting.answer.cancel()
            raise
        except StoreUnavailableError as error:
            _fail(batch, error)
        except Exception as error:  # the outermost edge: nobody may wait for ever
            if not isinstance(error, SessionError):
                _LOGGER.exception("A batch failed in an unforeseen way.")
            await self._answer_singly(batch, error)
        else:
            for waiting, answer in zip(batch, answers, strict=True):
                if not waiting.answer.done():
                    waiting.answer.set_result(answer)

    async def _answer_singly(self, batch: list[_Waiting[CallT, AnswerT]], error: Exception) -> None:
        """Find out who is to blame for an error."""
        if len(batch) == 1:
            _fail(batch, error)
            return
        try:
            for waiting in batch:
                if not waiting.answer.done():
                    await self._answer([waiting])
        finally:
            for waiting in batch:
                waiting.answer.cancel()  # only those whom a cancelled lane left over


def _fail(batch: Sequence[_Waiting[CallT, AnswerT]], error: Exception) -> None:
    for waiting in batch:
        if not waiting.answer.done():
            waiting.answer.set_exception(_copied(error))


def _copied(error: Exception) -> Exception:
    """Return a copy: an error that many raise would gather all their tracebacks."""
    try:
        return copy.copy(error)
    except TypeError:  # made by a constructor that does not take its own arguments
        return error
