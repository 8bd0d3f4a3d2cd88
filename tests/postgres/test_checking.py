"""A store tells whether requests can be served now."""

import asyncio
from collections.abc import Callable

import pytest
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from pgsession import (
    MemoryStore,
    PostgresStore,
    SchemaError,
    SessionError,
    StoreBusyError,
    StoreClosedError,
    StoreRejectedError,
    StoreUnavailableError,
)
from pgsession.postgres.validation import COLUMNS

WAITING = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'session'::regclass"

#: What is done to the table, and a part of the reason.
BROKEN = [
    pytest.param("DROP TABLE session", "run `pgsession migrate`", id="no table"),
    pytest.param("ALTER TABLE session DROP device_key", "run `pgsession migrate`", id="no column"),
    pytest.param("ALTER TABLE session RENAME TO other", "run `pgsession migrate`", id="renamed"),
]


async def test_in_memory() -> None:
    """A store in memory can always serve."""
    await MemoryStore().check()


async def test_opens(database_url: str, migrated_schema: str) -> None:
    """A check opens a store that is closed, as a request does; a closed one says so."""
    store = PostgresStore(database_url, schema=migrated_schema)
    await store.check()
    assert not await store.open()

    await store.close()

    with pytest.raises(StoreClosedError):
        await store.check()


async def test_small(counted: PostgresStore, statements: list[str]) -> None:
    """A check is two statements."""
    await counted.check()

    assert len(statements) == 2


async def test_shared(counted: PostgresStore, statements: list[str]) -> None:
    """Checks at once are one, and one more caller that is cancelled ends it for none."""
    waiting = [asyncio.create_task(counted.check()) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()

    await asyncio.gather(*waiting[1:])

    assert len(statements) == 2


@pytest.mark.parametrize(("statement", "reason"), BROKEN)
async def test_broken(
    postgres: PostgresStore, table: Connection, statement: str, reason: str
) -> None:
    """A table that is gone, or lacks a column, is the reason while the store is open."""
    await postgres.check()

    table.execute(statement.encode())

    with pytest.raises(SchemaError, match=reason):
        await postgres.check()


async def test_no_privilege(database_url: str, migrated_schema: str, table: Connection) -> None:
    """A privilege that is lost is the reason, by its name, and the check succeeds with it again."""
    role = f"{migrated_schema}_reader"
    table.execute(f"CREATE ROLE {role} LOGIN".encode())
    try:
        table.execute(f"GRANT USAGE ON SCHEMA {migrated_schema} TO {role}".encode())
        table.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON session TO {role}".encode())
        options = f"-crole={role}"
        async with PostgresStore(database_url, schema=migrated_schema, options=options) as store:
            table.execute(f"REVOKE UPDATE, DELETE ON session FROM {role}".encode())
            with pytest.raises(SchemaError, match=r"GRANT UPDATE, DELETE ON .*session"):
                await store.check()

            table.execute(f"GRANT UPDATE, DELETE ON session TO {role}".encode())
            await store.check()

            table.execute(f"REVOKE INSERT, UPDATE ON session FROM {role}".encode())
            few = f"GRANT INSERT (session_key), UPDATE (session_key) ON session TO {role}"
            table.execute(few.encode())
            with pytest.raises(SchemaError, match=r"GRANT INSERT, UPDATE ON .*session"):
                await store.check()

            names = ", ".join(COLUMNS)
            all_columns = f"GRANT INSERT ({names}), UPDATE ({names}) ON session TO {role}"
            table.execute(all_columns.encode())
            await store.check()
    finally:
        table.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


async def test_read_only(database_url: str, migrated_schema: str, table: Connection) -> None:
    """A server that takes no writes is the reason, and the check succeeds once it does."""
    role = f"{migrated_schema}_writer"
    table.execute(f"CREATE ROLE {role} LOGIN SUPERUSER".encode())
    try:
        async with PostgresStore(database_url, schema=migrated_schema, user=role) as store:
            table.execute(f"ALTER ROLE {role} SET default_transaction_read_only = on".encode())
            await store.check()  # on a connection from before
            table.execute(
                b"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s",
                (role,),
            )
            with pytest.raises(StoreUnavailableError, match="takes no writes"):
                await store.check()

            table.execute(f"ALTER ROLE {role} RESET default_transaction_read_only".encode())
            async with asyncio.timeout(10):
                while not await serves(store):  # noqa: ASYNC110 - there is no event to await
                    await asyncio.sleep(0.05)
    finally:
        table.execute(f"DROP ROLE {role}".encode())


async def serves(store: PostgresStore) -> bool:
    """Tell whether a check succeeds."""
    try:
        await store.check()
    except StoreUnavailableError:
        return False
    return True


async def test_away(point: Callable[..., None], migrated_schema: str) -> None:
    """A server that cannot be reached is the reason, and the check heals by itself."""
    point(there=False)
    store = PostgresStore(service="movable", schema=migrated_schema, timeout=2)
    with pytest.raises(StoreUnavailableError, match="cannot be reached"):
        await store.check()

    point(there=True)

    await store.check()
    await store.close()


async def test_rejected(database_url: str) -> None:
    """A server that rejects the connection is a reason of its own."""
    store = PostgresStore(make_conninfo(database_url, dbname="no_such_database"))

    with pytest.raises(StoreRejectedError):
        await store.check()


async def test_waits(database_url: str, migrated_schema: str) -> None:
    """A check waits for a connection as a request does, and says if none was free in time."""
    async with PostgresStore(
        database_url, schema=migrated_schema, pool_size=1, timeout=0.5
    ) as store:
        pool = store._here().pool  # noqa: SLF001 - to hold its connection
        held = await pool.acquire()
        with pytest.raises(StoreBusyError):
            await store.check()

        checking = asyncio.create_task(store.check())
        await asyncio.sleep(0)
        pool.release(held)
        await checking


async def test_closed_meanwhile(table: Connection, postgres: PostgresStore) -> None:
    """The store is closed once a check under way is answered, and leaves no connection."""
    with table.transaction():
        table.execute("LOCK TABLE session IN ACCESS EXCLUSIVE MODE")
        checking = asyncio.create_task(postgres.check())
        while not table.execute(WAITING).fetchone():  # noqa: ASYNC110 - there is no event to await
            await asyncio.sleep(0.01)
        closing = asyncio.create_task(postgres.close())
        await asyncio.sleep(0)

    await asyncio.gather(checking, closing)


async def test_within_a_block(postgres: PostgresStore) -> None:
    """The store of an `exclusive` block can be checked until the block is over."""
    key = await postgres.generate()
    async with postgres.exclusive(key) as held:
        assert isinstance(held, PostgresStore)
        await held.check()

    with pytest.raises(SessionError, match="is over"):
        await held.check()
