"""How a store opens and closes its connections, and its errors when it cannot connect."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from threading import Thread
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from pgsession import (
    Changes,
    PostgresStore,
    SchemaError,
    SettingsError,
    StoreClosedError,
    StoreUnavailableError,
)
from pgsession.postgres.schema import migrate, migrations


async def wait_for_no_connections(table: Connection, name: str) -> None:
    """Wait until the server has noticed that the connections of this name are closed."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
    async with asyncio.timeout(20):
        while table.execute(query, (name,)).fetchone() != (0,):  # noqa: ASYNC110 - there is no event to await
            await asyncio.sleep(0.01)


async def test_keywords(database_url: str, migrated_schema: str) -> None:
    """A store is made from libpq's keywords."""
    keywords: dict[str, Any] = conninfo_to_dict(database_url)

    async with PostgresStore(**keywords, schema=migrated_schema) as store:
        key = await store.generate({"a": 1})
        assert await store.get(key) is not None


async def test_keywords_over_conninfo(database_url: str, migrated_schema: str) -> None:
    """Keywords take precedence over the conninfo string."""
    options = f"-csearch_path={migrated_schema}"

    async with PostgresStore(database_url, options=options) as store:
        assert await store.get(await store.generate()) is not None


async def test_url(database_url: str, migrated_schema: str) -> None:
    """A store is made from a URL."""
    given = {name: str(value) for name, value in conninfo_to_dict(database_url).items()}
    query = "&".join(f"{name}={value.replace('/', '%2F')}" for name, value in given.items())

    async with PostgresStore(f"postgresql://?{query}", schema=migrated_schema) as store:
        assert await store.get(await store.generate()) is not None


async def test_search_path(table: Connection, database_url: str, migrated_schema: str) -> None:
    """Without a schema the search_path decides where the table is."""
    url = make_conninfo(database_url, options=f"-csearch_path={migrated_schema}")

    async with PostgresStore(url) as store:
        await store.generate()

    assert table.execute("SELECT count(*) FROM session").fetchone() == (1,)


@pytest.mark.parametrize(
    "kwargs",
    [
        pytest.param({"autocommit": True}, id="autocommit"),
        pytest.param({}, id="transactions"),
        pytest.param({"autocommit": True, "row_factory": dict_row}, id="dict_row"),
        pytest.param({"prepare_threshold": None}, id="nothing prepared"),
    ],
)
async def test_pool(database_url: str, migrated_schema: str, kwargs: dict[str, Any]) -> None:
    """A store accepts a caller's pool with any connection settings."""
    async with AsyncConnectionPool(database_url, kwargs=kwargs, min_size=1, open=False) as pool:
        store = PostgresStore(pool, schema=migrated_schema)

        key = await store.generate({"a": 1})
        await store.merge(key, Changes(set={"b": 2}))
        key = await store.renew(key)

        entry = await store.get(key)
        assert entry is not None
        assert entry.value == {"a": 1, "b": 2}
        assert await store.clear(key)


async def test_pool_commits(database_url: str, migrated_schema: str, table: Connection) -> None:
    """Over a pool without autocommit each operation is committed when it returns."""
    async with AsyncConnectionPool(database_url, min_size=1, open=False) as pool:
        store = PostgresStore(pool, schema=migrated_schema)

        await store.generate()

        assert table.execute("SELECT count(*) FROM session").fetchone() == (1,)


async def test_shared_pool(database_url: str, migrated_schema: str) -> None:
    """Two stores over one pool each have their own default period."""
    async with AsyncConnectionPool(database_url, min_size=1, open=False) as pool:
        one = PostgresStore(pool, schema=migrated_schema, default_period=60)
        other = PostgresStore(pool, schema=migrated_schema)

        entry = await other.get(await one.generate())

        assert entry is not None
        assert entry.period <= timedelta(seconds=60)
        assert other.default_period == timedelta(days=7)


async def test_open_pool_stays_open(database_url: str, migrated_schema: str) -> None:
    """A pool that was open stays open when the store closes."""
    async with AsyncConnectionPool(database_url, min_size=1, open=False) as pool:
        async with PostgresStore(pool, schema=migrated_schema) as store:
            await store.generate()

        assert not pool.closed
        async with pool.connection() as connection:
            await connection.execute("SELECT 1")


async def test_closed_pool(database_url: str, migrated_schema: str) -> None:
    """A pool that was closed is opened and closed with the store."""
    pool = AsyncConnectionPool(database_url, min_size=1, open=False)

    async with PostgresStore(pool, schema=migrated_schema) as store:
        await store.generate()
        assert not pool.closed

    assert pool.closed


async def test_ended_connections(
    postgres: PostgresStore, end_connections: Callable[[], None]
) -> None:
    """When the server ends all connections, a few calls fail, and later calls succeed."""
    key = await postgres.generate({"a": 1})
    end_connections()

    failures = 0
    entry = None
    while entry is None:
        try:
            entry = await postgres.get(key)
        except StoreUnavailableError:
            failures += 1
        assert failures <= 2  # one for each connection

    assert entry.value == {"a": 1}


@pytest.mark.parametrize(
    ("source", "keywords"),
    [
        pytest.param("", {"pasword": "s3cret"}, id="unknown keyword"),
        pytest.param("", {"dbname": "postgresql://ann:s3cret@127.0.0.1/app"}, id="URL as dbname"),
        pytest.param("host=127.0.0.1 password='s3cret", {}, id="torn quotes"),
        pytest.param("host=127.0.0.1 pasword=s3cret", {}, id="unknown word"),
        pytest.param("s3cret", {}, id="no conninfo"),
        pytest.param("mysql://ann:s3cret@127.0.0.1/app", {}, id="another database"),
        pytest.param("postgresql://ann:s3cret%@127.0.0.1/app", {}, id="bad escape"),
        pytest.param("postgresql://ann:oh@s3cret@127.0.0.1/app", {}, id="bare @ in the password"),
        pytest.param("postgresql://ann:oh/s3cret@127.0.0.1/app", {}, id="bare / in the password"),
        pytest.param("postgresql://:s3cret/@127.0.0.1/app", {}, id="no user, bare /"),
        pytest.param("postgresql://ann:oh@s3cret/x@127.0.0.1/app", {}, id="bare @ before bare /"),
        pytest.param("postgresql://ann:oh@s3cret:5/x@127.0.0.1/app", {}, id="@, : and / in it"),
        pytest.param("postgresql://ann:oh@s3cret?x@127.0.0.1/app", {}, id="bare @ before bare ?"),
        pytest.param("postgresql://ann:oh@s3cret#x@127.0.0.1/app", {}, id="bare @ before bare #"),
        pytest.param(
            "postgresql+psycopg://ann:oh@s3cret/x?user=y@127.0.0.1/app", {}, id="@, / and ? in it"
        ),
        pytest.param("host=127.0.0.1 password=s3cret port=x", {}, id="bad port"),
        pytest.param("host=127.0.0.1 password=s3cret connect_timeout=x", {}, id="bad timeout"),
    ],
)
def test_wrong_conninfo(source: str, keywords: dict[str, str]) -> None:
    """An unusable conninfo is rejected at once, and the error quotes no part of it."""
    with pytest.raises(SettingsError) as caught:
        PostgresStore(source, **keywords)  # type: ignore[arg-type]  # other keywords have types

    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_unknown_keyword_named() -> None:
    """The error for an unknown keyword names it."""
    with pytest.raises(SettingsError, match="databse"):
        PostgresStore(databse="app")


def test_pool_with_keywords() -> None:
    """A pool has its own conninfo, so keywords beside it are rejected."""
    pool = AsyncConnectionPool("", open=False)

    with pytest.raises(SettingsError, match="host"):
        PostgresStore(pool, host="127.0.0.1")


def test_repr() -> None:
    """The repr of a store shows nothing of its conninfo."""
    assert "s3cret" not in repr(PostgresStore(host="127.0.0.1", password="s3cret"))


async def test_unreachable(closed_port: int, caplog: pytest.LogCaptureFixture) -> None:
    """The error for an unreachable server gives the reason, and never shows the password."""
    caplog.set_level(logging.DEBUG)
    store = PostgresStore(f"postgresql://ann:s3cret@127.0.0.1:{closed_port}/app")

    with pytest.raises(StoreUnavailableError, match="refused") as caught:
        await store.open()

    told = f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"
    assert "s3cret" not in told
    assert "\n" not in str(caught.value)


async def test_wrong_database(database_url: str) -> None:
    """The error for a database that does not exist names the database."""
    store = PostgresStore(make_conninfo(database_url, dbname="pgsession_no_such_database"))

    with pytest.raises(StoreUnavailableError, match="pgsession_no_such_database"):
        await store.open()


async def test_opens_later(migrated_schema: str, point: Callable[..., None]) -> None:
    """A store that could not be opened opens once the server is reachable."""
    point(there=False)
    store = PostgresStore(service="movable", schema=migrated_schema)
    with pytest.raises(StoreUnavailableError):
        await store.open()
    with pytest.raises(StoreUnavailableError):
        await store.get("unknown")

    point(there=True)

    assert await store.get(await store.generate()) is not None
    await store.close()


async def test_migrated_later(database_url: str, schema: str) -> None:
    """A store that found no table opens once the migrations are applied."""
    store = PostgresStore(database_url, schema=schema)
    with pytest.raises(SchemaError):
        await store.generate()

    migrate(database_url, schema=schema)

    await store.generate()
    await store.close()


async def test_shared_attempt() -> None:
    """Callers that wait for the same connection attempt share its failure; no second attempt is
    made.
    """
    attempts = []

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        attempts.append(writer)
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        store = PostgresStore(host="127.0.0.1", port=port, sslmode="disable", gssencmode="disable")
        outcomes = await asyncio.gather(
            *(store.get("unknown") for _ in range(20)), return_exceptions=True
        )

    assert {type(outcome) for outcome in outcomes} == {StoreUnavailableError}
    assert len(attempts) == 1


async def test_closed_while_opening(
    database_url: str, migrated_schema: str, table: Connection
) -> None:
    """A store that is closed while it is being opened stays closed."""
    url = make_conninfo(database_url, application_name=migrated_schema)
    store = PostgresStore(url, schema=migrated_schema)
    opening = asyncio.ensure_future(store.open())
    await asyncio.sleep(0)  # it has begun

    await store.close()

    with pytest.raises(StoreClosedError):
        await opening
    with pytest.raises(StoreClosedError):
        await store.get("unknown")
    await wait_for_no_connections(table, migrated_schema)


@pytest.mark.parametrize(
    ("statement", "remedy"),
    [
        pytest.param("DROP TABLE session", "pgsession migrate", id="no table"),
        pytest.param(
            "ALTER TABLE session DROP COLUMN device_key", "pgsession migrate", id="older version"
        ),
        pytest.param(
            "ALTER TABLE session DROP COLUMN period", "period; add it as interval", id="no column"
        ),
        pytest.param(
            "ALTER TABLE session ALTER expire_date TYPE timestamp",
            "make it timestamptz",
            id="wrong type",
        ),
        pytest.param(
            "ALTER TABLE session DROP CONSTRAINT session_pkey",
            "session_key is not the primary key",
            id="no primary key",
        ),
    ],
)
async def test_wrong_table(
    database_url: str, migrated_schema: str, table: Connection, statement: str, remedy: str
) -> None:
    """The error for an unusable table names the remedy."""
    table.execute(statement.encode())
    store = PostgresStore(database_url, schema=migrated_schema)

    with pytest.raises(SchemaError, match=remedy):
        await store.open()


async def test_wrong_table_of_pool(database_url: str, schema: str) -> None:
    """The table is checked through the caller's pool too."""
    async with AsyncConnectionPool(database_url, min_size=1, open=False) as pool:
        with pytest.raises(SchemaError, match="pgsession migrate"):
            await PostgresStore(pool, schema=schema).open()


async def test_seed_table(database_url: str, schema: str) -> None:
    """The error for a table that only migration 0001 has made names the remedy."""
    url = make_conninfo(database_url, options=f"-csearch_path={schema}")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(migrations()[0].sql.encode())

    with pytest.raises(SchemaError, match="pgsession migrate"):
        await PostgresStore(url).open()


async def test_own_columns(database_url: str, migrated_schema: str, table: Connection) -> None:
    """A table with additional columns of the application is accepted."""
    table.execute("ALTER TABLE session ADD COLUMN tenant integer DEFAULT 7")

    async with PostgresStore(database_url, schema=migrated_schema) as store:
        await store.generate()


async def test_open_twice(database_url: str, migrated_schema: str) -> None:
    """`open` returns whether the store was closed; opening twice is allowed."""
    store = PostgresStore(database_url, schema=migrated_schema)

    assert await store.open()
    assert not await store.open()
    await store.close()


async def test_close_twice(database_url: str, migrated_schema: str) -> None:
    """Closing twice is allowed, and so is closing a store that was never opened."""
    store = PostgresStore(database_url, schema=migrated_schema)

    await store.close()
    await store.open()
    await store.close()
    await store.close()


async def test_opens_itself(database_url: str, migrated_schema: str, table: Connection) -> None:
    """A store opens on first use, and only once when many calls come at the same time."""
    url = make_conninfo(database_url, application_name=migrated_schema)
    store = PostgresStore(url, schema=migrated_schema, pool_size=1)

    await asyncio.gather(*(store.generate() for _ in range(10)))

    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
    assert table.execute(query, (migrated_schema,)).fetchone() == (1,)
    await store.close()


async def test_closed(database_url: str, migrated_schema: str) -> None:
    """A closed store raises `StoreClosedError` instead of opening again."""
    store = PostgresStore(database_url, schema=migrated_schema)
    await store.open()
    await store.close()

    with pytest.raises(StoreClosedError):
        await store.get("unknown")


async def test_closes_connections(
    database_url: str, migrated_schema: str, table: Connection
) -> None:
    """A closed store leaves no connection open."""
    url = make_conninfo(database_url, application_name=migrated_schema)
    async with PostgresStore(url, schema=migrated_schema) as store:
        await asyncio.gather(*(store.generate() for _ in range(20)))

    await wait_for_no_connections(table, migrated_schema)


async def test_reopened(database_url: str, migrated_schema: str) -> None:
    """A closed store can be opened again."""
    store = PostgresStore(database_url, schema=migrated_schema)
    await store.open()
    key = await store.generate({"a": 1})
    await store.close()

    assert await store.open()

    assert await store.get(key) is not None
    await store.close()


async def test_closed_for_good(database_url: str, migrated_schema: str) -> None:
    """A caller's pool that was closed cannot be opened again; `open` raises `StoreClosedError`."""
    store = PostgresStore(
        AsyncConnectionPool(database_url, min_size=1, open=False), schema=migrated_schema
    )
    await store.open()
    await store.close()

    with pytest.raises(StoreClosedError):
        await store.open()


async def test_pool_closed_beneath(database_url: str, migrated_schema: str) -> None:
    """A store whose pool the caller has closed raises `StoreClosedError`."""
    async with AsyncConnectionPool(database_url, min_size=1, open=False) as pool:
        store = PostgresStore(pool, schema=migrated_schema)
        await store.open()

    with pytest.raises(StoreClosedError):
        await store.get("unknown")


async def test_other_loop(database_url: str, migrated_schema: str) -> None:
    """A store that is open in one running event loop cannot be used in another."""
    async with PostgresStore(database_url, schema=migrated_schema) as store:

        def elsewhere() -> None:
            asyncio.run(store.get("unknown"))

        with pytest.raises(StoreClosedError, match="another event loop"):
            await asyncio.to_thread(elsewhere)

        assert await store.get("unknown") is None


def test_ended_loop(database_url: str, migrated_schema: str) -> None:
    """A store whose event loop has ended opens in the next event loop."""
    store = PostgresStore(database_url, schema=migrated_schema)

    key = asyncio.run(store.generate({"a": 1}))

    async def look() -> object:
        try:
            return await store.get(key)
        finally:
            await store.close()

    assert asyncio.run(look()) is not None


def test_connecting_in_ended_loop(database_url: str, migrated_schema: str) -> None:
    """An event loop can end while the pool of an open store is connecting."""
    store = PostgresStore(database_url, schema=migrated_schema)

    async def crowd() -> None:
        await store.generate()
        await asyncio.gather(store.generate(), store.get("unknown"), store.clear("unknown"))

    async def leave() -> None:
        async with store:
            pass

    def visit_often() -> None:
        for _ in range(5):
            asyncio.run(crowd())
        asyncio.run(leave())

    visitor = Thread(target=visit_often, daemon=True)
    visitor.start()
    visitor.join(20)
    assert not visitor.is_alive()


def test_closed_in_ended_loop(database_url: str, migrated_schema: str) -> None:
    """A store that was closed before its event loop ended opens in the next event loop."""
    store = PostgresStore(database_url, schema=migrated_schema)

    async def visit() -> None:
        async with store:
            await store.generate()

    asyncio.run(visit())
    asyncio.run(visit())


async def test_caller_connection_left_clean(database_url: str, migrated_schema: str) -> None:
    """A connection returns to the caller's pool without an open transaction."""
    async with AsyncConnectionPool(database_url, min_size=1, max_size=1, open=False) as pool:
        store = PostgresStore(pool, schema=migrated_schema)
        await store.get(await store.generate())

        async with pool.connection() as connection:
            status = connection.info.transaction_status
    assert status.name == "IDLE"


FORKING = """
import asyncio
import subprocess
import sys
import os
import sys

from pgsession import PostgresStore, StoreClosedError

store = PostgresStore(sys.argv[1], schema=sys.argv[2])
loop = asyncio.new_event_loop()
loop.run_until_complete(store.open())
child = os.fork()
if child == 0:
    try:
        asyncio.run(store.get("key"))
    except StoreClosedError as error:
        os._exit(7 if "forked" in str(error) else 8)
    os._exit(9)
_, status = os.waitpid(child, 0)
assert loop.run_until_complete(store.get("key")) is None
loop.run_until_complete(store.close())
loop.close()
print(os.waitstatus_to_exitcode(status))
"""


def test_forked(database_url: str, migrated_schema: str) -> None:
    """A process forked after the store was opened gets an error; its parent is not affected."""
    done = subprocess.run(
        [sys.executable, "-c", FORKING, database_url, migrated_schema],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "7\n"), done.stderr
