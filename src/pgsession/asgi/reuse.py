"""The log of cookies that are too old: copies of a cookie that was replaced long ago."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from pgsession.core.logs import event, own_logger

_LOGGER = own_logger()

#: The shortest time between two log lines, in seconds.
_INTERVAL: Final = 10.0


class ReuseLog:
    """Counts cookies whose number is too old, and logs them at most once in ten seconds.

    One copy may come again and again. No line contains a key.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: How many such cookies came to this process.
        self.count: int = 0
        self._logged = 0
        self._last_line = -math.inf

    def record(self, *, presented: int, number: int, is_ended: bool) -> None:
        """Count a cookie with the number `presented`, whose session has `number`."""
        self.count += 1
        now = self._clock()
        if now - self._last_line < _INTERVAL:
            return
        self._last_line = now
        _LOGGER.warning(
            "A cookie was used that has been replaced: its number is %d, and its session's is %d. "
            "Somebody may have a copy of it. %s (%d such cookies since the last line, %d in all.)",
            presented,
            number,
            "The session was ended." if is_ended else "The cookie opened no session.",
            self.count - self._logged,
            self.count,
            extra=event("replaced_cookie_used", count=self.count - self._logged),
        )
        self._logged = self.count
