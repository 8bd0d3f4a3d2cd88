"""A row that another transaction holds delays the calls of its own session, and no others."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import TypeAlias

import pytest
from psycopg import Connection, connect
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool

from pgsession import (
    Changes,
    Login,
    PostgresStore,
    SessionBusyError,
    SessionNotFoundError,
    StoreBusyError,
)
from pgsession.core.keys import digest
from pgsession.postgres.connections.locks import lock_number
from tests.concurrency.witness import eventually

#: Whether somebody waits for an advisory lock.
WAITING = """
SELECT FROM pg_locks
WHERE locktype = 'advisory' AND NOT granted AND objid = (%s & 4294967295)::oid
"""

Operation: TypeAlias = Callable[[PostgresStore, str], Awaitable[object]]

#: Everything that waits for a locked row.
WRITES: dict[str, Operation] = {
    "set": lambda store, key: store.set(key, {"set": 1}),
    "merge": lambda store, key: store.merge(key, Changes(set={"m": 1})),
    "touch": lambda store, key: store.touch(key, period=60),
    "renew": lambda store, key: store.renew(key, Changes(set={"m": 1})),
    "login": lambda store, key: store.login(key, Login("ann"), Changes(set={"m": 1})),
    "confirm": lambda store, key: store.confirm(key),
    "logout": lambda store, key: store.logout(key, 0),
    "take": lambda store, key: store.take(key, "n"),
    "clear": lambda store, key: store.clear(key),
    "clear several": lambda store, key: store.clear(key, key[:39]),
    "clear if empty": lambda store, key: store.clear(key, only_if_empty=True),
}
#: What does not wait: it reads, makes a row of its own, or can be done later.
OTHERS: dict[str, Operation] = {
    "get": lambda store, key: store.get(key),
    "newest": lambda store, key: store.get_newest([key]),
    "generate": lambda store, _: store.generate({"n": 1}),
    "login": lambda store, _: store.login(None, Login("ann"), Changes()),
    "retired": lambda store, key: store.is_retired(key),
    "devices": lambda store, _: store.devices("ann"),
    "rotate": lambda store, key: store.rotate(key, 0, grace=-60),
    "show": lambda store, key: store.show(key, 0),
}
writes = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


class Holder:
    """Another transaction, which holds rows until it is released."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def hold(self, *keys: str, strength: str = "FOR UPDATE") -> None:
        query = f"SELECT FROM session WHERE session_key = ANY (%s) {strength}"
        held = self._connection.execute(query.encode(), ([digest(key) for key in keys],))
        assert held.rowcount == len(keys)

    def execute(self, statement: str, *arguments: object) -> None:
        self._connection.execute(statement.encode(), arguments)

    def release(self) -> None:
        self._connection.commit()

    def give_up(self) -> None:
        self._connection.rollback()


@pytest.fixture
def make_holder(database_url: str, migrated_schema: str) -> Iterator[Callable[[], Holder]]:
    conninfo = make_conninfo(database_url, options=f"-csearch_path={migrated_schema}")
    with ExitStack() as stack:

        def make() -> Holder:
            connection = stack.enter_context(connect(conninfo))
            stack.callback(connection.rollback)
            return Holder(connection)

        yield make


@pytest.fixture
def holder(make_holder: Callable[[], Holder]) -> Holder:
    return make_holder()


@pytest.fixture
async def brief(database_url: str, migrated_schema: str) -> AsyncIterator[PostgresStore]:
    """A store whose calls time out soon."""
    async with PostgresStore(database_url, schema=migrated_schema, timeout=0.5) as store:
        yield store


async def use_others(store: PostgresStore) -> None:
    """Make sessions and change them, as other requests do."""
    keys = [await store.generate() for _ in range(3)]
    await asyncio.gather(*map(store.touch, keys))


def skips(statements: list[str]) -> int:
    return sum("SKIP LOCKED" in statement for statement in statements)


@writes
async def test_answered_after_release(
    counted: PostgresStore, statements: list[str], holder: Holder, write: Operation
) -> None:
    """A call of a held session waits, is asked again, and gets its answer after the release."""
    key = await counted.generate({"n": 1})
    holder.hold(key)
    waiting = asyncio.ensure_future(write(counted, key))

    async def is_asked_again() -> bool:
        return skips(statements) > 3

    await eventually(is_asked_again)
    assert not waiting.done()
    holder.release()

    assert await waiting is not None  # each of them says something of a session that lives


@writes
async def test_times_out(brief: PostgresStore, holder: Holder, write: Operation) -> None:
    """A call whose row stays held gets `StoreBusyError`, and has changed nothing."""
    key = await brief.generate({"n": 1})
    holder.hold(key)

    with pytest.raises(StoreBusyError):
        await write(brief, key)

    holder.release()
    entry = await brief.get(key)
    assert entry is not None
    assert entry.value == {"n": 1}


@pytest.mark.parametrize("name", ["merge", "login", "logout", "clear"])
async def test_times_out_in_a_block(brief: PostgresStore, holder: Holder, name: str) -> None:
    """In an `exclusive` block, a row that stays held is a busy session, and no outage."""
    key = await brief.generate({"n": 1})
    holder.hold(key)

    async def write() -> None:
        async with brief.exclusive(key) as held:
            assert isinstance(held, PostgresStore)
            await WRITES[name](held, key)

    with pytest.raises(SessionBusyError, match="Another transaction held") as caught:
        await write()

    assert type(caught.value) is SessionBusyError
    holder.release()
    entry = await brief.get(key)
    assert entry is not None
    assert entry.value == {"n": 1}


async def test_times_out_after_a_wait(
    brief: PostgresStore, table: Connection, holder: Holder, make_holder: Callable[[], Holder]
) -> None:
    """So it is in a block that has waited for the lock of its session before."""
    key, other = await brief.generate({"n": 1}), make_holder()
    number = lock_number(digest(key))
    other.execute("SELECT pg_advisory_xact_lock(%s)", number)
    holder.hold(key)

    async def merge() -> None:
        async with brief.exclusive(key, timeout=20) as held:
            await held.merge(key, Changes(set={"m": 1}))

    async def is_waiting() -> bool:
        return table.execute(WAITING, (number,)).fetchone() is not None

    waiting = asyncio.create_task(merge())
    await eventually(is_waiting)
    other.release()

    with pytest.raises(SessionBusyError, match="Another transaction held"):
        await waiting


@pytest.mark.parametrize("count", [1, 2, 20])
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_others_go_on(
    counted: PostgresStore, holder: Holder, write: Operation, count: int
) -> None:
    """While rows are held, each call of another session is answered, in any number of batches."""
    held, *keys = [await counted.generate({"n": 1}) for _ in range(1 + count)]
    more = [await counted.generate({"n": 1}) for _ in range(count)]
    holder.hold(held)
    waiting = [asyncio.ensure_future(each(counted, held)) for each in WRITES.values()]

    async with asyncio.timeout(20):
        await asyncio.gather(*(write(counted, key) for key in keys))
        for other in OTHERS.values():
            await asyncio.gather(*(other(counted, key) for key in (held, *more)))

    assert not any(each.done() for each in waiting)
    holder.release()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_table_held(counted: PostgresStore, statements: list[str], holder: Holder) -> None:
    """A lone call does not wait long in a statement either, whatever holds it up."""
    key = await counted.generate({"n": 1})
    holder.execute("LOCK TABLE session IN SHARE MODE")
    waiting = asyncio.ensure_future(counted.touch(key))

    async def is_asked_again() -> bool:
        return skips(statements) > 0

    await eventually(is_asked_again)
    assert not waiting.done()
    holder.release()
    await waiting


async def test_many_end_soon(counted: PostgresStore, statements: list[str]) -> None:
    """Sessions that end soon are extended together, in a few statements."""
    keys = [await counted.generate({"n": 1}, period=0.9) for _ in range(30)]
    statements.clear()

    await asyncio.gather(*map(counted.touch, keys))

    assert len(statements) <= 9  # three for each batch; the first two calls leave alone


async def test_held_in_every_batch(counted: PostgresStore, holder: Holder) -> None:
    """Calls of many held sessions wait beside each other, and hold no connection meanwhile."""
    keys = [await counted.generate({"n": n, "kept": 1}) for n in range(40)]
    holder.hold(*keys[:30])
    waiting = [
        asyncio.ensure_future(each(counted, key))
        for each in (WRITES["take"], WRITES["merge"], WRITES["clear if empty"])
        for key in keys[:30]
    ]

    async with asyncio.timeout(20):
        for _ in range(3):
            await asyncio.gather(*(counted.touch(key) for key in keys[30:]))
            assert await counted.take(keys[30], "none") is None
    assert not any(each.done() for each in waiting)
    holder.release()

    answers = await asyncio.gather(*waiting)
    assert answers[:30] == list(range(30))
    assert answers[60:] == [False] * 30


async def test_none_behind_another(
    counted: PostgresStore, make_holder: Callable[[], Holder]
) -> None:
    """A session that is free again gets its answer while others are still held."""
    keys = [await counted.generate({"n": n}) for n in range(3)]
    holders = [make_holder() for _ in keys]
    for holder, key in zip(holders, keys, strict=True):
        holder.hold(key)
    waiting = [asyncio.ensure_future(counted.take(key, "n")) for key in keys]

    async with asyncio.timeout(20):
        for n in (2, 0, 1):
            assert not waiting[n].done()
            holders[n].release()
            assert await waiting[n] == n


@pytest.mark.parametrize("end", ["UPDATE session SET expire_date = now()", "DELETE FROM session"])
@writes
async def test_ended_by_the_holder(
    counted: PostgresStore, holder: Holder, write: Operation, end: str
) -> None:
    """A call of a held session finds it dead once the transaction that ends it has committed."""
    key = await counted.generate({"n": 1})
    holder.execute(f"{end} WHERE session_key = %s", digest(key))
    waiting = asyncio.ensure_future(write(counted, key))
    async with asyncio.timeout(20):
        await use_others(counted)
        assert await counted.get(key) is not None
    assert not waiting.done()

    holder.release()

    answer = (await asyncio.gather(waiting, return_exceptions=True))[0]
    assert answer in (None, True) or isinstance(answer, SessionNotFoundError)
    assert await counted.get(key) is None


@writes
async def test_not_ended_after_all(
    counted: PostgresStore, holder: Holder, write: Operation
) -> None:
    """A call of a session whose DELETE is rolled back gets its answer."""
    key = await counted.generate({"n": 1})
    holder.execute("DELETE FROM session WHERE session_key = %s", digest(key))
    waiting = asyncio.ensure_future(write(counted, key))
    async with asyncio.timeout(20):
        await use_others(counted)
    assert not waiting.done()

    holder.give_up()

    assert await waiting is not None


async def test_in_order(counted: PostgresStore, holder: Holder) -> None:
    """Merges of a held session are applied in the order of their calls."""
    key = await counted.generate({})
    holder.hold(key)
    waiting = [
        asyncio.ensure_future(counted.merge(key, Changes(set={"n": n, str(n): n})))
        for n in range(5)
    ]
    await use_others(counted)
    holder.release()
    await asyncio.gather(*waiting)

    entry = await counted.get(key)
    assert entry is not None
    assert entry.value == {"n": 4, **{str(n): n for n in range(5)}}


@pytest.mark.parametrize("write", [WRITES["clear"], WRITES["clear if empty"]])
async def test_referenced(
    counted: PostgresStore, table: Connection, holder: Holder, write: Operation
) -> None:
    """A row that a transaction only refers to is left to changes; its removal waits."""
    table.execute("CREATE TABLE child (session_key text REFERENCES session ON DELETE CASCADE)")
    key, *keys = [await counted.generate({}) for _ in range(4)]
    holder.execute("INSERT INTO child VALUES (%s)", digest(key))

    async with asyncio.timeout(20):
        await counted.merge(key, Changes(set={"m": 1}))
        await counted.merge(key, Changes(removed={"m"}))
        removing = asyncio.ensure_future(write(counted, key))
        await asyncio.gather(*(write(counted, other) for other in keys))
    assert not removing.done()
    holder.release()

    assert await removing is True
    assert table.execute("SELECT FROM child").fetchall() == []


async def test_foreign_key(counted: PostgresStore, table: Connection, holder: Holder) -> None:
    """A new session that waits for a row of another table delays no other new session."""
    table.execute("CREATE TABLE account (id bigint PRIMARY KEY)")
    table.execute("INSERT INTO account VALUES (1), (2)")
    table.execute(
        "ALTER TABLE session ADD COLUMN account_id bigint REFERENCES account "
        "GENERATED ALWAYS AS ((session_data ->> 'account')::bigint) STORED"
    )
    holder.execute("SELECT FROM account WHERE id = 1 FOR UPDATE")

    waiting = [asyncio.ensure_future(counted.generate({"account": 1})) for _ in range(3)]
    async with asyncio.timeout(20):
        keys = await asyncio.gather(*(counted.generate({"account": 2}) for _ in range(20)))
        keys += await asyncio.gather(*(counted.generate() for _ in range(20)))
        await asyncio.gather(*(counted.touch(key) for key in keys))
    assert not any(each.done() for each in waiting)
    holder.release()
    keys += await asyncio.gather(*waiting)

    assert all(await asyncio.gather(*map(counted.get, keys)))
    [(count,)] = table.execute("SELECT count(*) FROM session").fetchall()
    assert count == 43


@pytest.mark.parametrize("limit", [0, 5], ids=["without a limit", "with a short limit"])
async def test_limit_of_the_role(
    database_url: str, migrated_schema: str, holder: Holder, limit: int
) -> None:
    """A lock_timeout of the role's or the database's neither counts nor changes."""
    options = f"-clock_timeout={limit}"
    kwargs = {"autocommit": True, "options": options}
    pool = AsyncConnectionPool(database_url, kwargs=kwargs, min_size=1, max_size=1, open=False)
    async with PostgresStore(pool, schema=migrated_schema) as store:
        key = await store.generate({"n": 1})
        holder.hold(key)
        waiting = asyncio.ensure_future(store.touch(key))
        async with asyncio.timeout(20):
            await store.touch(await store.generate())
        assert not waiting.done()
        async with pool.connection() as connection:
            shown = await (await connection.execute("SHOW lock_timeout")).fetchone()
        assert shown == (f"{limit}ms" if limit else "0",)
        holder.release()
        await waiting
