"""Keys known to be dead, so that a replayed cookie does not cost a statement each time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from pgsession.core.keys import KeyDigest

#: Seconds for which a key is known to be dead. A dead key never lives again, but a key may look
#: dead while another process makes or extends its session in a transaction not yet committed.
REMEMBERED: Final = 2.0

#: How many are remembered at most, 2 to 3 MB. Then the oldest are forgotten.
MOST_REMEMBERED: Final = 10_000


class DeadKeys:
    """Remembers keys, by their digests, for `REMEMBERED` seconds, `MOST_REMEMBERED` at most.

    `changes` counts the moments at which a key that looked dead may have come
    to life. If it has grown since a SELECT was sent, do not add the keys that
    the SELECT did not find.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._forgotten_at: dict[KeyDigest, float] = {}  # in the order of these times
        self.changes: int = 0

    def __len__(self) -> int:
        return len(self._forgotten_at)

    def __contains__(self, key: object) -> bool:
        if key not in self._forgotten_at:  # nearly always
            return False
        self._forget()
        return key in self._forgotten_at

    def add(self, key: KeyDigest) -> None:
        """Remember that `key` was found dead just now."""
        self._forgotten_at.pop(key, None)
        self._forgotten_at[key] = self._clock() + REMEMBERED
        if len(self._forgotten_at) > MOST_REMEMBERED:
            del self._forgotten_at[next(iter(self._forgotten_at))]

    def forget(self, key: KeyDigest | None = None) -> None:
        """Forget a key that is known to live, or all, as some may live now."""
        if key is None:
            self.changes += 1
            self._forgotten_at.clear()
        else:
            self._forgotten_at.pop(key, None)

    def _forget(self) -> None:
        now = self._clock()
        while self._forgotten_at:
            oldest = next(iter(self._forgotten_at))
            if self._forgotten_at[oldest] > now:
                break
            del self._forgotten_at[oldest]
