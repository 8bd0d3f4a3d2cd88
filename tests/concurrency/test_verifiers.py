"""A renewed session keeps its row, and only its newest key opens it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pgsession import Changes, PostgresStore, SessionNotFoundError
from pgsession.core.keys import digest
from tests.concurrency.witness import Witness, outcome

CALLS: list[Any] = [
    pytest.param(lambda store, key: store.set(key, {"stale": 1}), id="set"),
    pytest.param(lambda store, key: store.merge(key, Changes({"stale": 1})), id="merge"),
    pytest.param(lambda store, key: store.touch(key), id="touch"),
    pytest.param(lambda store, key: store.renew(key), id="renew"),
    pytest.param(lambda store, key: store.clear(key, only_if_empty=True), id="clear if empty"),
    pytest.param(lambda store, key: store.rotate(key, 0, grace=0), id="rotate"),
]


async def test_row_stays(store: PostgresStore, witness: Witness) -> None:
    """A renewal keeps the row under its session_key, and all its other columns."""
    key = await store.generate({"a": 1})
    await witness.execute("UPDATE session SET user_id = 'ann' WHERE session_key = %s", digest(key))

    renewed = await store.renew(await store.renew(key))

    assert renewed.startswith(f"{key}.")
    assert await witness.execute("SELECT FROM session WHERE user_id = 'ann'") == 1
    assert digest(renewed) == digest(key)


@pytest.mark.parametrize("call", CALLS)
async def test_old_key(
    store: PostgresStore, call: Callable[[PostgresStore, str], Awaitable[object]]
) -> None:
    """Neither the key from before a renewal nor the one before that can do anything."""
    first = await store.generate({"a": 1})
    second = await store.renew(first)
    third = await store.renew(second)

    for old in (first, second):
        with pytest.raises(SessionNotFoundError):
            await call(store, old)
        assert await store.get(old) is None
        assert await store.take(old, "a") is None
        assert await store.clear(old)

    entry = await store.get(third)
    assert entry is not None
    assert entry.value == {"a": 1}


@pytest.mark.parametrize("call", CALLS)
async def test_behind_a_renewal(
    store: PostgresStore,
    witness: Witness,
    call: Callable[[PostgresStore, str], Awaitable[object]],
) -> None:
    """A call with the old key that has waited for a renewal finds nothing."""
    key = await store.generate({"a": 1})

    async with store.exclusive(key) as held:
        renewed = await held.renew(key)
        stale = asyncio.create_task(outcome(call(store, key)))
        await asyncio.sleep(0)

    assert isinstance(await stale, SessionNotFoundError)
    assert await witness.value(renewed) == {"a": 1}


async def test_take_behind_a_renewal(store: PostgresStore, witness: Witness) -> None:
    """A take with the old key that has waited for a renewal takes nothing."""
    key = await store.generate({"code": 1})

    async with store.exclusive(key) as held:
        renewed = await held.renew(key)
        taking = asyncio.create_task(store.take(key, "code"))
        await witness.waiting(1)

    assert await taking is None
    assert await witness.value(renewed) == {"code": 1}


async def test_clear_behind_a_renewal(store: PostgresStore, witness: Witness) -> None:
    """A clear with the old key that has waited for a renewal leaves the session alone."""
    key = await store.generate({"a": 1})

    async with store.exclusive(key) as held:
        renewed = await held.renew(key)
        clearing = asyncio.create_task(store.clear(key))
        await witness.waiting(1)

    assert await clearing
    assert await witness.value(renewed) == {"a": 1}


async def test_revoked_behind_a_renewal(store: PostgresStore, witness: Witness) -> None:
    """A DELETE by user_id beside an open renewal removes the session."""
    key = await store.generate({"a": 1})
    await witness.execute("UPDATE session SET user_id = 'ann'")

    async with store.exclusive(key) as held:
        renewed = await held.renew(key)
        revoking = asyncio.create_task(witness.execute("DELETE FROM session WHERE user_id = 'ann'"))
        await witness.waiting(1)

    assert await revoking == 1
    assert await store.get(renewed) is None


async def test_two_verifiers_at_once(store: PostgresStore) -> None:
    """Of two keys of one session in one batch, the newest does its change, whatever the order."""
    first = await store.generate({})
    second = await store.renew(first)

    for n, keys in enumerate(((first, second, first), (second, first, second))):
        done = await asyncio.gather(
            *(store.merge(key, Changes({f"{n}{place}": 1})) for place, key in enumerate(keys)),
            return_exceptions=True,
        )
        assert [isinstance(each, SessionNotFoundError) for each in done] == [
            key == first for key in keys
        ]

    entry = await store.get(second)
    assert entry is not None
    assert entry.value == {"01": 1, "10": 1, "12": 1}


async def test_dead_key_remembered(store: PostgresStore) -> None:
    """The memory of dead keys tells two keys of one session apart."""
    first = await store.generate({})
    second = await store.renew(first)

    assert await store.get(first) is None
    assert await store.get(first) is None
    assert await store.get(second) is not None
