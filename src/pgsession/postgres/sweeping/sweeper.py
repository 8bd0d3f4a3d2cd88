"""Sweeping at intervals, for as long as a store is open."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextvars import Context
from datetime import timedelta
from typing import Final

from pgsession import rare
from pgsession.core.logs import event, own_logger
from pgsession.errors import SessionError, StoreClosedError

_LOGGER = own_logger()

#: How often a store sweeps by default.
DEFAULT_SWEEP_EVERY: Final = timedelta(minutes=10)

#: The shortest pause and the longest, as parts of the one that is set. Processes that start
#: together do not sweep together, and none sweeps right at its start.
_JITTER: Final = (0.5, 1.5)

#: A table of so many pages is large.
_LARGE: Final = 4096

#: Expired rows are rare if there is less than one for each so many pages.
_RARE: Final = 8

#: How many times longer the pauses become at most while expired rows are rare.
_LONGEST: Final = 8


class Sweeper:
    """Calls `sweep` at intervals, in a task of its own, from `start` to `stop`.

    A failure is logged once, until a sweep succeeds again. The next attempt
    follows after the next pause.
    """

    def __init__(self, sweep: Callable[[], Awaitable[rare.Swept]], *, every: timedelta) -> None:
        self._sweep = sweep
        self._every = every.total_seconds()
        self._task: asyncio.Task[None] | None = None
        self._said = ""

    def start(self) -> None:
        """Start in this event loop, unless it runs here already."""
        if self._task is None or self._task.done() or self._task.get_loop() is not _loop():
            # In an empty context, not in that of the request that came first.
            self._task = _loop().create_task(
                self._go_on(), name="pgsession sweep", context=Context()
            )

    async def stop(self) -> None:
        """Stop, if need be in the middle of a batch. Stopping twice is fine."""
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
                self._complain(error)
            except Exception:  # the outermost edge: an unexpected error must not end the sweeper
                _LOGGER.exception(
                    "Expired sessions could not be removed.", extra=event("sweep_failed")
                )
            else:
                self._tell(swept)
                stretch = stretched(stretch, swept)

    def _complain(self, error: SessionError) -> None:
        reason = str(error)
        if reason != self._said:
            _LOGGER.warning(
                "Expired sessions could not be removed; the next sweep tries again: %s",
                reason,
                extra=event("sweep_failed", error=error),
            )
        self._said = reason

    def _tell(self, swept: rare.Swept) -> None:
        self._said = ""
        if swept.rows:
            _LOGGER.info(
                "Removed %d expired sessions in %.1f s (%d pages looked at)",
                swept.rows,
                swept.seconds,
                swept.pages,
                extra=event("sweep_done", rows=swept.rows, seconds=swept.seconds),
            )


def jittered(seconds: float) -> float:
    """Return a random pause near `seconds`."""
    return seconds * random.uniform(*_JITTER)  # noqa: S311 - to spread the processes


def stretched(stretch: int, swept: rare.Swept) -> int:
    """Return how many times longer the next pause is, given the last and what was swept after it.

    Reading all of a large table for a few rows is not worth it. Several
    processes make it worth even less, and each of them waits longer.
    """
    if not swept.is_whole:
        return stretch
    if swept.pages < _LARGE or swept.rows * _RARE >= swept.pages:
        return 1
    return min(2 * stretch, _LONGEST)


def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()
