"""What the log says while the store cannot answer: a line now and then, not one a request."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from pgsession.errors import StoreUnavailableError

_LOGGER = logging.getLogger("pgsession")

#: Seconds at least between two lines, and without trouble until it is called over.
INTERVAL: Final = 10.0


class Trouble:
    """Logs that it has begun, at intervals that it goes on, and that it is over."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: It has begun and is not over.
        self.is_on: bool = False
        self._count = 0
        self._last = self._said = 0.0

    def note(self, error: StoreUnavailableError) -> None:
        """Take note of a request that did without its session, and why."""
        now = self._last = self._clock()
        self._count += 1
        if not self.is_on:
            self.is_on = True
            self._said = now
            _LOGGER.error(
                "The store cannot answer; requests are refused, or served without their "
                "session: %s",
                error,
            )
        elif now - self._said >= INTERVAL:
            self._said = now
            _LOGGER.error("The store still cannot answer (%d requests): %s", self._count, error)

    def note_answer(self) -> None:
        """Take note that the store has answered a request."""
        if self.is_on and self._clock() - self._last >= INTERVAL:
            _LOGGER.info("The store answers again; %d requests went without.", self._count)
            self.is_on = False
            self._count = 0
