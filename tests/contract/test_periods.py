"""Periods: which ones are accepted, and what they change."""

import math
from collections.abc import Awaitable, Callable
from datetime import timedelta
from fractions import Fraction
from typing import Any, TypeAlias

import pytest

from pgsession import Changes, Entry, InvalidPeriodError, Store

Writer: TypeAlias = Callable[..., Awaitable[str | None]]

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WEEK = timedelta(days=7)
SLACK = timedelta(seconds=20)


async def read(store: Store, key: str) -> Entry:
    entry = await store.get(key)
    assert entry is not None
    return entry


async def generate(store: Store, _key: str, **how: Any) -> str:
    return await store.generate({"a": 2}, **how)


async def set_value(store: Store, key: str, **how: Any) -> str:
    await store.set(key, {"a": 2}, **how)
    return key


async def merge(store: Store, key: str, **how: Any) -> str:
    await store.merge(key, Changes(set={"a": 2}), **how)
    return key


async def touch(store: Store, key: str, **how: Any) -> str:
    await store.touch(key, **how)
    return key


async def renew(store: Store, key: str, **how: Any) -> str:
    return await store.renew(key, Changes(set={"a": 2}), **how)


every_writer = pytest.mark.parametrize(
    "write", [generate, set_value, merge, touch, renew], ids=lambda write: write.__name__
)
#: The methods that use the default period if none is given.
every_default_writer = pytest.mark.parametrize(
    "write", [generate, set_value, touch], ids=lambda write: write.__name__
)


@every_writer
@pytest.mark.parametrize("period", [HOUR, 3600, 3600.0], ids=["timedelta", "int", "float"])
async def test_given(store: Store, write: Writer, period: float | timedelta) -> None:
    """A period is a `timedelta` or a number of seconds, and sets the remaining time."""
    key = await write(store, await store.generate({"a": 1}), period=period)

    assert (await read(store, key or "")).period == pytest.approx(HOUR, abs=SLACK)


@every_writer
@pytest.mark.parametrize(
    "period",
    [
        pytest.param(math.nan, id="NaN"),
        pytest.param(math.inf, id="inf"),
        pytest.param(-math.inf, id="-inf"),
        pytest.param(True, id="bool"),
        pytest.param("60", id="str"),
        pytest.param(Fraction(60), id="Fraction"),
        pytest.param(10**400, id="huge int"),
        pytest.param(1e300, id="huge float"),
        pytest.param(-(10**11), id="huge negative"),
        pytest.param(timedelta.max, id="longest timedelta"),
        pytest.param(timedelta.min, id="shortest timedelta"),
    ],
)
async def test_refused(store: Store, write: Writer, period: Any) -> None:
    """A period that is not finite or too long is rejected, and the session is unchanged."""
    key = await store.generate({"a": 1}, period=HOUR)

    with pytest.raises(InvalidPeriodError):
        await write(store, key, period=period)

    entry = await read(store, key)
    assert entry.value == {"a": 1}
    assert entry.period == pytest.approx(HOUR, abs=SLACK)


@pytest.mark.parametrize("period", [math.nan, True, "60", 1e300], ids=repr)
async def test_refused_default(store: Store, period: Any) -> None:
    """An invalid default period is rejected, and the old one is kept."""
    with pytest.raises(InvalidPeriodError):
        store.default_period = period

    assert store.default_period == WEEK


@pytest.mark.parametrize("period", [timedelta(days=36_525), timedelta(days=-36_525)], ids=repr)
async def test_hundred_years(store: Store, period: timedelta) -> None:
    """A period of a hundred years is accepted, positive or negative."""
    key = await store.generate(period=period)

    assert (await store.get(key) is not None) == (period > timedelta(0))


async def test_week(store: Store) -> None:
    """The default period is one week."""
    key = await store.generate()

    assert store.default_period == WEEK
    assert (await read(store, key)).period == pytest.approx(WEEK, abs=SLACK)


@pytest.mark.parametrize("period", [HOUR, 3600, 3600.0], ids=["timedelta", "int", "float"])
async def test_constructed_default(
    make_store: Callable[..., Store], period: float | timedelta
) -> None:
    """A store accepts a default period of any period type, and returns it as a `timedelta`."""
    store = make_store(default_period=period)

    assert store.default_period == HOUR
    assert (await read(store, await store.generate())).period == pytest.approx(HOUR, abs=SLACK)


@every_default_writer
async def test_default_later(store: Store, write: Writer) -> None:
    """A new default period applies to later operations."""
    key = await store.generate()

    store.default_period = HOUR
    key = await write(store, key) or ""

    assert (await read(store, key)).period == pytest.approx(HOUR, abs=SLACK)


async def test_default_earlier(store: Store) -> None:
    """A new default period does not change existing sessions."""
    key = await store.generate()

    store.default_period = HOUR

    assert (await read(store, key)).period == pytest.approx(WEEK, abs=SLACK)


async def test_negative_default(store: Store) -> None:
    """With a default period that is not positive, new sessions are expired at once."""
    store.default_period = timedelta(seconds=-1)

    assert await store.get(await store.generate({"a": 1})) is None


@pytest.mark.parametrize("write", [merge, renew], ids=lambda write: write.__name__)
async def test_left_alone(store: Store, write: Writer) -> None:
    """`merge` and `renew` without a period keep the expiry and the granted period."""
    key = await store.generate({"a": 1}, period=HOUR, granted=True)

    key = await write(store, key) or ""

    entry = await read(store, key)
    assert entry.period == pytest.approx(HOUR, abs=SLACK)
    assert entry.granted == HOUR


@every_writer
async def test_granted(store: Store, write: Writer) -> None:
    """A granted period becomes the session's own and can be read back."""
    key = await write(store, await store.generate(), period=DAY, granted=True)

    assert (await read(store, key or "")).granted == DAY


async def test_granted_default(store: Store) -> None:
    """The default period can be granted too, and stays when the default changes."""
    key = await store.generate(granted=True)

    store.default_period = HOUR

    assert (await read(store, key)).granted == WEEK


@pytest.mark.parametrize("period", [0.5, 86_400.25, 3_155_760_000.0], ids=repr)
async def test_granted_exactly(store: Store, period: float) -> None:
    """A granted period is stored exactly, whatever its length."""
    key = await store.generate({"a": 1}, period=DAY)

    await store.merge(key, Changes(), period=period, granted=True)

    assert (await read(store, key)).granted == timedelta(seconds=period)


async def test_never_granted(store: Store) -> None:
    """A session without a granted period follows the default."""
    key = await store.generate(period=HOUR)

    assert (await read(store, key)).granted is None


@pytest.mark.parametrize(
    "write", [set_value, merge, touch, renew], ids=lambda write: write.__name__
)
async def test_taken_back(store: Store, write: Writer) -> None:
    """`granted=False` removes the granted period."""
    key = await store.generate({"a": 1}, period=DAY, granted=True)

    key = await write(store, key, period=HOUR, granted=False) or ""

    entry = await read(store, key)
    assert entry.granted is None
    assert entry.period == pytest.approx(HOUR, abs=SLACK)


@pytest.mark.parametrize(
    "write", [set_value, merge, touch, renew], ids=lambda write: write.__name__
)
async def test_grant_stays(store: Store, write: Writer) -> None:
    """A period without `granted` keeps the granted period, by which the session is extended."""
    key = await store.generate({"a": 1}, period=DAY, granted=True)

    key = await write(store, key, period=HOUR) or ""

    entry = await read(store, key)
    assert entry.granted == DAY
    assert entry.period == pytest.approx(DAY, abs=SLACK)


async def test_touch_keeps_value(store: Store) -> None:
    """A touch changes only the expiry."""
    key = await store.generate({"a": [1, {"b": None}]})

    await store.touch(key, period=HOUR)

    entry = await read(store, key)
    assert entry.value == {"a": [1, {"b": None}]}
    assert entry.period == pytest.approx(HOUR, abs=SLACK)


async def test_touch_never_set(store: Store) -> None:
    """A touch of a session without a value leaves it without one."""
    key = await store.generate()

    await store.touch(key)

    assert (await read(store, key)).value is None
