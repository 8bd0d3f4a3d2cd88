"""`value_limit` holds for what parallel requests make of a session together."""

import asyncio
from collections.abc import Callable

import pytest

from pgsession import Changes, PostgresStore, ValueTooLargeError
from pgsession.core.keys import digest
from tests.concurrency.witness import Witness

LIMIT = 1_000
SIZE = "SELECT FROM session WHERE octet_length(session_data::text) <= 1000"


@pytest.fixture
def small(make_store: Callable[..., PostgresStore]) -> PostgresStore:
    """A store with a small limit."""
    return make_store(value_limit=LIMIT)


async def test_parallel_merges(small: PostgresStore, witness: Witness) -> None:
    """Of many merges at once, those that would pass the limit are refused, and only those."""
    key, other = await small.generate({}), await small.generate({})

    done = await asyncio.gather(
        *(small.merge(key, Changes({f"k{n}": "x" * 200})) for n in range(20)),
        small.merge(other, Changes({"a": 1})),
        return_exceptions=True,
    )

    refused = [isinstance(each, ValueTooLargeError) for each in done]
    assert sum(refused) == 16
    assert not refused[-1]
    assert await witness.execute(SIZE) == 2
    entry = await small.get(key)
    assert entry is not None
    assert entry.value is not None
    assert entry.value.keys() == {f"k{n}" for n, each in enumerate(refused[:-1]) if not each}


async def test_refused_changes_nothing(small: PostgresStore, witness: Witness) -> None:
    """A merge that is refused changes neither the value nor the expiry."""
    key = await small.generate({"a": "x" * 900}, period=60)

    with pytest.raises(ValueTooLargeError, match="value_limit"):
        await small.merge(key, Changes({"b": "x" * 200}), period=3600, granted=True)

    row = await witness.row(key)
    assert row is not None
    assert row.value == {"a": "x" * 900}
    assert row.remaining <= 60
    assert row.granted is None


async def test_many_small_merges(small: PostgresStore) -> None:
    """A member that is replaced again and again never reaches the limit."""
    key = await small.generate({"a": "x" * 500})

    for n in range(60):
        await small.merge(key, Changes({"n": f"{n:>100}"}))

    entry = await small.get(key)
    assert entry is not None
    assert entry.value == {"a": "x" * 500, "n": f"{59:>100}"}


async def test_unknown_bound(small: PostgresStore, witness: Witness) -> None:
    """A row from before the bound was kept is measured."""
    key = await small.generate({"a": "x" * 900})
    await witness.execute("UPDATE session SET size_bound = NULL")

    with pytest.raises(ValueTooLargeError):
        await small.merge(key, Changes({"b": "x" * 200}))
    await small.merge(key, Changes({"b": "x"}))


async def test_commas_in_text(small: PostgresStore) -> None:
    """A text of commas and colons counts as what PostgreSQL prints."""
    key = await small.generate({})

    await small.merge(key, Changes({"a": ",:" * 480}))
    await small.set(key, {"b": ",:" * 480})


async def test_past_the_limit(make_store: Callable[..., PostgresStore], witness: Witness) -> None:
    """A session that is past a limit lowered since is read, shrunk, renewed and ended."""
    large, small = make_store(), make_store(value_limit=LIMIT)
    key = await large.generate({"a": "x" * 3_000, "b": "x" * 3_000, "n": 1})

    assert await small.get(key) is not None
    await small.touch(key)
    with pytest.raises(ValueTooLargeError):
        await small.merge(key, Changes({"c": 1}))
    await small.merge(key, Changes({"n": 2}))
    key = await small.renew(key, Changes({"n": 3}))
    await small.merge(key, Changes({"a": "short"}))
    assert await small.take(key, "n") == 3
    await small.merge(key, Changes({}, {"b"}))
    assert await witness.value(key) == {"a": "short"}
    await small.clear(key)
    assert await witness.value(key) is None


async def test_remove_many(store: PostgresStore, witness: Witness) -> None:
    """Removing tens of thousands of members takes one statement, and leaves the others."""
    names = {f"k{n}" for n in range(30_000)}
    key = await store.generate(dict.fromkeys(names, 0) | {"kept": 1})

    await store.merge(key, Changes({"new": 1}, names))

    assert await witness.value(key) == {"kept": 1, "new": 1}


async def test_held_and_too_large(small: PostgresStore, witness: Witness) -> None:
    """A merge that waits for its row is refused, once the row is free, if it is too large."""
    key = await small.generate({"a": "x" * 900})

    async with witness.holding(
        "SELECT FROM session WHERE session_key = %s FOR UPDATE", digest(key)
    ):
        large = asyncio.ensure_future(small.merge(key, Changes({"b": "x" * 200})))
        fitting = asyncio.ensure_future(small.merge(key, Changes({"c": 1})))
        await small.generate({})
        assert not large.done()

    with pytest.raises(ValueTooLargeError):
        await large
    await fitting
    assert await witness.value(key) == {"a": "x" * 900, "c": 1}
