"""Sweeping now and then, for as long as a store is open."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextvars import Context
from datetime import timedelta
from typing import Final

from pgsession.errors import SessionError, StoreClosedError
from pgsession.postgres.sweeping.sweep import Swept

_LOGGER = logging.getLogger("pgsession")

#: How often a store sweeps, unless something else is said.
DEFAULT_SWEEP_EVERY: Final = timedelta(minutes=10)

#: The shortest pause and the longest, as parts of the one that is set. Processes that were
#: started together part, and none sweeps as soon as it is started.
_JITTER: Final = (0.5, 1.5)

#: Pages of a large table, and of how many such pages an expired row is a rare one.
_LARGE: Final = 4096
_RARE: Final = 8

#: How much longer the pauses become at most while expired rows are rare.
_LONGEST: Final = 8


class Sweeper:
    """Calls `sweep` now and then, in a task of its own, from `start` to `stop`.

    What goes wrong is logged once, until it goes well again, and tried again
    after the next pause.
    """

    def __init__(self, sweep: Callable[[], Awaitable[Swept]], *, every: timedelta) -> None:
        self._sweep = sweep
        self._every = every.total_seconds()
        self._task: asyncio.Task[None] | None = None
        self._said = ""

    def start(self) -> None:
        """Begin in this event loop; one that had begun in another is gone with that."""
        if self._task is None or self._task.done() or self._task.get_loop() is not _loop():
            # Without the context: it is that of whichever request came first.
            self._task = _loop().create_task(
                self._go_on(), name="pgsession sweep", context=Context()
            )

    async def stop(self) -> None:
        """End it, in the middle of a batch if need be. Twice is fine."""
        task, self._task = self._task, None
        if task is not None and task.get_loop() is _loop():
            task.cancel()
            await asyncio.wait({task})

    async def _go_on(self) -> None:
        stretch = 1
        while True:
            await asyncio.sleep(jittered(self._every * stretch))
            try:
                swept = await self._sweep()
            except StoreClosedError:
                return
            except SessionError as error:
                self._complain(str(error))
            except Exception:  # the outermost edge: the sweeper goes on, whatever it was
                _LOGGER.exception("Expired sessions could not be swept")
            else:
                self._tell(swept)
                stretch = stretched(stretch, swept)

    def _complain(self, reason: str) -> None:
        if reason != self._said:
            _LOGGER.warning("Expired sessions could not be swept, which is tried again: %s", reason)
        self._said = reason

    def _tell(self, swept: Swept) -> None:
        self._said = ""
        if swept.rows:
            _LOGGER.info(
                "Removed %d expired sessions in %.1f s (%d pages looked at)",
                swept.rows,
                swept.seconds,
                swept.pages,
            )


def jittered(seconds: float) -> float:
    """Return a pause near `seconds`, another one each time."""
    return seconds * random.uniform(*_JITTER)  # noqa: S311 - to part the processes


def stretched(stretch: int, swept: Swept) -> int:
    """Return how many times longer the next pause is, given the last and what was found after it.

    To look at all of a large table for a few rows is not worth it, the less the
    more processes there are: each of them then waits longer.
    """
    if not swept.is_whole:
        return stretch
    if swept.pages < _LARGE or swept.rows * _RARE >= swept.pages:
        return 1
    return min(2 * stretch, _LONGEST)


def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()
