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

    def __init__(self, seconds: float | None, *, watch: Watch | None = None) -> None:
        self._seconds = seconds
        self._watch = watch
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
        if self._watch is None:
            self.allow(self._seconds)
        else:
            self._watch.add(self)
        return self

    def allow(self, seconds: float | None) -> None:
        """Allow so many seconds from now on, in place of what was allowed before."""
        self._stop()
        if seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self.strike)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()
        task, self._task = self._task, None
        if task is None or not self.strikes:
            return
        for _ in range(self.strikes):
            task.uncancel()
        if isinstance(error, asyncio.CancelledError) and task.cancelling() <= self._cancelling:
            raise TimeoutError from error

    def strike(self) -> None:
        """Interrupt the block; it is time."""
        if self._task is not None:
            self.strikes += 1
            self.allow(GRACE)
            self._task.cancel()

    def _stop(self) -> None:
        if self._watch is not None:
            self._watch.remove(self)
            self._watch = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Watch:
    """Keeps all the deadlines of one length in an event loop with one timer.

    To set a timer for each and to stop it again costs more than most of them
    are there for.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due: dict[Deadline, float] = {}  # in the order of these times
        self._timer: asyncio.TimerHandle | None = None

    def deadline(self) -> Deadline:
        """Return a deadline: ``with watch.deadline(): …``."""
        return Deadline(self._seconds, watch=self)

    def add(self, deadline: Deadline) -> None:
        """Keep a deadline from now on."""
        loop = asyncio.get_running_loop()
        due = self._due[deadline] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_at(due, self._look)

    def remove(self, deadline: Deadline) -> None:
        """Keep a deadline no more."""
        self._due.pop(deadline, None)

    def _look(self) -> None:
        """Strike those whose time has come; look again when the next one's will have."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for deadline in [each for each, due in self._due.items() if due <= now]:
            deadline.strike()
        self._timer = None
        if self._due:
            self._timer = loop.call_at(next(iter(self._due.values())), self._look)
