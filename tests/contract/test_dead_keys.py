"""Every write to a dead key is rejected, and no write revives it."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from pgsession import Changes, SessionNotFoundError, Store
from pgsession.core.keys import new_key

Writer: TypeAlias = Callable[[Store, str], Awaitable[object]]


async def unknown(_store: Store) -> str:
    return new_key()


async def garbage(_store: Store) -> str:
    return "garbage"


async def cleared(store: Store) -> str:
    key = await store.generate({"user": "ann"})
    await store.clear(key)
    return key


async def born_expired(store: Store) -> str:
    return await store.generate({"user": "ann"}, period=-1)


async def expired_by_set(store: Store) -> str:
    key = await store.generate()
    await store.set(key, {"user": "ann"}, period=0)
    return key


async def expired_by_touch(store: Store) -> str:
    key = await store.generate({"user": "ann"})
    await store.touch(key, period=-1)
    return key


async def expired_by_merge(store: Store) -> str:
    key = await store.generate({"user": "ann"})
    await store.merge(key, Changes(), period=-1)
    return key


async def renewed(store: Store) -> str:
    key = await store.generate({"user": "ann"})
    await store.renew(key)
    return key


async def expired_by_renew(store: Store) -> str:
    return await store.renew(await store.generate({"user": "ann"}), period=-1)


DEAD = (
    unknown,
    garbage,
    cleared,
    born_expired,
    expired_by_set,
    expired_by_touch,
    expired_by_merge,
    renewed,
    expired_by_renew,
)

WRITERS: dict[str, Writer] = {
    "set": lambda store, key: store.set(key, {"user": "eve"}),
    "merge": lambda store, key: store.merge(key, Changes(set={"user": "eve"})),
    "merge_and_extend": lambda store, key: store.merge(
        key, Changes(set={"user": "eve"}), period=60
    ),
    "replace": lambda store, key: store.merge(key, Changes(set={"user": "eve"}, replaced=True)),
    "merge_nothing": lambda store, key: store.merge(key, Changes()),
    "touch": lambda store, key: store.touch(key),
    "grant": lambda store, key: store.touch(key, period=60, granted=True),
    "renew": lambda store, key: store.renew(key),
    "renew_and_extend": lambda store, key: store.renew(key, Changes(set={"a": 1}), period=60),
}


@pytest.fixture(params=DEAD, ids=lambda way: way.__name__)
async def dead_key(request: pytest.FixtureRequest, store: Store) -> str:
    key: str = await request.param(store)
    return key


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
async def test_writing(store: Store, dead_key: str, writer: Writer) -> None:
    """Every write to a dead key raises `SessionNotFoundError` and does not revive it."""
    with pytest.raises(SessionNotFoundError):
        await writer(store, dead_key)

    assert await store.get(dead_key) is None


async def test_reading(store: Store, dead_key: str) -> None:
    """Reading any dead key returns None."""
    assert await store.get(dead_key) is None


async def test_clearing(store: Store, dead_key: str) -> None:
    """Clearing a dead key succeeds and returns True."""
    assert await store.clear(dead_key)
    assert await store.get(dead_key) is None


async def test_clearing_if_empty(store: Store, dead_key: str) -> None:
    """Clearing a dead key with `only_if_empty` raises, so it differs from an empty session."""
    with pytest.raises(SessionNotFoundError):
        await store.clear(dead_key, only_if_empty=True)

    assert await store.get(dead_key) is None


async def test_lookup_error(store: Store) -> None:
    """`SessionNotFoundError` is a `LookupError` and names no key."""
    with pytest.raises(LookupError) as caught:
        await store.touch("never-generated")

    assert "never-generated" not in str(caught.value)
