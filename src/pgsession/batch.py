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
from typing import Generic, TypeAlias, TypeVar

from pgsession.errors import SessionError, StoreBusyError, StoreUnavailableError

_LOGGER = logging.getLogger("pgsession")

CallT = TypeVar("CallT")
AnswerT = TypeVar("AnswerT")
_Waiting: TypeAlias = tuple[CallT, "asyncio.Future[AnswerT]"]


class Coalescer(Generic[CallT, AnswerT]):
    """Sends calls in batches through a few lanes, each busy with one batch at a time.

    `send` takes at most `size` calls and returns an answer for each, in order.
    If it raises `StoreUnavailableError`, all its callers get that. If it raises
    another `SessionError`, one of the calls is to blame: each is sent again
    alone, and only the guilty one fails.

    A caller that is cancelled leaves; its call may be sent or not, and its
    neighbours never notice. Beyond `most_waiting` callers, further ones get
    `StoreBusyError` at once.
    """

    def __init__(
        self,
        send: Callable[[Sequence[CallT]], Awaitable[Sequence[AnswerT]]],
        *,
        lanes: int,
        size: int,
        most_waiting: int,
    ) -> None:
        self._send = send
        self._lanes = lanes
        self._size = size
        self._most_waiting = most_waiting
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[_Waiting[CallT, AnswerT]] = deque()
        self._busy: set[asyncio.Task[None]] = set()

    async def call(self, call: CallT) -> AnswerT:
        """Return the answer to `call`. Raises what `send` raises for it."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._move(loop)
        if len(self._waiting) >= self._most_waiting:
            raise StoreBusyError("Too many wait for the database already. Try again.")
        answer: asyncio.Future[AnswerT] = loop.create_future()
        self._waiting.append((call, answer))
        if len(self._busy) < self._lanes:
            self._busy.add(loop.create_task(self._run_lane()))
        return await answer

    async def drain(self) -> None:
        """Wait until every call made in this event loop is answered; no task is left."""
        while self._busy and self._loop is asyncio.get_running_loop():
            await asyncio.wait(self._busy)

    def _move(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin anew in an event loop; what belonged to another ended with it."""
        self._loop = loop
        self._waiting = deque()
        self._busy = set()

    async def _run_lane(self) -> None:
        lane = asyncio.current_task()
        try:
            while batch := self._next_batch():
                await self._answer(batch)
        finally:
            # At once, not when the task's callbacks run: a call made in between would wait
            # for a lane that is gone.
            self._busy.discard(lane)

    def _next_batch(self) -> list[_Waiting[CallT, AnswerT]]:
        batch: list[_Waiting[CallT, AnswerT]] = []
        while self._waiting and len(batch) < self._size:
            waiting = self._waiting.popleft()
            if not waiting[1].done():  # else it was cancelled
                batch.append(waiting)
        return batch

    async def _answer(self, batch: list[_Waiting[CallT, AnswerT]]) -> None:
        """Send a batch, and give each caller its answer or its error."""
        try:
            answers = await self._send([call for call, _ in batch])
        except SessionError as error:
            if len(batch) > 1 and not isinstance(error, StoreUnavailableError):
                for waiting in batch:
                    await self._answer([waiting])
                return
            _fail(batch, error)
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:  # the outermost edge: nobody may wait for ever
            _LOGGER.exception("A batch failed in an unforeseen way.")
            _fail(batch, error)
        else:
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)


def _fail(batch: list[_Waiting[CallT, AnswerT]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            # A copy each: an error that many raise would gather all their tracebacks.
            future.set_exception(copy.copy(error))
