"""What is specific to the PostgreSQL store: statements and rows."""

import hashlib
import logging
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeAlias

import psycopg
import pytest
from psycopg import AsyncConnection, Connection
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool

from pgsession import Changes, PostgresStore
from pgsession.postgres.connections.connection import OwnConnection
from pgsession.postgres.schema import migrate

Operation: TypeAlias = Callable[[PostgresStore, str], Awaitable[object]]

OPERATIONS: dict[str, Operation] = {
    "generate": lambda store, _key: store.generate({"a": 1}),
    "get": lambda store, key: store.get(key),
    "get unknown": lambda store, _key: store.get("unknown"),
    "set": lambda store, key: store.set(key, {"a": 2}),
    "merge": lambda store, key: store.merge(key, Changes(set={"b": 2}, removed=["a"]), period=60),
    "touch": lambda store, key: store.touch(key),
    "renew": lambda store, key: store.renew(key, Changes(set={"b": 2}), period=60),
    "clear": lambda store, key: store.clear(key),
    "clear if empty": lambda store, key: store.clear(key, only_if_empty=True),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
async def test_one_statement(
    counted: PostgresStore, statements: list[str], operation: Operation
) -> None:
    """Each operation is one statement."""
    key = await counted.generate({"a": 1})
    statements.clear()

    await operation(counted, key)

    assert len(statements) == 1


async def test_no_key_in_table(postgres: PostgresStore, table: Connection) -> None:
    """The table holds the digests of both parts of a key, and the parts themselves nowhere."""
    key = await postgres.renew(await postgres.generate({"user": "ann"}, granted=True))

    query = "SELECT session_key, verifier, session::text FROM session"
    (row,) = table.execute(query).fetchall()

    parts = key.split(".")
    digests = [hashlib.sha256(part.encode()).digest()[:30] for part in parts]
    assert list(row[:2]) == [urlsafe_b64encode(digest).decode() for digest in digests]
    assert not any(part in row[2] for part in parts)


async def test_digest_is_no_key(postgres: PostgresStore, table: Connection) -> None:
    """A digest read from the table cannot be used as a key."""
    await postgres.generate({"user": "ann"})

    ((digest,),) = table.execute("SELECT session_key FROM session").fetchall()

    assert await postgres.get(digest) is None


@pytest.mark.parametrize("blank", [" ", "  ", "\t", "\n", "\u00a0"], ids=repr)
async def test_blanks(postgres: PostgresStore, blank: str) -> None:
    """A key has one spelling: with blanks around it, it is another, unknown key."""
    key = await postgres.generate({"user": "ann"})

    assert await postgres.get(key + blank) is None
    assert await postgres.get(blank + key) is None
    await postgres.clear(key + blank)
    assert await postgres.get(key) is not None


@pytest.mark.parametrize("expiry", ["infinity", "10000-01-01", "294276-12-31"])
async def test_far_expiry(postgres: PostgresStore, table: Connection, expiry: str) -> None:
    """A row whose expiry is too far for a `datetime` loads, with a period of a century."""
    key = await postgres.generate({"user": "ann"})
    table.execute("UPDATE session SET expire_date = %s::timestamptz", (expiry,))

    entry = await postgres.get(key)

    assert entry is not None
    assert entry.value == {"user": "ann"}
    assert entry.period == timedelta(days=36_525)


@pytest.mark.parametrize("expiry", ["-infinity", "4713-01-01 BC", "now"])
async def test_past_expiry(postgres: PostgresStore, table: Connection, expiry: str) -> None:
    """A row is not found from the instant of its expiry on."""
    key = await postgres.generate({"user": "ann"})
    table.execute("UPDATE session SET expire_date = %s::timestamptz", (expiry,))

    assert await postgres.get(key) is None


@pytest.mark.parametrize(
    ("created", "lives"),
    [
        pytest.param("infinity", True, id="infinity"),
        pytest.param("294276-12-31", True, id="far future"),
        pytest.param("4713-01-01 BC", False, id="far past"),
        pytest.param("-infinity", False, id="-infinity"),
    ],
)
async def test_far_creation(
    postgres: PostgresStore, database_url: str, table: Connection, created: str, lives: bool
) -> None:
    """A row whose creation date, as an application has set it, is too far for a `datetime` loads.

    A limit of the lifetime holds for it too.
    """
    key = await postgres.generate({"user": "ann"})
    table.execute("UPDATE session SET created_on = %s::timestamptz", (created,))
    [(schema,)] = table.execute("SELECT current_schema").fetchall()

    entry = await postgres.get(key)
    async with PostgresStore(database_url, schema=schema, max_lifetime=3600) as limited:
        limited_entry = await limited.get(key)

    assert entry is not None
    assert entry.value == {"user": "ann"}
    assert (limited_entry is not None) == lives


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param('{"n": ' + "9" * 5000 + "}", id="integer of 5000 digits"),
        pytest.param('{"n": ' + "9" * 400 + ".5}", id="float beyond Python's"),
        # Python 3.13 reads some 10,000 levels, older versions a tenth of that.
        pytest.param('{"n": ' + "[" * 14_000 + "]" * 14_000 + "}", id="too deep"),
    ],
)
async def test_unreadable_value(
    postgres: PostgresStore, table: Connection, caplog: pytest.LogCaptureFixture, stored: str
) -> None:
    """A stored value that Python cannot represent is logged and not found; its row is kept."""
    key = await postgres.generate({"user": "ann"})
    table.execute("UPDATE session SET session_data = %s::jsonb", (stored,))

    assert await postgres.get(key) is None

    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "cannot be read" in record.message
    assert record.exc_info is None
    assert table.execute("SELECT session_data->'n' IS NOT NULL FROM session").fetchall() == [
        (True,)
    ]


async def test_database_clock(postgres: PostgresStore, table: Connection) -> None:
    """Creation and expiry are set by the database's clock."""
    await postgres.generate(period=3600)

    query = "SELECT created_on <= now(), expire_date - created_on FROM session"
    assert table.execute(query).fetchall() == [(True, timedelta(hours=1))]


async def test_renew_keeps_row(postgres: PostgresStore, table: Connection) -> None:
    """A renewal keeps the creation date and the user: a session cannot change them."""
    key = await postgres.generate({"a": 1})
    table.execute("UPDATE session SET created_on = '2020-02-02 UTC', user_id = 'ann'")

    await postgres.renew(key)

    query = "SELECT created_on = '2020-02-02 UTC', user_id FROM session"
    assert table.execute(query).fetchall() == [(True, "ann")]


@pytest.mark.parametrize(
    ("prepared", "number"),
    [
        pytest.param(None, 1, id="default"),
        pytest.param(True, 1, id="on"),
        pytest.param(False, 0, id="off"),
    ],
)
async def test_prepared(
    database_url: str, migrated_schema: str, prepared: bool | None, number: int
) -> None:
    """On a direct connection statements are prepared at once, unless `prepared` is False."""
    kwargs = {"autocommit": True}
    pool = AsyncConnectionPool(database_url, kwargs=kwargs, min_size=1, max_size=1, open=False)
    async with PostgresStore(pool, schema=migrated_schema, prepared=prepared) as store:
        for _ in range(10):
            await store.get("unknown")

        async with pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%session_data%'"
            )
            assert await cursor.fetchone() == (number,)


@pytest.mark.parametrize("connection_class", [AsyncConnection, OwnConnection])
async def test_astray(
    database_url: str,
    migrated_schema: str,
    caplog: pytest.LogCaptureFixture,
    connection_class: type[AsyncConnection],
) -> None:
    """If a prepared statement disappears, the call is retried, and no more are prepared."""
    pool = AsyncConnectionPool(
        database_url,
        connection_class=connection_class,
        kwargs={"autocommit": True},
        min_size=1,
        max_size=1,
        open=False,
    )
    async with PostgresStore(pool, schema=migrated_schema) as store:
        key = await store.generate({"n": 0})
        await store.merge(key, Changes(set={"n": 1}))
        async with pool.connection() as connection:
            connection.pgconn.exec_(b"DEALLOCATE ALL")  # unseen by psycopg, as by a pooler

        await store.merge(key, Changes(set={"n": 2}))

        entry = await store.get(key)
        assert entry is not None
        assert entry.value == {"n": 2}
        assert caplog.text.count("statements are not prepared any more") == 1

        await store.login_states(["k"])  # on its own connection, of the pool too
        async with pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%login_number%'"
            )
            assert await cursor.fetchone() == (0,)


SEED = """
CREATE TABLE session (
  session_key   char(40),
  expire_date   timestamp (2) with time zone,
  session_data  text
);
"""


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("0123456789abcdefghijklmnopqrstuvwxyzABCD", id="alphanumeric"),
        pytest.param("Zm9v+YmFy/0123456789abcdefghijklmnopqrst", id="base64"),
        pytest.param("Zm9v-YmFy_0123456789abcdefghijklmnopqrst", id="url-safe"),
        pytest.param("a3f1", id="short"),
    ],
)
async def test_adopted(database_url: str, schema: str, key: str) -> None:
    """A session of an older application is found under the key in its cookie."""
    url = make_conninfo(database_url, options=f"-csearch_path={schema}")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SEED)
        connection.execute(
            "INSERT INTO session VALUES (%s, now() + interval '1 hour', %s)",
            (key, '{"user": "ann"}'),
        )
    migrate(url)

    async with PostgresStore(url) as store:
        entry = await store.get(key)

    assert entry is not None
    assert entry.value == {"user": "ann"}
    assert timedelta(minutes=59) < entry.period <= timedelta(hours=1)
