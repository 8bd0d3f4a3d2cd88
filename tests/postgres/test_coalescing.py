"""Calls to PostgreSQL that are sent together: the number of statements, and
isolation of callers.
"""

import asyncio
import random

import pytest
from psycopg import Connection

from pgsession import Changes, Entry, PostgresStore, SessionError, SessionNotFoundError
from pgsession.core.store import Written


async def keys_of(store: PostgresStore, count: int) -> list[str]:
    """Create sessions that each hold their number."""
    return await asyncio.gather(*(store.generate({"n": n}) for n in range(count)))


async def test_generate(counted: PostgresStore, statements: list[str]) -> None:
    """Twenty sessions created at the same time take one or two statements."""
    keys = await keys_of(counted, 20)

    assert len(set(keys)) == 20
    assert 1 <= len(statements) <= 2


async def test_get(counted: PostgresStore, statements: list[str]) -> None:
    """Twenty concurrent gets take one or two statements, and each gets its own session."""
    keys = await keys_of(counted, 20)
    statements.clear()

    entries = await asyncio.gather(*(counted.get(key) for key in keys))

    assert [entry and entry.value for entry in entries] == [{"n": n} for n in range(20)]
    assert 1 <= len(statements) <= 2


async def test_edit(counted: PostgresStore, statements: list[str]) -> None:
    """Concurrent merges, whole values and touches share one or two statements."""
    keys = await keys_of(counted, 21)
    statements.clear()

    await asyncio.gather(
        *(counted.merge(key, Changes(set={"m": 1})) for key in keys[:7]),
        *(counted.set(key, {"s": 1}) for key in keys[7:14]),
        *(counted.touch(key, period=60) for key in keys[14:]),
    )

    assert 1 <= len(statements) <= 2
    for n, key in enumerate(keys):
        entry = await counted.get(key)
        assert entry is not None
        assert entry.value == ({"n": n, "m": 1} if n < 7 else {"s": 1} if n < 14 else {"n": n})


async def test_renew(counted: PostgresStore, statements: list[str]) -> None:
    """Concurrent renewals share one or two statements, each with its own changes and new key."""
    keys = await keys_of(counted, 20)
    statements.clear()

    heirs = await asyncio.gather(
        *(counted.renew(key, Changes(set={"m": n})) for n, key in enumerate(keys))
    )

    assert 1 <= len(statements) <= 2
    for n, heir in enumerate(heirs):
        entry = await counted.get(heir)
        assert entry is not None
        assert entry.value == {"n": n, "m": n}
    assert not any(await asyncio.gather(*(counted.get(key) for key in keys)))


async def test_renew_same_key(counted: PostgresStore) -> None:
    """Of concurrent renewals of one session, one succeeds and the others get
    `SessionNotFoundError`.
    """
    key = await counted.generate({"n": 0})

    results = await asyncio.gather(*(counted.renew(key) for _ in range(5)), return_exceptions=True)

    heirs = [result for result in results if isinstance(result, str)]
    assert len(heirs) == 1
    assert await counted.get(heirs[0]) is not None
    assert sum(isinstance(result, SessionNotFoundError) for result in results) == 4


async def test_clear(counted: PostgresStore, statements: list[str]) -> None:
    """Concurrent clears share one or two statements, including repeated and unknown keys."""
    keys = await keys_of(counted, 20)
    stays = await counted.generate({"n": 20})
    statements.clear()

    await asyncio.gather(*(counted.clear(key) for key in [*keys, keys[0], "unknown"]))

    assert 1 <= len(statements) <= 2
    assert not any(await asyncio.gather(*(counted.get(key) for key in keys)))
    assert await counted.get(stays) is not None


async def test_made_under_a_lock(counted: PostgresStore) -> None:
    """A session created or renewed under a lock is found once committed, even if it was looked up
    before.
    """
    key = await counted.generate({"n": 0})

    async with counted.exclusive(key) as held:
        made = await held.generate({"n": 1})
        heir = await held.renew(key)
        assert await counted.get(made) is None
        assert await counted.get(heir) is None

    assert await counted.get(made) is not None
    assert await counted.get(heir) is not None


async def test_same_key(counted: PostgresStore, statements: list[str]) -> None:
    """Concurrent gets of one session share its row, and each gets its own copy."""
    key = await counted.generate({"list": []})
    statements.clear()

    one, other = await asyncio.gather(counted.get(key), counted.get(key))

    assert len(statements) == 1
    assert isinstance(one, Entry)
    assert isinstance(other, Entry)
    assert one.value is not None
    one.value["list"].append(1)
    assert other.value == {"list": []}


async def test_same_key_in_order(counted: PostgresStore, statements: list[str]) -> None:
    """Merges of one session are applied in the order in which they were called."""
    key = await counted.generate({"a": 0, "b": 0})
    statements.clear()

    await asyncio.gather(
        counted.merge(key, Changes(set={"a": 1, "c": 1})),
        counted.merge(key, Changes(set={"a": 2}, removed={"b"})),
        counted.merge(key, Changes(set={"b": 3}, removed={"c"})),
    )

    assert len(statements) == 1
    entry = await counted.get(key)
    assert entry is not None
    assert entry.value == {"a": 2, "b": 3}


async def test_vanished(counted: PostgresStore, statements: list[str]) -> None:
    """A session that has ended is an error only for its own caller."""
    keys = await keys_of(counted, 5)
    await counted.clear(keys[2])
    statements.clear()

    results = await asyncio.gather(
        *(counted.merge(key, Changes(set={"m": 1})) for key in keys), return_exceptions=True
    )

    assert [type(result) for result in results].count(SessionNotFoundError) == 1
    assert isinstance(results[2], SessionNotFoundError)
    assert len(statements) <= 2


async def test_refused_by_the_database(
    counted: PostgresStore, table: Connection, statements: list[str]
) -> None:
    """An edit that the database rejects fails alone; the other edits are stored."""
    table.execute(
        "ALTER TABLE session ADD CHECK (NOT session_data ? 'poison') NOT VALID",
    )
    keys = await keys_of(counted, 5)
    statements.clear()

    results = await asyncio.gather(
        *(
            counted.merge(key, Changes(set={"poison" if n == 3 else "m": 1}))
            for n, key in enumerate(keys)
        ),
        return_exceptions=True,
    )

    assert isinstance(results[3], SessionError)
    assert [n for n, result in enumerate(results) if not isinstance(result, Written)] == [3]
    for n, key in enumerate(keys):
        entry = await counted.get(key)
        assert entry is not None
        assert entry.value == ({"n": 3} if n == 3 else {"n": n, "m": 1})


async def test_cancelled(counted: PostgresStore) -> None:
    """Cancelled callers disturb neither other callers nor the pool, at whatever moment they are
    cancelled.
    """
    keys = await keys_of(counted, 10)
    randomness = random.Random(7)  # noqa: S311 - chooses the callers to cancel

    for _ in range(30):
        gets = [asyncio.create_task(counted.get(key)) for key in keys]
        merges = [asyncio.create_task(counted.merge(k, Changes(set={"m": 1}))) for k in keys]
        for _ in range(randomness.randrange(4)):
            await asyncio.sleep(0)
        cancelled = set(randomness.sample([*gets, *merges], 8))
        for task in cancelled:
            task.cancel()
        await asyncio.gather(*gets, *merges, return_exceptions=True)
        for n, task in enumerate(gets):
            if task not in cancelled:
                entry = task.result()
                assert entry is not None
                assert entry.value in ({"n": n}, {"n": n, "m": 1})
        for merge in merges:
            assert merge in cancelled or isinstance(merge.result(), Written)

    assert (await counted.get(keys[0])) is not None


async def test_close_answers(counted: PostgresStore) -> None:
    """Closing first answers the calls in flight, and leaves no task of the store behind."""
    keys = await keys_of(counted, 10)
    gets = [asyncio.create_task(counted.get(key)) for key in keys]
    await asyncio.sleep(0)

    await counted.close()

    assert not [task for task in asyncio.all_tasks() if "Coalescer" in repr(task.get_coro())]
    assert [entry and entry.value for entry in await asyncio.gather(*gets)] == [
        {"n": n} for n in range(10)
    ]


async def test_replayed(counted: PostgresStore, statements: list[str]) -> None:
    """A dead key that is replayed repeatedly costs at most two statements, and hides no other
    session.
    """
    dead = await counted.generate({"n": 0})
    await counted.clear(dead)
    living = await counted.generate({"n": 1})
    before = len(statements)

    for _ in range(10):
        entries = await asyncio.gather(*(counted.get(dead) for _ in range(300)))
        assert not any(entries)

    assert len(statements) - before <= 2
    entry = await counted.get(living)
    assert entry is not None


@pytest.mark.parametrize("callers", [1, 2, 50])
async def test_alone_or_not(counted: PostgresStore, statements: list[str], callers: int) -> None:
    """A get returns the state after its call, however many callers read the same
    session at once.
    """
    key = await counted.generate({"n": 0})

    for n in range(1, 4):
        await counted.merge(key, Changes(set={"n": n}))
        entries = await asyncio.gather(*(counted.get(key) for _ in range(callers)))

        assert [entry and entry.value for entry in entries] == [{"n": n}] * callers
    assert len(statements) <= 1 + 3 * 3
