"""Periods: which values are valid, and how they are written as text."""

import math
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsession.core.period import DEFAULT_PERIOD, MAX_PERIOD, Period, as_period, parse_period
from pgsession.errors import InvalidPeriodError

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("period", "length"),
    [
        pytest.param(timedelta(days=1), timedelta(days=1), id="timedelta"),
        pytest.param(90, timedelta(seconds=90), id="whole seconds"),
        pytest.param(0.25, timedelta(milliseconds=250), id="parts of a second"),
        pytest.param(0, timedelta(0), id="zero"),
        pytest.param(-1, -SECOND, id="negative"),
        pytest.param(MAX_PERIOD, MAX_PERIOD, id="a hundred years"),
        pytest.param(-MAX_PERIOD, -MAX_PERIOD, id="a hundred years ago"),
        pytest.param(MAX_PERIOD.total_seconds(), MAX_PERIOD, id="a hundred years of seconds"),
    ],
)
def test_period(period: Period, length: timedelta) -> None:
    """A period is a timedelta or a number of seconds; it may be negative."""
    assert as_period(period) == length


@pytest.mark.parametrize(
    "period",
    [
        pytest.param(math.nan, id="NaN"),
        pytest.param(math.inf, id="inf"),
        pytest.param(-math.inf, id="-inf"),
        pytest.param(True, id="bool"),
        pytest.param(None, id="None"),
        pytest.param("60", id="text"),
        pytest.param(Decimal(60), id="Decimal"),
        pytest.param(MAX_PERIOD + SECOND, id="more than a hundred years"),
        pytest.param(-MAX_PERIOD - SECOND, id="more than a hundred years ago"),
        pytest.param(timedelta.max, id="longest timedelta"),
        pytest.param(timedelta.min, id="shortest timedelta"),
        pytest.param(1e300, id="huge float"),
        pytest.param(10**400, id="integer beyond a float"),
        pytest.param(-(10**400), id="negative integer beyond a float"),
    ],
)
def test_no_period(period: Any) -> None:
    """A value that is not a number, not finite or too long raises `InvalidPeriodError`."""
    with pytest.raises(InvalidPeriodError):
        as_period(period)


@given(st.integers() | st.floats() | st.timedeltas())
def test_total(period: Period) -> None:
    """Every number and timedelta gives a period within a hundred years or `InvalidPeriodError`."""
    try:
        length = as_period(period)
    except InvalidPeriodError:
        return
    assert abs(length) <= MAX_PERIOD


@pytest.mark.parametrize(
    ("text", "length"),
    [
        pytest.param("90", timedelta(seconds=90), id="plain seconds"),
        pytest.param("90s", timedelta(seconds=90), id="seconds"),
        pytest.param("15m", timedelta(minutes=15), id="minutes"),
        pytest.param("12h", timedelta(hours=12), id="hours"),
        pytest.param("7d", timedelta(days=7), id="days"),
        pytest.param("2w", timedelta(weeks=2), id="weeks"),
        pytest.param("1.5h", timedelta(minutes=90), id="fraction"),
        pytest.param("0", timedelta(0), id="zero"),
        pytest.param("-1s", -SECOND, id="negative"),
        pytest.param(" 7 d ", timedelta(days=7), id="blanks"),
    ],
)
def test_written(text: str, length: timedelta) -> None:
    """A period is written as a number and a unit, or as plain seconds."""
    assert parse_period(text) == length


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "d",
        "7 days",
        "1h30m",
        "7D",
        "1e3",
        "nan",
        "inf",
        ".5h",
        "1,5h",
        "+1",
        "٣d",
        "9" * 400,
        "36526d",
        "7d\0",
    ],
    ids=ascii,
)
def test_not_written(text: str) -> None:
    """Any other text is rejected, and the error does not repeat it."""
    with pytest.raises(InvalidPeriodError) as caught:
        parse_period(text)

    assert str(caught.value) in {
        "A period is written as 90, 90s, 15m, 12h, 7d or 2w.",
        "A period must be a finite number of seconds, at most 100 years.",
    }
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_default() -> None:
    """The default period is one week, as in the seed."""
    assert timedelta(weeks=1) == DEFAULT_PERIOD
