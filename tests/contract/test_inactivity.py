"""A maximum inactivity ends a session that was not extended, whatever period it was granted."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from pgsession import Changes, Entry, Store

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SLACK = timedelta(seconds=20)


@pytest.fixture
def idle(make_store: Callable[..., Store]) -> Store:
    """A store with a maximum inactivity of one hour and the default period of a week."""
    return make_store(max_inactivity=HOUR)


async def read(store: Store, key: str) -> Entry:
    entry = await store.get(key)
    assert entry is not None
    return entry


async def test_none(store: Store) -> None:
    """Without a limit, a session can live as long as its period says."""
    assert store.max_inactivity is None
    assert (await read(store, await store.generate(period=30 * DAY))).period > 29 * DAY


@pytest.mark.parametrize("limit", [HOUR, 3600, 3600.0], ids=["timedelta", "int", "float"])
async def test_told(make_store: Callable[..., Store], limit: float | timedelta) -> None:
    """A store shows its limit, and has no longer default period."""
    store = make_store(max_inactivity=limit)

    assert store.max_inactivity == HOUR
    assert store.default_period == HOUR


@pytest.mark.parametrize("granted", [True, False])
async def test_generate(idle: Store, granted: bool) -> None:
    """A generated session expires no later than after the limit."""
    entry = await read(idle, await idle.generate(period=DAY, granted=granted))

    assert entry.period == pytest.approx(HOUR, abs=SLACK)
    assert entry.granted == (HOUR if granted else None)


@pytest.mark.parametrize("granted", [True, False, None])
async def test_extended(idle: Store, granted: bool | None) -> None:
    """Whatever extends the expiry, and by whatever period, extends it by the limit at most."""
    key = await idle.generate(period=60)

    written = [
        await idle.touch(key, period=DAY, granted=granted),
        await idle.set(key, {"a": 1}, period=DAY, granted=granted),
        await idle.merge(key, Changes(set={"a": 1}), period=DAY, granted=granted),
    ]
    key = await idle.renew(key, period=DAY, granted=granted)

    entry = await read(idle, key)
    assert entry.period == pytest.approx(HOUR, abs=SLACK)
    own = {entry.granted, *(each.granted for each in written)}
    assert own == {HOUR if granted else None}


async def test_shorter_period(idle: Store) -> None:
    """A period shorter than the limit is used as given."""
    key = await idle.generate(period=60)

    assert (await read(idle, key)).period <= timedelta(seconds=60)


async def test_both(make_store: Callable[..., Store]) -> None:
    """With a maximum lifetime too, the shorter of the two counts."""
    store = make_store(max_inactivity=HOUR, max_lifetime=timedelta(minutes=5))
    key = await store.generate()

    entry = await read(store, key)

    assert entry.period == pytest.approx(timedelta(minutes=5), abs=SLACK)
    assert entry.period <= timedelta(minutes=5)


@pytest.mark.parametrize("limit", [0, -1])
async def test_no_inactivity(make_store: Callable[..., Store], limit: float) -> None:
    """With a limit that is not positive, every session is expired at once."""
    store = make_store(max_inactivity=limit)

    assert await store.get(await store.generate({"a": 1}, period=60)) is None


async def test_shortened_stays(store: Store) -> None:
    """A period that one request shortened is not undone by one that never set it."""
    key = await store.generate({}, period=30 * DAY, granted=True)

    shortened = await store.touch(key, period=HOUR, granted=True)
    written = [
        await store.touch(key, period=30 * DAY),
        await store.set(key, {"a": 1}, period=30 * DAY),
        await store.merge(key, Changes(set={"b": 1}), period=30 * DAY),
    ]
    key = await store.renew(key, period=30 * DAY)

    entry = await read(store, key)
    assert entry.period == pytest.approx(HOUR, abs=SLACK)
    assert {entry.granted, *(each.granted for each in [shortened, *written])} == {HOUR}
