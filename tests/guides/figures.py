"""How pages write the figures of the code: small numbers and periods in words."""

import math
import re
from datetime import timedelta
from functools import cache

from pgsession.settings import DEFAULT_WATCH_EVERY
from tests.project.documents import ROOT, Document

_SMALL = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

_NUMBERS = {
    **dict(enumerate(_SMALL)),
    50: "fifty",
    100: "hundred",
    1_000: "thousand",
    1_000_000: "million",
}

_PERIODS = {
    0.1: "a tenth of a second",
    0.5: "half a second",
    1.0: "a second",
    30.0: "half a minute",
    60.0: "a minute",
    86_400.0: "a day",
    604_800.0: "a week",
    1_209_600.0: "two weeks",
}

#: The versions of the packages that the tests run with, without their last number; of several for
#: one package, the first, which is that of Python 3.11.
PINS = dict(
    reversed(
        re.findall(
            r"^([\w-]+)==(\d+\.\d+)",
            (ROOT / "requirements/dev.txt").read_text(encoding="utf-8"),
            re.MULTILINE,
        )
    )
)


def word(number: float) -> str:
    """Return a number as pages write it, or in digits."""
    return _NUMBERS[int(number)] if number in _NUMBERS else f"{number:g}"


def words(period: timedelta | float) -> str:
    """Return a period, or a number of seconds, as pages write it."""
    seconds = period.total_seconds() if isinstance(period, timedelta) else period
    return _PERIODS.get(seconds, f"{seconds:g} seconds")


def minutes(period: timedelta) -> str:
    """Return the number of the minutes of a period in words."""
    return word(period / timedelta(minutes=1))


#: How soon an open stream learns that its session has ended: at the next look, and a statement.
SOON = f"within {word(math.ceil(DEFAULT_WATCH_EVERY.total_seconds()))} seconds"


@cache
def said(page: str) -> str:
    """Return the text of a page in one line, without the marks of quotations."""
    return " ".join(re.sub(r"^> ", "", Document(page).text, flags=re.MULTILINE).split())


def missing(page: str, phrases: list[str]) -> list[str]:
    """Return those of some phrases that a page does not have."""
    return [phrase for phrase in phrases if phrase not in said(page)]
