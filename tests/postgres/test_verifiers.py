"""Renewals in place: the row stays, its verifier changes, and older keys open nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest
from psycopg import AsyncConnection, Connection
from psycopg.conninfo import make_conninfo

from pgsession import Changes, PostgresStore, SessionNotFoundError
from pgsession.core.keys import digest
from pgsession.postgres.statements import text
from tests.concurrency.witness import eventually

Operation: TypeAlias = Callable[[PostgresStore, str], Awaitable[object]]

#: What each call says of a dead key. None for those that say nothing.
OPERATIONS: dict[str, tuple[Operation, object]] = {
    "get": (lambda store, key: store.get(key), None),
    "newest": (lambda store, key: store.get_newest([key]), None),
    "set": (lambda store, key: store.set(key, {"eve": 1}), SessionNotFoundError),
    "merge": (lambda store, key: store.merge(key, Changes(set={"eve": 1})), SessionNotFoundError),
    "touch": (lambda store, key: store.touch(key, period=60), SessionNotFoundError),
    "renew": (lambda store, key: store.renew(key), SessionNotFoundError),
    "take": (lambda store, key: store.take(key, "user"), None),
    "rotate": (lambda store, key: store.rotate(key, 0, grace=-60), SessionNotFoundError),
    "show": (lambda store, key: store.show(key, 0), None),
    "clear": (lambda store, key: store.clear(key), True),
    "clear several": (lambda store, key: store.clear(key, key[:39]), True),
    "clear if empty": (
        lambda store, key: store.clear(key, only_if_empty=True),
        SessionNotFoundError,
    ),
}
#: Those that wait for a locked row. Reads do not, and what numbers do can be done later.
WAITING = sorted(OPERATIONS.keys() - {"get", "newest", "rotate", "show"})

operations = pytest.mark.parametrize(("operation", "said"), OPERATIONS.values(), ids=OPERATIONS)


async def outcome(call: Awaitable[object]) -> object:
    """Return what a call returns, or the class of our error."""
    try:
        return await call
    except SessionNotFoundError as error:
        return type(error)


async def content(store: PostgresStore, key: str) -> object:
    entry = await store.get(key)
    return None if entry is None else entry.value


async def row(table: Connection) -> object:
    return table.execute("SELECT session FROM session").fetchall()


@operations
@pytest.mark.parametrize("times", [1, 3])
async def test_old_key(
    postgres: PostgresStore, table: Connection, operation: Operation, said: object, times: int
) -> None:
    """A key opens nothing once it was renewed, and nothing that is done with it changes the row."""
    old = key = await postgres.generate({"user": "ann"})
    for _ in range(times):
        old, key = key, await postgres.renew(key)
    before = await row(table)

    assert await outcome(operation(postgres, old)) == said

    assert await row(table) == before
    assert await content(postgres, key) == {"user": "ann"}


@pytest.fixture(params=["at the lock", "apart"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How calls wait for a locked row: in the statement as long as it takes, or apart."""
    if request.param == "at the lock":
        monkeypatch.setattr(text, "PATIENCE", 60.0)
    return str(request.param)


@pytest.mark.parametrize(
    ("operation", "said"),
    [OPERATIONS[name] for name in WAITING],
    ids=WAITING,
)
async def test_behind_a_renewal(
    way: str,
    counted: PostgresStore,
    statements: list[str],
    table: Connection,
    *,
    operation: Operation,
    said: object,
) -> None:
    """A call that waits behind a renewal with the old key finds it dead, and changes nothing."""
    key = await counted.generate({"user": "ann"})

    async def is_waiting() -> bool:
        if way == "apart":
            return sum("SKIP LOCKED" in statement for statement in statements) > 2
        query = "SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
        return bool(table.execute(query).fetchall())

    async with counted.exclusive(key) as held:
        renewed = await held.renew(key)
        waiting = asyncio.ensure_future(outcome(operation(counted, key)))
        await eventually(is_waiting)
        assert not waiting.done()

    assert await waiting == said
    entry = await counted.get(renewed)
    assert entry is not None
    assert (entry.value, entry.granted) == ({"user": "ann"}, None)


async def test_row_stays(postgres: PostgresStore, table: Connection) -> None:
    """A renewal keeps the row, with the application's own columns."""
    table.execute("ALTER TABLE session ADD COLUMN tenant integer DEFAULT 7")
    key = await postgres.generate({"user": "ann"})
    table.execute("UPDATE session SET tenant = 8, user_id = 'ann'")

    await postgres.renew(await postgres.renew(key))

    query = "SELECT session_key, tenant, user_id FROM session"
    assert table.execute(query).fetchall() == [(digest(key), 8, "ann")]


async def test_hot(postgres: PostgresStore, table: Connection) -> None:
    """What a renewal changes is in no index."""
    await postgres.generate({"user": "ann"})
    renewal = "UPDATE session SET verifier = 'v', key_number = 0, shown_on = NULL"
    with table.transaction():
        assert table.execute(renewal).rowcount == 1
        query = "SELECT pg_stat_get_xact_tuples_hot_updated('session'::regclass)"
        assert table.execute(query).fetchone() == (1,)


async def test_deleted_by_user(
    postgres: PostgresStore, table: Connection, database_url: str, migrated_schema: str
) -> None:
    """A DELETE by user_id beside an open renewal waits for it, and then removes the session."""
    key = await postgres.generate({"user": "ann"})
    table.execute("UPDATE session SET user_id = 'ann'")
    conninfo = make_conninfo(database_url, options=f"-csearch_path={migrated_schema}")

    async with await AsyncConnection.connect(conninfo, autocommit=True) as other:
        pid = other.info.backend_pid

        async def is_waiting() -> bool:
            query = "SELECT FROM pg_locks WHERE NOT granted AND pid = %s"
            return bool(table.execute(query, (pid,)).fetchall())

        async with postgres.exclusive(key) as held:
            renewed = await held.renew(key)
            deleting = asyncio.ensure_future(
                other.execute("DELETE FROM session WHERE user_id = 'ann'")
            )
            await eventually(is_waiting)
        assert (await deleting).rowcount == 1

    assert await postgres.get(renewed) is None
    assert await row(table) == []


async def test_two_verifiers_in_one_batch(counted: PostgresStore, statements: list[str]) -> None:
    """Of edits with two keys of one session in one batch, those of the newest take effect.

    The others find their key dead, in whatever order they come.
    """
    old = await counted.generate({"user": "ann"})
    new = await counted.renew(old)
    statements.clear()
    keys = [old, new, old, new, new, old]

    results = await asyncio.gather(
        *(outcome(counted.merge(key, Changes(set={str(n): n}))) for n, key in enumerate(keys))
    )

    assert [result is SessionNotFoundError for result in results] == [key is old for key in keys]
    assert await content(counted, new) == {"user": "ann", "1": 1, "3": 3, "4": 4}


@pytest.mark.parametrize("keys", [(0, 1), (1, 0)], ids=["old first", "new first"])
async def test_reading_both(counted: PostgresStore, keys: tuple[int, int]) -> None:
    """Of two keys of one session that are read together, only the newest opens it."""
    old = await counted.generate({"user": "ann"})
    both = [old, await counted.renew(old)]

    entries = await asyncio.gather(*(counted.get(both[n]) for n in keys))

    assert [entry is not None for entry in entries] == [n == 1 for n in keys]
    found = await counted.get_newest(both)
    assert found is not None
    assert found[0] == both[1]


async def test_clearing_both(postgres: PostgresStore) -> None:
    """Of two keys of one session that are cleared together, the newest ends it."""
    old = await postgres.generate()
    new = await postgres.renew(old)

    await asyncio.gather(postgres.clear(old), postgres.clear(new))

    assert await postgres.get(new) is None


async def test_renewed_in_one_batch(counted: PostgresStore) -> None:
    """Edits before a renewal in one batch are in the session; those after it are not."""
    key = await counted.generate({})

    before, renewed, after = await asyncio.gather(
        outcome(counted.merge(key, Changes(set={"before": 1}))),
        counted.renew(key, Changes(set={"with": 1})),
        outcome(counted.merge(key, Changes(set={"after": 1}))),
    )

    assert before is not SessionNotFoundError
    assert after is SessionNotFoundError
    assert await content(counted, renewed) == {"before": 1, "with": 1}


async def test_dead_key_is_not_the_session(counted: PostgresStore, statements: list[str]) -> None:
    """That an old key is known to be dead costs no statement, and does not hide the session."""
    old = await counted.generate({"user": "ann"})
    new = await counted.renew(old)
    assert await counted.get(old) is None
    statements.clear()

    assert await counted.get(old) is None
    assert statements == []
    assert await content(counted, new) == {"user": "ann"}
    newest = await counted.renew(new)
    assert await counted.get(new) is None
    assert await content(counted, newest) == {"user": "ann"}
