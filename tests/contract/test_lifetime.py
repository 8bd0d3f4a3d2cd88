"""A maximum lifetime ends a session, however often it is renewed."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from pgsession import Changes, Entry, Store

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SLACK = timedelta(seconds=20)


@pytest.fixture
def mortal(make_store: Callable[..., Store]) -> Store:
    """A store with a maximum lifetime of one hour and the default period of a week."""
    return make_store(max_lifetime=HOUR)


async def read(store: Store, key: str) -> Entry:
    entry = await store.get(key)
    assert entry is not None
    return entry


async def test_none(store: Store) -> None:
    """Without a limit, an entry has no lifetime."""
    key = await store.generate()

    assert store.max_lifetime is None
    assert (await read(store, key)).lifetime is None


@pytest.mark.parametrize("limit", [HOUR, 3600, 3600.0], ids=["timedelta", "int", "float"])
async def test_told(make_store: Callable[..., Store], limit: float | timedelta) -> None:
    """A store shows its limit, and an entry shows how much of it is left."""
    store = make_store(max_lifetime=limit)
    key = await store.generate(period=60)

    assert store.max_lifetime == HOUR
    assert (await read(store, key)).lifetime == pytest.approx(HOUR, abs=SLACK)


async def test_generate(mortal: Store) -> None:
    """A generated session expires no later than at the end of its lifetime."""
    key = await mortal.generate()

    assert (await read(mortal, key)).period == pytest.approx(HOUR, abs=SLACK)


async def test_shorter_period(mortal: Store) -> None:
    """A period shorter than the lifetime is used as given."""
    key = await mortal.generate(period=60)

    assert (await read(mortal, key)).period <= timedelta(seconds=60)


async def test_set(mortal: Store) -> None:
    """`set` does not extend the expiry beyond the lifetime."""
    key = await mortal.generate()

    await mortal.set(key, {"a": 1}, period=DAY)

    assert (await read(mortal, key)).period == pytest.approx(HOUR, abs=SLACK)


async def test_merge(mortal: Store) -> None:
    """`merge` does not extend the expiry beyond the lifetime."""
    key = await mortal.generate()

    await mortal.merge(key, Changes(set={"a": 1}), period=DAY)

    assert (await read(mortal, key)).period == pytest.approx(HOUR, abs=SLACK)


async def test_touch(mortal: Store) -> None:
    """`touch` does not extend the expiry beyond the lifetime."""
    key = await mortal.generate()

    await mortal.touch(key, period=DAY)

    assert (await read(mortal, key)).period == pytest.approx(HOUR, abs=SLACK)


async def test_renew(mortal: Store) -> None:
    """A renewal does not start a new lifetime."""
    key = await mortal.generate()

    renewed = await mortal.renew(key, period=DAY)

    entry = await read(mortal, renewed)
    assert entry.period == pytest.approx(HOUR, abs=SLACK)
    assert entry.lifetime == pytest.approx(HOUR, abs=SLACK)


async def test_granted(mortal: Store) -> None:
    """A longer period can be granted, but the session still ends with its lifetime."""
    key = await mortal.generate(period=DAY, granted=True)

    entry = await read(mortal, key)
    assert entry.granted == DAY
    assert entry.period == pytest.approx(HOUR, abs=SLACK)


async def test_shortened(mortal: Store) -> None:
    """A shorter period does not shorten the lifetime, so a later touch can use all of it."""
    key = await mortal.generate()

    await mortal.touch(key, period=60)
    await mortal.touch(key)

    assert (await read(mortal, key)).period == pytest.approx(HOUR, abs=SLACK)


@pytest.mark.parametrize("limit", [0, -1])
async def test_no_lifetime(make_store: Callable[..., Store], limit: float) -> None:
    """With a limit that is not positive, every session is expired at once."""
    store = make_store(max_lifetime=limit)

    assert await store.get(await store.generate({"a": 1})) is None
