"""`merge` works member by member and keeps the other members."""

from datetime import timedelta
from typing import Any

import pytest

from pgsession import Changes, Entry, Store

HOUR = timedelta(hours=1)
SLACK = timedelta(seconds=20)


async def read(store: Store, key: str) -> Entry:
    entry = await store.get(key)
    assert entry is not None
    return entry


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        pytest.param(Changes(set={"c": 3}), {"a": 1, "b": [2], "c": 3}, id="adds"),
        pytest.param(Changes(set={"a": None}), {"a": None, "b": [2]}, id="sets null"),
        pytest.param(Changes(set={"b": {"x": 1}}), {"a": 1, "b": {"x": 1}}, id="not deep"),
        pytest.param(Changes(removed=["a"]), {"b": [2]}, id="removes"),
        pytest.param(Changes(removed=["a", "b"]), {}, id="removes all"),
        pytest.param(Changes(removed=["z"]), {"a": 1, "b": [2]}, id="removes the absent"),
        pytest.param(Changes(set={"c": 3}, removed=["a"]), {"b": [2], "c": 3}, id="both"),
        pytest.param(Changes(set={"c": 3}, replaced=True), {"c": 3}, id="replaces"),
        pytest.param(Changes(replaced=True), {}, id="replaces by nothing"),
        pytest.param(Changes(), {"a": 1, "b": [2]}, id="nothing"),
        pytest.param(
            Changes(set={'"': 1, "": 2, "é": 3, "a,b": 4}),
            {"a": 1, "b": [2], '"': 1, "": 2, "é": 3, "a,b": 4},
            id="odd names",
        ),
        pytest.param(Changes(removed=["{a}", "NULL", '"', "\\", ","]), {"a": 1, "b": [2]}, id="{}"),
    ],
)
async def test_members(store: Store, changes: Changes, value: dict[str, Any]) -> None:
    """The named members are set or removed; the others stay, unless everything is replaced."""
    key = await store.generate({"a": 1, "b": [2]})

    await store.merge(key, changes)

    assert (await read(store, key)).value == value


async def test_successive(store: Store) -> None:
    """Two merges of different members both take effect."""
    key = await store.generate({"a": 1})

    await store.merge(key, Changes(set={"b": 2}))
    await store.merge(key, Changes(set={"c": 3}, removed=["a"]))

    assert (await read(store, key)).value == {"b": 2, "c": 3}


async def test_removed_odd_names(store: Store) -> None:
    """A member with any name can be removed."""
    names = ["", "{a,b}", 'say "x"', "\\", "é", "NULL", "a'b", "%s"]
    key = await store.generate(dict.fromkeys(names, 1))

    await store.merge(key, Changes(removed=names))

    assert (await read(store, key)).value == {}


async def test_never_set(store: Store) -> None:
    """A merge into a session without a value works as if the value were empty."""
    key = await store.generate()

    await store.merge(key, Changes(set={"a": 1}, removed=["b"]))

    assert (await read(store, key)).value == {"a": 1}


async def test_nothing_into_never_set(store: Store) -> None:
    """An empty merge into a session without a value leaves it without one."""
    key = await store.generate()

    await store.merge(key, Changes())

    assert (await read(store, key)).value is None


async def test_expiry_stays(store: Store) -> None:
    """A merge without a period keeps the expiry."""
    key = await store.generate({"a": 1}, period=HOUR)

    await store.merge(key, Changes(set={"b": 2}))

    assert (await read(store, key)).period == pytest.approx(HOUR, abs=SLACK)


async def test_granted_stays(store: Store) -> None:
    """A merge without a period keeps the granted period."""
    key = await store.generate({"a": 1}, period=HOUR, granted=True)

    await store.merge(key, Changes(set={"b": 2}))

    assert (await read(store, key)).granted == HOUR


async def test_period(store: Store) -> None:
    """A merge with a period sets the expiry together with the value."""
    key = await store.generate({"a": 1})

    await store.merge(key, Changes(set={"b": 2}), period=HOUR)

    entry = await read(store, key)
    assert entry.value == {"a": 1, "b": 2}
    assert entry.period == pytest.approx(HOUR, abs=SLACK)


async def test_nothing_but_period(store: Store) -> None:
    """An empty merge with a period sets the expiry and keeps the value."""
    key = await store.generate({"a": 1})

    await store.merge(key, Changes(), period=HOUR)

    entry = await read(store, key)
    assert entry.value == {"a": 1}
    assert entry.period == pytest.approx(HOUR, abs=SLACK)
