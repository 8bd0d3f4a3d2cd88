"""Periods: how they are checked, and read from text.

A period is a `timedelta` or a number of seconds. A session with a zero or
negative period has expired at once.
"""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Final, TypeAlias

from pgsession.errors import InvalidPeriodError

#: What every public function takes as a period: a `timedelta` or seconds.
Period: TypeAlias = timedelta | float

#: The default period of a session: one week.
DEFAULT_PERIOD: Final = timedelta(days=7)

#: The longest period, positive or negative. Both PostgreSQL and Python can hold its expiry.
MAX_PERIOD: Final = timedelta(days=36_525)

_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_PATTERN: Final = r"\s*(-?\d+(?:\.\d+)?)\s*([smhdw]?)\s*"


def as_positive(period: Period) -> timedelta:
    """Return a session's own period. Raises `InvalidPeriodError` unless it is positive."""
    length = as_period(period)
    if length <= timedelta(0):
        raise InvalidPeriodError("A session's period must be positive. To end it, clear() it.")
    return length


def as_period(period: Period) -> timedelta:
    """Return `period` as a `timedelta`.

    Raises `InvalidPeriodError` for NaN, infinity, a bool, another type, or
    more than 100 years, positive or negative.
    """
    if isinstance(period, timedelta):
        length = period
    elif isinstance(period, bool) or not isinstance(period, int | float):
        raise InvalidPeriodError(
            f"A period must be a timedelta or a number of seconds, not {type(period).__name__}."
        )
    elif abs(period) > MAX_PERIOD.total_seconds() or math.isnan(period):
        raise InvalidPeriodError("A period must be a finite number of seconds, at most 100 years.")
    else:
        length = timedelta(seconds=period)
    if abs(length) > MAX_PERIOD:
        raise InvalidPeriodError("A period must be at most 100 years.")
    return length


def parse_period(text: str) -> timedelta:
    """Read a period from text: ``90``, ``90s``, ``15m``, ``12h``, ``7d`` or ``2w``.

    A number without a unit is seconds. Raises `InvalidPeriodError` for anything else.
    """
    match = re.fullmatch(_PATTERN, text, re.ASCII)
    if match is None:
        raise InvalidPeriodError("A period is written as 90, 90s, 15m, 12h, 7d or 2w.")
    number, unit = match.groups()
    return as_period(float(number) * _UNITS[unit or "s"])
