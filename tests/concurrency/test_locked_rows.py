"""A row that another transaction holds delays its own session, and no other."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from psycopg import Connection, connect

from pgsession import Changes, PostgresStore, StoreBusyError
from tests.concurrency.witness import Witness, eventually

CALLS: list[Any] = [
    pytest.param(lambda store, key: store.set(key, {"x": 1}), id="set"),
    pytest.param(lambda store, key: store.merge(key, Changes({"x": 1})), id="merge"),
    pytest.param(lambda store, key: store.touch(key), id="touch"),
    pytest.param(lambda store, key: store.renew(key), id="renew"),
    pytest.param(lambda store, key: store.take(key, "a"), id="take"),
    pytest.param(lambda store, key: store.clear(key), id="clear"),
    pytest.param(lambda store, key: store.clear(key, key), id="clear several"),
    pytest.param(lambda store, key: store.clear(key, only_if_empty=True), id="clear if empty"),
]


@pytest.fixture
async def eager(make_store: Callable[..., PostgresStore]) -> AsyncIterator[PostgresStore]:
    """A store with two connections that waits for a locked row as any store does."""
    async with make_store(pool_size=2, sweep_every=None) as store:
        yield store


async def use(store: PostgresStore) -> None:
    """Do everything with other sessions, several times."""
    for _ in range(3):
        keys = [await store.generate({"a": 1}) for _ in range(4)]
        await asyncio.gather(*(store.merge(key, Changes({"b": 1})) for key in keys))
        await asyncio.gather(*(store.touch(key) for key in keys))
        assert await store.take(keys[0], "a") == 1
        keys = await asyncio.gather(*(store.renew(key) for key in keys))
        entries = await asyncio.gather(*map(store.get, keys))
        assert all(entry is not None and entry.value["b"] == 1 for entry in entries if entry)
        assert not await store.clear(keys[0], only_if_empty=True)
        await asyncio.gather(*map(store.clear, keys))
        assert await asyncio.gather(*map(store.get, keys)) == [None] * 4


@pytest.mark.parametrize("call", CALLS)
async def test_others_go_on(
    eager: PostgresStore,
    witness: Witness,
    call: Callable[[PostgresStore, str], Awaitable[object]],
) -> None:
    """While calls wait for held rows, those of other sessions are made; then they are answered."""
    held = [await eager.generate({"a": n}) for n in range(8)]

    async with witness.holding("SELECT FROM session FOR UPDATE") as rows:
        assert rows == 8
        waiting = [asyncio.ensure_future(call(eager, key)) for key in held]
        await use(eager)
        assert not any(each.done() for each in waiting)

    await asyncio.gather(*waiting)


async def test_never_dead(eager: PostgresStore, witness: Witness) -> None:
    """A change whose row was skipped is made once it is free, and the key is not taken for dead."""
    held = [await eager.generate({}) for _ in range(40)]

    async with witness.holding("SELECT FROM session FOR UPDATE"):
        waiting = [
            asyncio.ensure_future(eager.merge(key, Changes({"n": n}))) for n, key in enumerate(held)
        ]
        await use(eager)

    await asyncio.gather(*waiting)
    assert [await witness.value(key) for key in held] == [{"n": n} for n in range(40)]


@pytest.mark.parametrize("call", CALLS)
async def test_held_for_too_long(
    make_store: Callable[..., PostgresStore],
    witness: Witness,
    call: Callable[[PostgresStore, str], Awaitable[object]],
) -> None:
    """A call whose row stays held gets `StoreBusyError` after `timeout`, and changes nothing."""
    store = make_store(timeout=0.4, sweep_every=None)
    key = await store.generate({"a": 1})

    async with witness.holding_row(key):
        with pytest.raises(StoreBusyError, match="held the session"):
            await call(store, key)

    assert await witness.value(key) == {"a": 1}


async def test_no_connection(make_store: Callable[..., PostgresStore], witness: Witness) -> None:
    """Calls that wait for held rows use no connection: one is enough for all others."""
    store = make_store(pool_size=1, sweep_every=None)
    held = [await store.generate({"a": n}) for n in range(20)]

    async with witness.holding("SELECT FROM session FOR UPDATE"):
        waiting = [asyncio.ensure_future(store.take(key, "a")) for key in held]
        await use(store)

    assert await asyncio.gather(*waiting) == list(range(20))


async def test_reads_go_on(eager: PostgresStore, witness: Witness) -> None:
    """A held row is read as it was committed."""
    key = await eager.generate({"a": 1})

    async with witness.holding_row(key):
        entry = await eager.get(key)
        assert entry is not None
        assert await eager.rotate(key, 0, grace=0) == 0
        await eager.show(key, 0)


@pytest.fixture
def accounts(witness: Witness) -> Iterator[Connection]:
    """The table refers to another one, with a default."""
    with connect(witness.conninfo, autocommit=True) as connection:
        connection.execute("CREATE TABLE account (id int PRIMARY KEY)")
        connection.execute("INSERT INTO account VALUES (1), (2)")
        connection.execute(
            "ALTER TABLE session ADD COLUMN account_id int DEFAULT 1 REFERENCES account"
        )
        yield connection
        connection.execute("ALTER TABLE session DROP COLUMN account_id")
        connection.execute("DROP TABLE account")


async def test_foreign_key(eager: PostgresStore, witness: Witness, accounts: Connection) -> None:
    """A new session that waits for another table's row delays no other session."""
    keys = [await eager.generate({}) for _ in range(4)]

    async with witness.holding("SELECT FROM account WHERE id = 1 FOR UPDATE"):
        waiting = [asyncio.ensure_future(eager.generate({"n": n})) for n in range(8)]
        await asyncio.gather(*(eager.merge(key, Changes({"a": 1})) for key in keys))
        accounts.execute("ALTER TABLE session ALTER COLUMN account_id SET DEFAULT 2")
        made = await eager.generate({"other": 1})
        assert await eager.get(made) is not None

    made = await asyncio.gather(*waiting)
    assert [await witness.value(key) for key in made] == [{"n": n} for n in range(8)]


async def test_whole_table(eager: PostgresStore, witness: Witness) -> None:
    """Changes that wait for a lock on the table are made once it is released."""
    keys = [await eager.generate({}) for _ in range(20)]

    async with witness.holding("LOCK TABLE session IN EXCLUSIVE MODE"):
        waiting = [asyncio.ensure_future(eager.merge(key, Changes({"a": 1}))) for key in keys]
        assert all(await asyncio.gather(*map(eager.get, keys)))

    await asyncio.gather(*waiting)
    assert await witness.values() == [{"a": 1}] * 20


async def test_left_alone(eager: PostgresStore, witness: Witness) -> None:
    """Once no call waits any more, statements wait for rows again instead of skipping them."""
    key = await eager.generate({})

    async with witness.holding_row(key):
        leaving = asyncio.ensure_future(eager.merge(key, Changes({"a": 1})))
        await use(eager)
        leaving.cancel()

    async def is_over() -> bool:
        return not eager._here()._batches._locked_rows.waiting  # noqa: SLF001 - not seen otherwise

    await eventually(is_over)
    assert await witness.value(key) in ({}, {"a": 1})
