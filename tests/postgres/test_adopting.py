"""Taking over sessions from before a switch, in PostgreSQL."""

import asyncio
from datetime import timedelta
from secrets import token_bytes

import pytest
from psycopg import Connection
from psycopg_pool import AsyncConnectionPool

from pgsession import Adoption, PostgresStore, StoreUnavailableError, UnknownUserError
from pgsession.core.adoption import as_adopting_store, marker_of
from pgsession.core.predecessor import Derivation
from tests.concurrency.witness import eventually
from tests.pages import count


def adoption(*, user_id: str | None = None, remembered: timedelta = timedelta(days=1)) -> Adoption:
    """Return the adoption of an old session of its own."""
    identity = token_bytes(32)
    return Adoption(
        marker=marker_of(identity),
        keys=Derivation(["a secret of the tests, of 32 bytes"], "session").keys(identity),
        content={"user": "ann"},
        remembered=remembered,
        user_id=user_id,
    )


async def test_rows(postgres: PostgresStore, table: Connection) -> None:
    """There is one row of the session and one marker, which holds nothing."""
    old = adoption()

    await asyncio.gather(*(postgres.adopt(old) for _ in range(6)))

    assert count(table) == 2
    rows = table.execute(
        "SELECT session_data, user_id, verifier, created_on = expire_date, seen_on = expire_date "
        "FROM session WHERE session_key = %s",
        (old.marker,),
    ).fetchall()
    assert rows == [(None, None, "adopted", True, True)]


async def test_processes(
    postgres: PostgresStore, database_url: str, migrated_schema: str, table: Connection
) -> None:
    """Several stores, as several processes have them, agree on one session."""
    old = adoption()
    async with PostgresStore(database_url, schema=migrated_schema, pool_size=2) as other:
        found = await asyncio.gather(*(it.adopt(old) for it in [postgres, other] * 8))

    assert {None if it is None else it[0] for it in found} == {old.keys[0]}
    assert count(table) == 2


async def test_many(counted: PostgresStore, statements: list[str], table: Connection) -> None:
    """Many first requests at once share statements, and wait for one another."""
    old = [adoption() for _ in range(300)]

    found = await asyncio.gather(*(counted.adopt(each) for each in old))

    assert [it and it[0] for it in found] == [each.keys[0] for each in old]
    assert count(table) == 600
    assert len(statements) < 100


async def test_batch(counted: PostgresStore, statements: list[str], table: Connection) -> None:
    """One that another process takes over at the same moment does not keep the others out."""
    await counted.adopt(adoption())
    others, raced = [adoption() for _ in range(3)], adoption()
    table.execute(
        "INSERT INTO session (session_key, verifier, expire_date) "
        "VALUES (%s, 'adopted', now() - interval '1h')",  # not found, and a duplicate
        (raced.marker,),
    )
    statements.clear()

    *found, none = await asyncio.gather(*(counted.adopt(each) for each in (*others, raced)))

    assert [it and it[0] for it in found] == [each.keys[0] for each in others]
    assert none is None
    assert count(table) == 9


async def test_block(postgres: PostgresStore) -> None:
    """In a block it is committed at once: a duplicate would undo the block."""
    key, old = await postgres.generate(), adoption()

    async def fail() -> None:
        async with postgres.exclusive(key) as held:
            await as_adopting_store(held).adopt(old)
            raise LookupError

    with pytest.raises(LookupError):
        await fail()

    assert await postgres.get(old.keys[0]) is not None


async def test_statements(counted: PostgresStore, statements: list[str]) -> None:
    """Once it was taken over, the old cookie alone costs one statement, and writes nothing."""
    old = adoption()
    await counted.adopt(old)
    statements.clear()

    await counted.adopt(old)
    await counted.clear(old.keys[0])
    first, *_ = statements
    statements.clear()
    await counted.adopt(old)

    assert first.lstrip().startswith("SELECT")
    assert [it.split()[0] for it in statements] == ["SELECT"]


async def test_swept(database_url: str, migrated_schema: str, table: Connection) -> None:
    """A sweep removes a marker that has expired, whatever limits sessions have, and no other."""
    async with PostgresStore(
        database_url, schema=migrated_schema, max_lifetime=1e-6, max_inactivity=1e-6
    ) as store:
        old = adoption()
        await store.adopt(old)
        await store.adopt(adoption(remembered=timedelta(seconds=-1)))

        await store.sweep()

        assert table.execute("SELECT session_key FROM session").fetchall() == [(old.marker,)]
        assert await store.adopt(old) is None


async def test_expired_marker(postgres: PostgresStore, table: Connection) -> None:
    """While a marker that has expired is still there, its session is not taken over again."""
    old = adoption(remembered=timedelta(seconds=-1))
    await postgres.adopt(old)
    await postgres.clear(old.keys[0])

    assert await postgres.adopt(old) is None
    assert count(table) == 1


async def test_held(postgres: PostgresStore, table: Connection) -> None:
    """A call waits for the transaction of another that makes the same session."""
    old = adoption()
    columns = "(session_key, verifier, expire_date)"

    async def is_waiting() -> bool:
        query = "SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
        return bool(table.execute(query).fetchall())

    with table.transaction(force_rollback=True):
        table.execute(
            f"INSERT INTO session {columns} VALUES (%s, 'adopted', now() + interval '1h')",  # noqa: S608 - constants
            (old.marker,),
        )
        waiting = asyncio.create_task(postgres.adopt(old))
        await eventually(is_waiting)

    assert await waiting is not None


async def test_unknown_user(postgres: PostgresStore, table: Connection) -> None:
    """A user whom a foreign key refuses is not signed in; others at the same moment are."""
    table.execute("CREATE TABLE account (id text PRIMARY KEY)")
    table.execute("ALTER TABLE session ADD FOREIGN KEY (user_id) REFERENCES account")

    old = [adoption(user_id="ann"), *(adoption() for _ in range(3))]

    refused, *found = await asyncio.gather(*map(postgres.adopt, old), return_exceptions=True)

    assert isinstance(refused, UnknownUserError)
    assert [it[0] for it in found if isinstance(it, tuple)] == [it.keys[0] for it in old[1:]]
    assert count(table) == 6


async def test_away(closed_port: int) -> None:
    """Without a server nothing is said about the session."""
    store = PostgresStore(host="127.0.0.1", port=closed_port)

    with pytest.raises(StoreUnavailableError):
        await store.adopt(adoption())

    await store.close()


async def test_pool_with_transactions(
    database_url: str, migrated_schema: str, table: Connection
) -> None:
    """A pool whose connections are not in autocommit takes over once too."""
    old = adoption()
    async with (
        AsyncConnectionPool(database_url, min_size=2, max_size=2, open=False) as pool,
        PostgresStore(pool, schema=migrated_schema) as store,
    ):
        found = await asyncio.gather(*(store.adopt(old) for _ in range(6)))

    assert all(found)
    assert count(table) == 2


async def test_internal_error(postgres: PostgresStore, table: Connection) -> None:
    """A failure of the database that is no duplicate is not taken for one."""
    table.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'XX000'; END$$"
    )
    table.execute("CREATE TRIGGER t BEFORE INSERT ON session FOR EACH ROW EXECUTE FUNCTION fail()")
    old = adoption()

    with pytest.raises(StoreUnavailableError, match="XX000"):
        await postgres.adopt(old)
    table.execute("ALTER TABLE session DISABLE TRIGGER t")
    table.execute(
        "INSERT INTO session (session_key, verifier, expire_date) "
        "VALUES (%s, 'adopted', now() - interval '1h')",  # not found, and there
        (old.marker,),
    )
    table.execute("ALTER TABLE session ENABLE TRIGGER t")

    assert await postgres.adopt(old) is None


async def test_duplicate_in_transactions(
    database_url: str, migrated_schema: str, table: Connection
) -> None:
    """A duplicate leaves no failed transaction on a connection that is not in autocommit."""
    old = adoption()
    table.execute(
        "INSERT INTO session (session_key, verifier, expire_date) "
        "VALUES (%s, 'adopted', now() - interval '1h')",  # not found, and a duplicate
        (old.marker,),
    )
    async with (
        AsyncConnectionPool(database_url, min_size=1, max_size=1, open=False) as pool,
        PostgresStore(pool, schema=migrated_schema) as store,
    ):
        assert await store.adopt(old) is None
        assert await store.adopt(adoption()) is not None
