"""Batches of two processes may deadlock on each other's rows, and no change is lost."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from psycopg import AsyncConnection

from pgsession import Changes, PostgresStore
from pgsession.core.keys import digest
from tests.concurrency.witness import LOCK, Witness

FREE = "SELECT FROM session WHERE session_key = %s FOR UPDATE SKIP LOCKED"


async def is_held(witness: Witness, key: str) -> bool:
    """Return whether an open transaction holds the lock of a row."""
    async with await AsyncConnection.connect(witness.conninfo) as connection:
        return (await connection.execute(FREE, (digest(key),))).rowcount == 0


@pytest.mark.parametrize(
    "options",
    [
        pytest.param("", id="gives way"),
        pytest.param("-cdeadlock_timeout=10ms", id="rolled back"),
    ],
)
async def test_deadlock(
    witness: Witness, make_store: Callable[..., PostgresStore], options: str
) -> None:
    """Of two transactions that wait for each other, a batch gives way, and is stored afterwards.

    It also is if the server has found the deadlock first, and rolled it back.
    """
    store = make_store(options=options)
    one, other = [await store.generate({"n": n}) for n in range(2)]

    for mine, theirs in ((one, other), (other, one)):
        async with await AsyncConnection.connect(witness.conninfo) as rival:
            await rival.execute(LOCK, (digest(theirs),))
            batch = asyncio.gather(
                *(store.merge(key, Changes(set={"m": 1})) for key in (one, other))
            )
            await witness.waiting(1)
            if await is_held(witness, mine):
                # The batch holds one row and waits for the other; the rival does the
                # reverse.
                await rival.execute(LOCK, (digest(mine),))
            await rival.rollback()
            await batch

    assert await witness.value(one) == {"n": 0, "m": 1}
    assert await witness.value(other) == {"n": 1, "m": 1}


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda store, key: store.renew(key), id="renew"),
        pytest.param(lambda store, key: store.clear(key), id="clear"),
    ],
)
async def test_deadlock_at_the_end(
    witness: Witness, store: PostgresStore, end: Callable[[PostgresStore, str], Awaitable[object]]
) -> None:
    """Concurrent renewals or clears succeed even if a rival transaction locks the same rows."""
    keys = [await store.generate({"n": n}) for n in range(2)]

    async with await AsyncConnection.connect(witness.conninfo) as rival:
        await rival.execute(LOCK, (digest(keys[1]),))
        batch = asyncio.gather(*(end(store, key) for key in keys))
        await witness.waiting(1)
        if await is_held(witness, keys[0]):
            await rival.execute(LOCK, (digest(keys[0]),))
        await rival.rollback()
        await batch

    assert [await witness.value(key) for key in keys] == [None, None]
