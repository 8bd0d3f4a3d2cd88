"""Renewing gives a session a new key, and the old key stops working at once."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest

from pgsession import Changes, Entry, InvalidValueError, SessionNotFoundError, Store

HOUR = timedelta(hours=1)
SLACK = timedelta(seconds=20)


async def read(store: Store, key: str) -> Entry:
    entry = await store.get(key)
    assert entry is not None
    return entry


async def test_new_key(store: Store) -> None:
    """A renewal returns another key of the same selector, with a verifier of its own."""
    key = await store.generate()

    renewed = await store.renew(key)
    again = await store.renew(renewed)

    assert len({key, renewed, again}) == 3
    for each in (renewed, again):
        assert re.fullmatch(r"[A-Za-z0-9_-]{40}\.[A-Za-z0-9_-]{32}", each)
        assert each.partition(".")[0] == key


async def test_value(store: Store) -> None:
    """The new key has the value of the old one."""
    key = await store.generate({"user": "ann", "cart": [1]})

    renewed = await store.renew(key)

    assert (await read(store, renewed)).value == {"user": "ann", "cart": [1]}


async def test_never_set(store: Store) -> None:
    """A session without a value has none after a renewal."""
    renewed = await store.renew(await store.generate())

    assert (await read(store, renewed)).value is None


async def test_no_changes_never_set(store: Store) -> None:
    """A renewal with empty changes leaves a session without a value without one."""
    renewed = await store.renew(await store.generate(), Changes())

    assert (await read(store, renewed)).value is None


async def test_old_key(store: Store) -> None:
    """The old key is dead at once."""
    key = await store.generate({"user": "ann"})

    await store.renew(key)

    assert await store.get(key) is None


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda _, last: last[:40], id="selector"),
        pytest.param(lambda _, last: last[:-1] + ("A" if last[-1] != "A" else "B"), id="other"),
        pytest.param(lambda _, last: last[:41], id="no verifier"),
        pytest.param(lambda first, _: first, id="older verifier"),
        pytest.param(lambda _, last: f"{last}.0", id="longer"),
        pytest.param(lambda _, last: last.replace(".", "_"), id="no dot"),
    ],
)
async def test_wrong_verifier(store: Store, forge: Callable[[str, str], str]) -> None:
    """The session is opened by the key with its verifier, and by no other of its selector."""
    first = await store.renew(await store.generate({"user": "ann"}))
    last = await store.renew(first)
    forged = forge(first, last)

    assert await store.get(forged) is None
    assert await store.get_newest([forged]) is None
    with pytest.raises(SessionNotFoundError):
        await store.merge(forged, Changes(set={"eve": 1}))
    assert await store.take(forged, "user") is None
    assert await store.clear(forged)
    assert (await read(store, last)).value == {"user": "ann"}


async def test_changes(store: Store) -> None:
    """A renewal merges the given changes."""
    key = await store.generate({"a": 1, "b": 2})

    renewed = await store.renew(key, Changes(set={"c": 3}, removed=["a"]))

    assert (await read(store, renewed)).value == {"b": 2, "c": 3}


async def test_replaced(store: Store) -> None:
    """A renewal with `replaced` changes replaces the value."""
    key = await store.generate({"a": 1})

    renewed = await store.renew(key, Changes(set={"b": 2}, replaced=True))

    assert (await read(store, renewed)).value == {"b": 2}


async def test_period(store: Store) -> None:
    """A renewal with a period sets the expiry."""
    key = await store.generate({"a": 1})

    renewed = await store.renew(key, period=HOUR)

    assert (await read(store, renewed)).period == pytest.approx(HOUR, abs=SLACK)


async def test_one_heir(store: Store) -> None:
    """If one key is renewed twice, only the first renewal succeeds."""
    key = await store.generate({"user": "ann"})

    renewed = await store.renew(key)
    with pytest.raises(SessionNotFoundError):
        await store.renew(key)

    assert (await read(store, renewed)).value == {"user": "ann"}


async def test_chain(store: Store) -> None:
    """A renewed key can be renewed again."""
    first = await store.generate({"n": 1})
    second = await store.renew(first)

    third = await store.renew(second, Changes(set={"n": 3}))

    assert await store.get(second) is None
    assert (await read(store, third)).value == {"n": 3}


async def test_refused_value(store: Store) -> None:
    """A renewal with a value that cannot be stored leaves the old key alive."""
    key = await store.generate({"user": "ann"})

    with pytest.raises(InvalidValueError):
        await store.renew(key, Changes(set={"bad": {1, 2}}))

    assert (await read(store, key)).value == {"user": "ann"}
