"""The assertions of the seed's own tests, for every store."""

import re
from datetime import timedelta

import pytest

from pgsession import Store
from pgsession.core.keys import new_key


async def test_no_duplicate_keys(store: Store) -> None:
    """`generate` never returns the same key twice."""
    keys = [await store.generate() for _ in range(50)]

    assert len(set(keys)) == 50


async def test_key_shape(store: Store) -> None:
    """A key has 40 characters that need no escaping in URLs and cookies."""
    assert re.fullmatch(r"[A-Za-z0-9_-]{40}", await store.generate())


@pytest.mark.parametrize("period", [0, -1, timedelta(0), timedelta(seconds=-1)], ids=repr)
@pytest.mark.parametrize("value", [None, {"user": "ann"}], ids=["without value", "with value"])
async def test_generated_gone(
    store: Store, value: dict[str, str] | None, period: float | timedelta
) -> None:
    """A session generated with period 0 or -1 is expired at once, with or without a value."""
    key = await store.generate(value, period=period)

    assert await store.get(key) is None


@pytest.mark.parametrize("period", [0, -1])
async def test_set_gone(store: Store, period: float) -> None:
    """`set` with period 0 or -1 ends the session."""
    key = await store.generate({"user": "ann"})

    await store.set(key, {"user": "bob"}, period=period)

    assert await store.get(key) is None


async def test_clear_new(store: Store) -> None:
    """Clearing a session that never had a value succeeds."""
    key = await store.generate()

    await store.clear(key)

    assert await store.get(key) is None


async def test_clear_cleared(store: Store) -> None:
    """Clearing a session twice succeeds."""
    key = await store.generate({"user": "ann"})

    await store.clear(key)
    await store.clear(key)

    assert await store.get(key) is None


async def test_clear_unknown(store: Store) -> None:
    """Clearing a key that was never generated succeeds."""
    key = new_key()

    await store.clear(key)

    assert await store.get(key) is None


async def test_set_twice(store: Store) -> None:
    """If two values are set, the last one replaces the first completely."""
    key = await store.generate()

    await store.set(key, {"user": "ann", "cart": [1]})
    await store.set(key, {"user": "bob"})

    entry = await store.get(key)
    assert entry is not None
    assert entry.value == {"user": "bob"}


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("", id="empty"),
        pytest.param("garbage", id="short"),
        pytest.param("k" * 100_000, id="long"),
        pytest.param("' OR true --", id="SQL"),
        pytest.param("%", id="percent"),
        pytest.param("a\0b", id="NUL"),
        pytest.param("\ud800", id="lone surrogate"),
        pytest.param("clé 🗝", id="Unicode"),
    ],
)
async def test_garbage_key(store: Store, key: str) -> None:
    """`get` accepts any string; a string that is not a key is not found."""
    assert await store.get(key) is None


@pytest.mark.parametrize("value", [None, {"user": "ann"}], ids=["without value", "with value"])
async def test_expired(store: Store, value: dict[str, str] | None) -> None:
    """An expired session is not found, with or without a value."""
    key = await store.generate(value)

    await store.touch(key, period=-1)

    assert await store.get(key) is None


async def test_never_set(store: Store) -> None:
    """A live session without a value has an entry whose value is None."""
    key = await store.generate()

    entry = await store.get(key)

    assert entry is not None
    assert entry.value is None


async def test_generated_value(store: Store) -> None:
    """The value given to `generate` is read back."""
    key = await store.generate({"user": "ann"})

    entry = await store.get(key)

    assert entry is not None
    assert entry.value == {"user": "ann"}


async def test_set_value(store: Store) -> None:
    """The value given to `set` is read back."""
    key = await store.generate()

    await store.set(key, {"user": "ann"})

    entry = await store.get(key)
    assert entry is not None
    assert entry.value == {"user": "ann"}


async def test_cleared(store: Store) -> None:
    """After clearing, a session with a value is not found."""
    key = await store.generate({"user": "ann"})

    await store.clear(key)

    assert await store.get(key) is None


async def test_keys_apart(store: Store) -> None:
    """Operations on one key do not affect another key."""
    one, other = await store.generate({"n": 1}), await store.generate({"n": 2})

    await store.set(one, {"n": 3})
    await store.clear(one)

    entry = await store.get(other)
    assert entry is not None
    assert entry.value == {"n": 2}
