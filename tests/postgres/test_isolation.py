"""Unusual calls and settings of one caller do not affect other callers."""

import asyncio
import copy
import pickle
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg_pool import AsyncConnectionPool

from pgsession import (
    Changes,
    InvalidValueError,
    MemoryStore,
    PostgresStore,
    SchemaError,
    Session,
    SessionBusyError,
    SessionNotFoundError,
    Store,
)
from pgsession.core.keys import digest
from pgsession.core.store import Written
from pgsession.postgres.schema import migrate


async def test_held_row(database_url: str, migrated_schema: str, table: Connection) -> None:
    """A row that another transaction holds delays no call of another session."""
    async with PostgresStore(database_url, schema=migrated_schema, timeout=1) as store:
        keys = [await store.generate() for _ in range(20)]
        with table.transaction():
            table.execute(
                "SELECT FROM session WHERE session_key = %s FOR UPDATE", (digest(keys[0]),)
            )
            held = [asyncio.create_task(store.touch(keys[0])) for _ in range(2)]
            await asyncio.sleep(0)
            others = [asyncio.create_task(store.touch(key)) for key in keys[1:]]
            async with asyncio.timeout(20):
                refused = await asyncio.gather(*held, return_exceptions=True)
                await asyncio.gather(*others)
            assert [type(error) for error in refused] == [SessionBusyError] * 2
            await store.touch(keys[1])
        await store.touch(keys[0])


@pytest.mark.parametrize("store_of", [MemoryStore, None], ids=["memory", "postgres"])
async def test_ended_in_the_same_breath(
    counted: PostgresStore, store_of: Callable[[], Store] | None
) -> None:
    """A call after a touch that ends the session does not find it, even in the same batch."""
    store = counted if store_of is None else store_of()
    key = await store.generate({"a": 1})

    results = await asyncio.gather(
        store.touch(key, period=0),
        store.merge(key, Changes(set={"b": 1}), period=3600),
        return_exceptions=True,
    )

    assert isinstance(results[0], Written)
    assert isinstance(results[1], SessionNotFoundError)
    assert await store.get(key) is None


@pytest.mark.parametrize(
    "name",
    ["\0", "\ud800", 1, None, b"a", object()],
    ids=["NUL", "surrogate", "number", "None", "bytes", "object"],
)
@pytest.mark.parametrize("store_of", [MemoryStore, None], ids=["memory", "postgres"])
async def test_odd_removal(
    counted: PostgresStore, store_of: Callable[[], Store] | None, name: Any
) -> None:
    """A name that no member can have is rejected before any SQL runs, for its caller alone."""
    store = counted if store_of is None else store_of()
    keys = [await store.generate({"a": 1}) for _ in range(2)]

    results = await asyncio.gather(
        store.merge(keys[0], Changes(removed=[name])),
        store.merge(keys[1], Changes(removed=["a"])),
        return_exceptions=True,
    )

    assert isinstance(results[0], InvalidValueError)
    assert isinstance(results[1], Written)


async def test_percent_in_schema(database_url: str, schema: str) -> None:
    """A schema can have any name."""
    name = f"{schema} 100%s %%(a)s"
    migrate(database_url, schema=name)
    try:
        async with PostgresStore(database_url, schema=name) as store:
            key = await store.generate({"a": 1})
            entry = await store.get(key)
            assert entry is not None
            assert entry.value == {"a": 1}
    finally:
        with psycopg.connect(database_url, autocommit=True) as connection:
            quoted = name.replace('"', '""')
            connection.execute(f'DROP SCHEMA "{quoted}" CASCADE'.encode())


async def test_no_value_in_context(counted: PostgresStore, table: Connection) -> None:
    """Inside `exclusive` too, no error carries the driver's error, which quotes the row."""
    table.execute("ALTER TABLE session ADD CHECK (NOT session_data ? 'poison') NOT VALID")
    key = await counted.generate()

    with pytest.raises(SchemaError) as caught:
        async with counted.exclusive(key) as held:
            await held.merge(key, Changes(set={"poison": "s3cret"}))

    error: BaseException | None = caught.value
    while error is not None:
        assert "s3cret" not in str(error)
        error = error.__cause__ or error.__context__


async def test_always_prepared(database_url: str, migrated_schema: str) -> None:
    """`exclusive` works with a caller's pool that prepares all statements."""
    async with (
        AsyncConnectionPool(
            database_url, open=False, kwargs={"autocommit": True, "prepare_threshold": 0}
        ) as pool,
        PostgresStore(pool, schema=migrated_schema) as store,
    ):
        key = await store.generate({"n": 0})
        async with store.exclusive(key) as held:
            await held.set(key, {"n": 1})

        entry = await store.get(key)
        assert entry is not None
        assert entry.value == {"n": 1}


@pytest.mark.parametrize("isolation", ["serializable", "repeatable read"])
async def test_strict_isolation(database_url: str, migrated_schema: str, isolation: str) -> None:
    """The store's transactions are READ COMMITTED even if the role's default is stricter."""
    options = f"-cdefault_transaction_isolation={isolation.replace(' ', chr(92) + ' ')}"
    stores = [
        PostgresStore(database_url, schema=migrated_schema, options=options) for _ in range(2)
    ]
    key = await stores[0].generate()

    await asyncio.gather(*(stores[n % 2].merge(key, Changes(set={str(n): n})) for n in range(40)))

    entry = await stores[0].get(key)
    assert entry is not None
    assert entry.value == {str(n): n for n in range(40)}
    for store in stores:
        await store.close()


def test_copies() -> None:
    """A copy or a pickle of a session is a plain dict; only the session belongs to the request."""
    session = Session()
    session["list"] = [1]

    for copied in (copy.copy(session), copy.deepcopy(session), pickle.loads(pickle.dumps(session))):  # noqa: S301 - our own
        assert type(copied) is dict
        assert copied == {"list": [1]}
