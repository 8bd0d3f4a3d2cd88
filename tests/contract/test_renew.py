"""Renewing gives a session another key, at once the only one."""

import re
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
    """The heir is another key of the usual shape."""
    key = await store.generate()

    heir = await store.renew(key)

    assert heir != key
    assert re.fullmatch(r"[A-Za-z0-9_-]{40}", heir)


async def test_value(store: Store) -> None:
    """The value goes over to the heir."""
    key = await store.generate({"user": "ann", "cart": [1]})

    heir = await store.renew(key)

    assert (await read(store, heir)).value == {"user": "ann", "cart": [1]}


async def test_never_set(store: Store) -> None:
    """A session without a value is renewed without one."""
    heir = await store.renew(await store.generate())

    assert (await read(store, heir)).value is None


async def test_no_changes_never_set(store: Store) -> None:
    """Changes that change nothing give no value to a session that has none."""
    heir = await store.renew(await store.generate(), Changes())

    assert (await read(store, heir)).value is None


async def test_old_key(store: Store) -> None:
    """The old key is dead at once."""
    key = await store.generate({"user": "ann"})

    await store.renew(key)

    assert await store.get(key) is None


async def test_changes(store: Store) -> None:
    """Changes are merged on the way."""
    key = await store.generate({"a": 1, "b": 2})

    heir = await store.renew(key, Changes(set={"c": 3}, removed=["a"]))

    assert (await read(store, heir)).value == {"b": 2, "c": 3}


async def test_replaced(store: Store) -> None:
    """Changes that replace everything do so on the way too."""
    key = await store.generate({"a": 1})

    heir = await store.renew(key, Changes(set={"b": 2}, replaced=True))

    assert (await read(store, heir)).value == {"b": 2}


async def test_period(store: Store) -> None:
    """With a period the expiry is set on the way."""
    key = await store.generate({"a": 1})

    heir = await store.renew(key, period=HOUR)

    assert (await read(store, heir)).period == pytest.approx(HOUR, abs=SLACK)


async def test_one_heir(store: Store) -> None:
    """Of two renewals of one key, one has an heir."""
    key = await store.generate({"user": "ann"})

    heir = await store.renew(key)
    with pytest.raises(SessionNotFoundError):
        await store.renew(key)

    assert (await read(store, heir)).value == {"user": "ann"}


async def test_chain(store: Store) -> None:
    """An heir can be renewed in turn."""
    first = await store.generate({"n": 1})
    second = await store.renew(first)

    third = await store.renew(second, Changes(set={"n": 3}))

    assert await store.get(second) is None
    assert (await read(store, third)).value == {"n": 3}


async def test_refused_value(store: Store) -> None:
    """A renewal with a value that cannot be stored leaves the key alive."""
    key = await store.generate({"user": "ann"})

    with pytest.raises(InvalidValueError):
        await store.renew(key, Changes(set={"bad": {1, 2}}))

    assert (await read(store, key)).value == {"user": "ann"}
