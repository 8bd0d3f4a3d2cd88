"""An absolute lifetime ends a session, however often it is renewed."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from pgsession import Changes, Entry, Store

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SLACK = timedelta(seconds=20)


@pytest.fixture
def mortal(make_store: Callable[..., Store]) -> Store:
    """A store whose sessions live an hour at most, with a default period of a week."""
    return make_store(max_lifetime=HOUR)


async def read(store: Store, key: str) -> Entry:
    entry = await store.get(key)
    assert entry is not None
    return entry


async def test_none(store: Store) -> None:
    """Without a limit an entry has no lifetime."""
    key = await store.generate()

    assert store.max_lifetime is None
    assert (await read(store, key)).lifetime is None


@pytest.mark.parametrize("limit", [HOUR, 3600, 3600.0], ids=["timedelta", "int", "float"])
async def test_told(make_store: Callable[..., Store], limit: float | timedelta) -> None:
    """A store tells its limit, and an entry how much of it is left."""
    store = make_store(max_lifetime=limit)
    key = await store.generate(period=60)

    assert store.max_lifetime == HOUR
    assert (await read(store, key)).lifetime == pytest.approx(HOUR, abs=SLACK)


async def test_generate(mortal: Store) -> None:
    """A session is generated to expire no later than its lifetime ends."""
    key = await mortal.generate()

    assert (await read(mortal, key)).period == pytest.approx(HOUR, abs=SLACK)


async def test_shorter_period(mortal: Store) -> None:
    """A period within the lifetime is what counts."""
    key = await mortal.generate(period=60)

    assert (await read(mortal, key)).period <= timedelta(seconds=60)


async def test_set(mortal: Store) -> None:
    """Setting a value does not outlast the lifetime."""
    key = await mortal.generate()

    await mortal.set(key, {"a": 1}, period=DAY)

    assert (await read(mortal, key)).period == pytest.approx(HOUR, abs=SLACK)


async def test_merge(mortal: Store) -> None:
    """Merging does not outlast the lifetime."""
    key = await mortal.generate()

    await mortal.merge(key, Changes(set={"a": 1}), period=DAY)

    assert (await read(mortal, key)).period == pytest.approx(HOUR, abs=SLACK)


async def test_touch(mortal: Store) -> None:
    """Touching does not outlast the lifetime."""
    key = await mortal.generate()

    await mortal.touch(key, period=DAY)

    assert (await read(mortal, key)).period == pytest.approx(HOUR, abs=SLACK)


async def test_renew(mortal: Store) -> None:
    """A new key does not begin a new lifetime."""
    key = await mortal.generate()

    heir = await mortal.renew(key, period=DAY)

    entry = await read(mortal, heir)
    assert entry.period == pytest.approx(HOUR, abs=SLACK)
    assert entry.lifetime == pytest.approx(HOUR, abs=SLACK)


async def test_granted(mortal: Store) -> None:
    """A longer period can be granted, yet the session ends with its lifetime."""
    key = await mortal.generate(period=DAY, granted=True)

    entry = await read(mortal, key)
    assert entry.granted == DAY
    assert entry.period == pytest.approx(HOUR, abs=SLACK)


async def test_shortened(mortal: Store) -> None:
    """A shorter period leaves the lifetime as it is, for later touches to use."""
    key = await mortal.generate()

    await mortal.touch(key, period=60)
    await mortal.touch(key)

    assert (await read(mortal, key)).period == pytest.approx(HOUR, abs=SLACK)


@pytest.mark.parametrize("limit", [0, -1])
async def test_no_lifetime(make_store: Callable[..., Store], limit: float) -> None:
    """A limit that is not positive leaves no session alive."""
    store = make_store(max_lifetime=limit)

    assert await store.get(await store.generate({"a": 1})) is None
