"""The newest of several sessions."""

from datetime import timedelta

import pytest

from pgsession import Entry, Store


@pytest.mark.parametrize("order", [1, -1], ids=["older first", "younger first"])
async def test_newest(store: Store, order: int) -> None:
    """Of several living sessions, the one that was generated last is found."""
    keys = [await store.generate({"n": number}) for number in range(3)]

    found = await store.get_newest(keys[::order])

    assert found is not None
    key, entry = found
    assert key == keys[-1]
    assert entry.value == {"n": 2}


async def test_same_entry(store: Store) -> None:
    """The entry is the one that `get` returns."""
    key = await store.generate({"user": "ann"}, period=60, granted=True)

    found, got = await store.get_newest([key, "never issued"]), await store.get(key)

    assert found is not None
    assert got is not None
    assert isinstance(found[1], Entry)
    assert (found[1].value, found[1].granted) == (got.value, got.granted)
    assert abs(found[1].period - got.period) < timedelta(seconds=1)


async def test_dead(store: Store) -> None:
    """A session that is cleared, renewed or expired is not found, however new it is."""
    living = await store.generate({"user": "ann"})
    cleared, renewed = await store.generate(), await store.generate()
    expired = await store.generate(period=-1)
    await store.clear(cleared)
    await store.renew(renewed)

    found = await store.get_newest([living, cleared, renewed, expired])

    assert found is not None
    assert found[0] == living


async def test_none(store: Store) -> None:
    """If no session lives, none is found."""
    assert await store.get_newest(["never issued", await store.generate(period=-1)]) is None
    assert await store.get_newest([]) is None


async def test_age_stays(store: Store) -> None:
    """A session gets no younger by changes and renewals."""
    older, younger = await store.generate({"n": 1}), await store.generate({"n": 2})

    older = await store.renew(older)
    await store.touch(older)

    found = await store.get_newest([older, younger])
    assert found is not None
    assert found[0] == younger


async def test_exclusive(store: Store) -> None:
    """The store of an `exclusive` block finds the newest too, and clears several."""
    keys = [await store.generate({"n": number}) for number in range(2)]

    async with store.exclusive(keys[0]) as held:
        found = await held.get_newest(keys)
        await held.clear(*keys)

    assert found is not None
    assert found[0] == keys[1]
    assert await store.get_newest(keys) is None
