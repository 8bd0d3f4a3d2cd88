"""The number of a session: rotated one at a time, and shown once."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from pgsession import Changes, Entry, SessionNotFoundError, Store

#: A grace that is over at once.
OVER = -timedelta(seconds=60)

GRACE = timedelta(seconds=60)


async def read(store: Store, key: str) -> Entry:
    entry = await store.get(key)
    assert entry is not None
    return entry


async def shown(store: Store) -> str:
    """Generate a session whose first number was shown, and return its key."""
    key = await store.generate({"user": "ann"})
    await store.show(key, 0)
    return key


async def test_new(store: Store) -> None:
    """A new session has the number 0, which was not shown yet."""
    entry = await read(store, await store.generate())

    assert (entry.number, entry.shown_for) == (0, None)
    assert timedelta(0) <= entry.idle < timedelta(seconds=20)


async def test_show(store: Store) -> None:
    """The first showing of a number is recorded, and a later one does not count."""
    key = await shown(store)
    first = await read(store, key)

    await asyncio.sleep(0.01)
    await store.show(key, 0)
    later = await read(store, key)

    assert first.shown_for is not None
    assert later.shown_for is not None
    assert later.shown_for >= first.shown_for + timedelta(milliseconds=10)


async def test_rotate(store: Store) -> None:
    """A rotation raises the number, which then counts as not shown; key, value and expiry stay."""
    key = await shown(store)
    before = await read(store, key)

    assert await store.rotate(key, 0, grace=OVER) == 1

    entry = await read(store, key)
    assert (entry.number, entry.shown_for, entry.value) == (1, None, {"user": "ann"})
    assert before.period - timedelta(seconds=20) < entry.period <= before.period


async def test_not_shown(store: Store) -> None:
    """A number that was not shown is not raised."""
    key = await store.generate()

    assert await store.rotate(key, 0, grace=OVER) == 0


async def test_within_grace(store: Store) -> None:
    """A number that was shown just now is not raised."""
    key = await shown(store)

    assert await store.rotate(key, 0, grace=GRACE) == 0


@pytest.mark.parametrize("number", [1, 7, -1], ids=["one more", "many more", "one less"])
async def test_other_number(store: Store, number: int) -> None:
    """A rotation from another number changes nothing, and returns the session's."""
    key = await shown(store)

    assert await store.rotate(key, number, grace=OVER) == 0
    assert (await read(store, key)).shown_for is not None


async def test_parallel(store: Store) -> None:
    """Of many rotations at the same time, one raises the number, and only by one."""
    key = await shown(store)

    numbers = await asyncio.gather(*(store.rotate(key, 0, grace=OVER) for _ in range(20)))

    assert set(numbers) <= {0, 1}
    assert (await read(store, key)).number == 1


async def test_lost_commit(store: Store) -> None:
    """A number that is one ahead becomes the session's when it is shown."""
    key = await shown(store)

    await store.show(key, 1)

    entry = await read(store, key)
    assert (entry.number, entry.shown_for is None) == (1, False)


@pytest.mark.parametrize("number", [2, 9, -1], ids=["two more", "many more", "one less"])
async def test_show_another(store: Store, number: int) -> None:
    """Any other number that is shown changes nothing."""
    key = await store.generate()

    await store.show(key, number)

    entry = await read(store, key)
    assert (entry.number, entry.shown_for) == (0, None)


async def test_renewed(store: Store) -> None:
    """A renewal begins with 0, not shown; the old key neither rotates nor shows."""
    key = await shown(store)
    await store.rotate(key, 0, grace=OVER)
    await store.show(key, 1)

    renewed = await store.renew(key)
    await store.show(key, 0)

    entry = await read(store, renewed)
    assert (entry.number, entry.shown_for) == (0, None)
    with pytest.raises(SessionNotFoundError):
        await store.rotate(key, 0, grace=OVER)


@pytest.mark.parametrize("how", ["cleared", "expired", "unknown"])
async def test_dead_key(store: Store, how: str) -> None:
    """A dead key does not rotate, and what it shows is ignored."""
    key = await store.generate(period=-1 if how == "expired" else 60)
    if how == "cleared":
        await store.clear(key)
    elif how == "unknown":
        key = "k" * 40

    await store.show(key, 0)

    with pytest.raises(SessionNotFoundError):
        await store.rotate(key, 0, grace=OVER)


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda store, key: store.set(key, {"a": 1}), id="set"),
        pytest.param(lambda store, key: store.merge(key, Changes({"a": 1})), id="merge"),
        pytest.param(lambda store, key: store.touch(key), id="touch"),
    ],
)
async def test_edits_tell(store: Store, edit: Callable[[Store, str], Awaitable[object]]) -> None:
    """An edit keeps the number, and returns it."""
    key = await shown(store)
    await store.rotate(key, 0, grace=OVER)

    written = await edit(store, key)

    assert getattr(written, "number", None) == 1
    assert (await read(store, key)).number == 1
