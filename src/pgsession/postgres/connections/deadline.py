"""A time limit that holds even if the code it interrupts is slow to stop."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final, Self

#: Seconds that an interrupted block has to end before it is interrupted again.
GRACE: Final = 0.5


class Deadline:
    """Ends a block with `TimeoutError`: ``with Deadline(5): …``; None sets no limit.

    It interrupts the block as `asyncio.timeout` does, but again every `GRACE`
    seconds until the block has ended. After the first interruption psycopg asks
    the server to cancel and waits for the answer, up to ten seconds if the
    server is frozen; after the second it closes the connection at once.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._cancelling = 0
        #: How often the block was interrupted.
        self.interruptions: int = 0

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        if self._task is None:
            raise RuntimeError("A deadline needs a running task.")
        self._cancelling = self._task.cancelling()
        self.extend(self._seconds)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.extend(None)
        task, self._task = self._task, None
        if task is None or not self.interruptions:
            return
        for _ in range(self.interruptions):
            task.uncancel()
        if isinstance(error, asyncio.CancelledError) and task.cancelling() <= self._cancelling:
            raise TimeoutError from error

    def extend(self, seconds: float | None) -> None:
        """Replace the limit: the block may take `seconds` from now on, None for no limit."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._interrupt)

    def _interrupt(self) -> None:
        if self._task is not None:
            self.interruptions += 1
            self.extend(GRACE)
            self._task.cancel()
