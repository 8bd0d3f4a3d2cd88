"""Keys known to be dead, so that replaying one again and again costs no statement each time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

#: Seconds for which a key is known to be dead. A dead key never lives again, but one may look dead
#: to a reader while another process, whose transaction is not committed yet, makes or prolongs it.
REMEMBERED: Final = 2.0

#: So many are known at most, some 2 MB; past that the oldest are forgotten first.
MOST_REMEMBERED: Final = 10_000


class DeadKeys:
    """Remembers digests for `REMEMBERED` seconds, `MOST_REMEMBERED` at most.

    `changes` counts what may have made a key live that looked dead: who reads
    rows meanwhile has learnt nothing.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._forgotten_at: dict[str, float] = {}  # in the order of these times
        self.changes: int = 0

    def __len__(self) -> int:
        return len(self._forgotten_at)

    def __contains__(self, digest: object) -> bool:
        if digest not in self._forgotten_at:  # nearly always, and cheap
            return False
        self._forget()
        return digest in self._forgotten_at

    def add(self, digest: str) -> None:
        """Remember that the key of `digest` was found dead just now."""
        self._forgotten_at.pop(digest, None)
        self._forgotten_at[digest] = self._clock() + REMEMBERED
        if len(self._forgotten_at) > MOST_REMEMBERED:
            del self._forgotten_at[next(iter(self._forgotten_at))]

    def forget(self, digest: str | None = None) -> None:
        """Forget a digest, which lives for certain, or all: some may live now."""
        if digest is None:
            self.changes += 1
            self._forgotten_at.clear()
        else:
            self._forgotten_at.pop(digest, None)

    def _forget(self) -> None:
        now = self._clock()
        while self._forgotten_at:
            oldest = next(iter(self._forgotten_at))
            if self._forgotten_at[oldest] > now:
                break
            del self._forgotten_at[oldest]
