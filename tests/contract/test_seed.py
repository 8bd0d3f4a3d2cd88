"""What the seed's own tests assert, over every store."""

import re
from datetime import timedelta

import pytest

from pgsession import Store
from pgsession.core.store import new_key


async def test_no_duplicate_keys(store: Store) -> None:
    """Generating never yields a key twice."""
    keys = [await store.generate() for _ in range(50)]

    assert len(set(keys)) == 50


async def test_key_shape(store: Store) -> None:
    """A key is 40 characters that a URL and a cookie carry as they are."""
    assert re.fullmatch(r"[A-Za-z0-9_-]{40}", await store.generate())


@pytest.mark.parametrize("period", [0, -1, timedelta(0), timedelta(seconds=-1)], ids=repr)
@pytest.mark.parametrize("value", [None, {"user": "ann"}], ids=["without value", "with value"])
async def test_generated_gone(
    store: Store, value: dict[str, str] | None, period: float | timedelta
) -> None:
    """A session generated with the period 0 or -1 is already gone, with a value or without."""
    key = await store.generate(value, period=period)

    assert await store.get(key) is None


@pytest.mark.parametrize("period", [0, -1])
async def test_set_gone(store: Store, period: float) -> None:
    """A value set with the period 0 or -1 ends the session."""
    key = await store.generate({"user": "ann"})

    await store.set(key, {"user": "bob"}, period=period)

    assert await store.get(key) is None


async def test_clear_new(store: Store) -> None:
    """Clearing a session that never had a value is fine."""
    key = await store.generate()

    await store.clear(key)

    assert await store.get(key) is None


async def test_clear_cleared(store: Store) -> None:
    """Clearing twice is fine."""
    key = await store.generate({"user": "ann"})

    await store.clear(key)
    await store.clear(key)

    assert await store.get(key) is None


async def test_clear_unknown(store: Store) -> None:
    """Clearing a key that was never generated is fine."""
    key = new_key()

    await store.clear(key)

    assert await store.get(key) is None


async def test_set_twice(store: Store) -> None:
    """Of two values set, the last is kept, whole."""
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
    """Any string may be asked for; one that is no key is not found."""
    assert await store.get(key) is None


@pytest.mark.parametrize("value", [None, {"user": "ann"}], ids=["without value", "with value"])
async def test_expired(store: Store, value: dict[str, str] | None) -> None:
    """An expired session is not found, whether it has a value or not."""
    key = await store.generate(value)

    await store.touch(key, period=-1)

    assert await store.get(key) is None


async def test_never_set(store: Store) -> None:
    """A living session without a value is an entry whose value is None."""
    key = await store.generate()

    entry = await store.get(key)

    assert entry is not None
    assert entry.value is None


async def test_generated_value(store: Store) -> None:
    """A value that a session is generated with reads back."""
    key = await store.generate({"user": "ann"})

    entry = await store.get(key)

    assert entry is not None
    assert entry.value == {"user": "ann"}


async def test_set_value(store: Store) -> None:
    """A value that is set reads back."""
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
    """What happens to one key leaves another alone."""
    one, other = await store.generate({"n": 1}), await store.generate({"n": 2})

    await store.set(one, {"n": 3})
    await store.clear(one)

    entry = await store.get(other)
    assert entry is not None
    assert entry.value == {"n": 2}
