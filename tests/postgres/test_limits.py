"""A limit that is shortened holds for the sessions that live, in every statement."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeAlias

import pytest
from psycopg import Connection

from pgsession import Changes, PostgresStore, SessionNotFoundError
from pgsession.core.keys import digest

HOUR = timedelta(hours=1)

Operation: TypeAlias = Callable[[PostgresStore, str], Awaitable[object]]


async def held(store: PostgresStore, key: str, operation: Operation) -> object:
    async with store.exclusive(key) as held:
        return await operation(held, key)  # type: ignore[arg-type]  # the same methods


WRITES: dict[str, Operation] = {
    "set": lambda store, key: store.set(key, {"eve": 1}),
    "merge": lambda store, key: store.merge(key, Changes(set={"eve": 1})),
    "extend": lambda store, key: store.merge(key, Changes(), period=60, granted=True),
    "touch": lambda store, key: store.touch(key),
    "renew": lambda store, key: store.renew(key, period=60),
    "rotate": lambda store, key: store.rotate(key, 0, grace=-60),
    "clear if empty": lambda store, key: store.clear(key, only_if_empty=True),
    "held touch": lambda store, key: held(store, key, WRITES["touch"]),
    "held renew": lambda store, key: held(store, key, WRITES["renew"]),
}
READS: dict[str, Operation] = {
    "get": lambda store, key: store.get(key),
    "newest": lambda store, key: store.get_newest([key]),
    "take": lambda store, key: store.take(key, "user"),
    "show": lambda store, key: store.show(key, 0),
    "held get": lambda store, key: held(store, key, READS["get"]),
    "held take": lambda store, key: held(store, key, READS["take"]),
}
#: Two hours old: generated then, or last extended then.
AGES = {
    "max_lifetime": "UPDATE session SET created_on = created_on - interval '2 hours'",
    "max_inactivity": "UPDATE session SET seen_on = seen_on - interval '2 hours'",
}
limits = pytest.mark.parametrize("limit", AGES)


@pytest.fixture
async def aged(postgres: PostgresStore, table: Connection, limit: str) -> str:
    """The key of a session in use for thirty days that was granted, and is two hours old."""
    key = await postgres.generate({"user": "ann"}, period=timedelta(days=30), granted=True)
    table.execute(AGES[limit].encode())
    await postgres.merge(key, Changes(set={"n": 1}))  # extends nothing
    return key


@pytest.fixture
async def limited(
    database_url: str, migrated_schema: str, limit: str
) -> AsyncIterator[PostgresStore]:
    """A store with a limit of an hour."""
    settings: dict[str, Any] = {limit: HOUR, "sweep_every": None}
    async with PostgresStore(database_url, schema=migrated_schema, **settings) as store:
        yield store


def rows(table: Connection) -> object:
    return table.execute("SELECT session FROM session").fetchall()


@limits
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_written(
    limited: PostgresStore, aged: str, table: Connection, write: Operation
) -> None:
    """A session that is past the limit is not found by any write, and not changed."""
    before = rows(table)

    with pytest.raises(SessionNotFoundError):
        await write(limited, aged)

    assert rows(table) == before


@limits
@pytest.mark.parametrize("read", READS.values(), ids=READS)
async def test_read(limited: PostgresStore, aged: str, table: Connection, read: Operation) -> None:
    """A session that is past the limit cannot be read, and nothing can be taken from it."""
    before = rows(table)

    assert await read(limited, aged) is None

    assert rows(table) == before


@limits
async def test_swept(limited: PostgresStore, aged: str, table: Connection) -> None:
    """A session that is past the limit is swept, and no other."""
    living = await limited.generate({"user": "bob"})

    assert (await limited.sweep()).rows == 1

    query = "SELECT session_key FROM session"
    assert table.execute(query).fetchall() == [(digest(living),)]
    assert await limited.get(aged) is None


@limits
async def test_cleared(limited: PostgresStore, aged: str, table: Connection) -> None:
    """A session that is past the limit can be cleared."""
    assert await limited.clear(aged)

    assert rows(table) == []


@limits
async def test_within(
    limited: PostgresStore, postgres: PostgresStore, aged: str, table: Connection, limit: str
) -> None:
    """A session within the limit is told how much of it is left; without one, the other lives."""
    assert await postgres.get(aged) is not None
    key = await postgres.generate({}, period=timedelta(days=30), granted=True)
    half = AGES[limit].replace("2 hours", "30 minutes") + " WHERE session_key = %s"
    table.execute(half.encode(), (digest(key),))

    entry = await limited.get(key)

    assert entry is not None
    assert entry.period == pytest.approx(HOUR / 2, abs=timedelta(seconds=20))
    await limited.touch(key)
    entry = await limited.get(key)
    assert entry is not None
    left = HOUR if limit == "max_inactivity" else HOUR / 2
    assert entry.period == pytest.approx(left, abs=timedelta(seconds=20))


async def test_activity(postgres: PostgresStore, table: Connection) -> None:
    """Only what extends the expiry counts as activity."""
    key = await postgres.generate({})
    seen = "SELECT seen_on, expire_date FROM session"
    before = table.execute(seen).fetchall()

    await postgres.merge(key, Changes(set={"n": 1}))
    key = await postgres.renew(key)
    await postgres.take(key, "n")
    await postgres.show(key, 0)
    await postgres.rotate(key, 0, grace=-60)
    assert table.execute(seen).fetchall() == before

    await postgres.touch(key)
    [(after, _)] = table.execute(seen).fetchall()
    assert after > before[0][0]
