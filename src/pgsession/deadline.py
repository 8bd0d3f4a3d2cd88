"""A deadline that is kept, whatever the interrupted one still has to tidy up."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final, Self

#: Seconds that an interrupted block has to end, before it is interrupted again.
GRACE: Final = 0.5


class Deadline:
    """Ends a block with `TimeoutError`: ``with Deadline(5): …``; None allows it all the time.

    It interrupts as `asyncio.timeout` does, but again after `GRACE` seconds,
    until the block has ended. Interrupted once, psycopg asks the server to
    cancel and waits for that, up to ten seconds if the server is frozen;
    interrupted again, it closes the connection at once.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._cancelling = 0
        #: How often the block was interrupted.
        self.strikes: int = 0

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        if self._task is None:
            raise RuntimeError("A deadline is for a task.")
        self._cancelling = self._task.cancelling()
        self.allow(self._seconds)
        return self

    def allow(self, seconds: float | None) -> None:
        """Allow so many seconds from now on, in place of what was allowed before."""
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = None if seconds is None else loop.call_later(seconds, self._strike)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.allow(None)
        task, self._task = self._task, None
        if task is None or not self.strikes:
            return
        for _ in range(self.strikes):
            task.uncancel()
        if isinstance(error, asyncio.CancelledError) and task.cancelling() <= self._cancelling:
            raise TimeoutError from error

    def _strike(self) -> None:
        if self._task is not None:
            self.strikes += 1
            self.allow(GRACE)
            self._task.cancel()
