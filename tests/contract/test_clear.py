"""Clearing sessions, and clearing them only if they are empty."""

from typing import Any

import pytest

from pgsession import Changes, Store


async def test_says_dead(store: Store) -> None:
    """Clearing a live session returns True: its key is dead."""
    key = await store.generate({"user": "ann"})

    assert await store.clear(key)


@pytest.mark.parametrize("value", [None, {}], ids=["never set", "empty"])
async def test_empty(store: Store, value: dict[str, Any] | None) -> None:
    """A session without members is cleared with `only_if_empty`."""
    key = await store.generate(value)

    assert await store.clear(key, only_if_empty=True)

    assert await store.get(key) is None


@pytest.mark.parametrize("value", [{"a": 1}, {"a": None}, {"": {}}], ids=repr)
async def test_not_empty(store: Store, value: dict[str, Any]) -> None:
    """A session with members is not cleared with `only_if_empty`."""
    key = await store.generate(value)

    assert not await store.clear(key, only_if_empty=True)

    entry = await store.get(key)
    assert entry is not None
    assert entry.value == value


async def test_drained(store: Store) -> None:
    """A session whose last member was removed is empty."""
    key = await store.generate({"a": 1})
    await store.merge(key, Changes(removed=["a"]))

    assert await store.clear(key, only_if_empty=True)

    assert await store.get(key) is None


async def test_several_if_empty(store: Store) -> None:
    """Several sessions cannot be cleared only if they are empty: none is cleared."""
    keys = [await store.generate() for _ in range(2)]

    with pytest.raises(TypeError, match="one key"):
        await store.clear(*keys, only_if_empty=True)

    assert await store.get(keys[0]) is not None


async def test_several(store: Store) -> None:
    """Several sessions are cleared together, and dead keys among them are fine."""
    keys = [await store.generate({"n": number}) for number in range(3)]

    assert await store.clear(*keys, "never issued")

    assert [await store.get(key) for key in keys] == [None] * 3
