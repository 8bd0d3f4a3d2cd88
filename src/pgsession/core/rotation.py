"""Rotation: the number that a cookie carries behind its key, and what an older number means.

Now and then a response raises the number, so a copy of a cookie grows old:
it is found as soon as the browser and the copy are both used. The rules allow
for networks that lose, delay and reorder responses. A number is judged only
when a cookie arrives, so no request in flight is cut off.

This module knows neither the cookie nor the store: see `RotatingRow`.
"""

from __future__ import annotations

from datetime import timedelta
from enum import Enum, auto
from typing import Final

from msgspec import Struct

#: How long the number before stays good once the browser has shown the new one.
DEFAULT_GRACE: Final = timedelta(seconds=60)


class Verdict(Enum):
    """What the number of a cookie says about it, compared with the number of the row."""

    #: It is the row's number.
    CURRENT = auto()
    #: It is the row's number, and the first cookie with it: the browser has got it.
    FIRST = auto()
    #: It is the number before, and still good. The response carries the row's number again.
    PREVIOUS = auto()
    #: It is the number after: the database has lost a commit, as in a failover. It is good.
    NEXT = auto()
    #: It is too old: a copy of a cookie that was replaced long ago.
    REUSED = auto()
    #: It is further ahead than one lost commit explains, as after a restored backup.
    UNKNOWN = auto()

    @property
    def is_good(self) -> bool:
        """Whether the cookie opens the session."""
        return self not in {Verdict.REUSED, Verdict.UNKNOWN}


class Rotation(Struct, frozen=True, kw_only=True):
    """The settings of rotation, and its rules. All times are those of the database's clock."""

    #: How long a number is in use before the next one is given out; None: no rotation.
    every: timedelta | None = None
    #: How long the number before stays good once the browser has shown the new one.
    grace: timedelta = DEFAULT_GRACE
    #: True if a cookie with a number that is too old ends its session.
    ends_on_reuse: bool = False

    def judge(self, presented: int, *, number: int, shown_for: timedelta | None) -> Verdict:
        """Return what the number `presented` by a cookie says, if the row's is `number`.

        `shown_for` is how long ago a cookie with the row's number first came;
        None: not yet. The rules do not depend on whether this process rotates:
        another one may.
        """
        match presented - number:
            case 0:
                return Verdict.CURRENT if shown_for is not None else Verdict.FIRST
            case 1:
                return Verdict.NEXT
            case -1 if shown_for is None or shown_for <= self.grace:
                return Verdict.PREVIOUS
            case ahead:
                return Verdict.REUSED if ahead < 0 else Verdict.UNKNOWN

    def must_record(self, verdict: Verdict, *, number: int) -> bool:
        """Return True if the store must record that the browser has shown its number.

        Without rotation nothing is recorded for the first number, 0.
        """
        if verdict is Verdict.FIRST:
            return number > 0 or self.every is not None
        return verdict is Verdict.NEXT

    def is_due(self, verdict: Verdict, *, shown_for: timedelta | None, idle: timedelta) -> bool:
        """Return True if this response is to carry the next number.

        `idle` is the time since the expiry was last extended. The response that
        extended it set a cookie, which may still be on its way: it must not
        arrive after the next number.
        """
        if self.every is None or verdict is not Verdict.CURRENT or shown_for is None:
            return False
        return shown_for > self.grace and shown_for >= self.every and idle > self.grace
