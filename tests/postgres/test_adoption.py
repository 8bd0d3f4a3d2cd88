"""An existing application's table is migrated in place, without losing a valid session."""

import base64
import hashlib
from collections.abc import Iterator
from datetime import timedelta
from typing import LiteralString

import psycopg
import pytest
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from pgsession.postgres.schema import migrate, migrations

SEED = """
CREATE TABLE IF NOT EXISTS session (
  session_key   char(40),
  expire_date   timestamp (2) with time zone,
  session_data  text
);
CREATE INDEX session_key_idx ON session (session_key);
"""

CREATED = """
CREATE TABLE session (
  session_key   char(40),
  created_on    timestamp (2) with time zone DEFAULT NOW(),
  expire_date   timestamp (2) with time zone,
  session_data  text
);
CREATE INDEX session_key_idx ON session (session_key);
"""

VARIED = """
CREATE TABLE session (
  id            serial PRIMARY KEY,
  session_key   varchar(64) NOT NULL UNIQUE DEFAULT 'none',
  session_data  varchar NOT NULL DEFAULT '{}',
  expire_date   timestamptz NOT NULL DEFAULT now(),
  tenant        integer DEFAULT 7
);
CREATE INDEX by_key ON session (session_key);
CREATE INDEX session_tenant_idx ON session (tenant);
"""

JSONB = """
CREATE TABLE session (
  session_key   text PRIMARY KEY,
  session_data  jsonb DEFAULT '{}',
  expire_date   timestamptz
);
"""

JSON = "CREATE TABLE session (session_key text, session_data json, expire_date timestamptz);"

KEY = "Zm9v+YmFy/0123456789abcdefghijklmnopqrst"
TOO_DEEP = '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"


def digest(key: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()[:30]).decode()


@pytest.fixture
def database(database_url: str, schema: str) -> Iterator[Connection]:
    options = f"-csearch_path={schema}"
    with psycopg.connect(database_url, options=options, autocommit=True) as connection:
        yield connection


@pytest.fixture
def url(database_url: str, schema: str) -> str:
    return make_conninfo(database_url, options=f"-csearch_path={schema}")


def add(
    database: Connection, key: str | None, data: str | None, expiry: str | None = "1 h"
) -> None:
    database.execute(
        "INSERT INTO session (session_key, session_data, expire_date)"
        " VALUES (%s, %s, now() + %s::interval)",
        (key, data, expiry),
    )


def rows(database: Connection) -> dict[str, object]:
    return dict(database.execute("SELECT session_key, session_data FROM session").fetchall())


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(SEED, id="seed"),
        pytest.param(CREATED, id="created_on"),
        pytest.param(VARIED, id="varied"),
        pytest.param(JSONB, id="jsonb"),
        pytest.param(JSON, id="json"),
    ],
)
def test_any_variant(database: Connection, url: str, table: LiteralString) -> None:
    """A valid session is found by its key's digest, whatever the old column types were."""
    database.execute(table)
    add(database, KEY, '{"user": "ann", "cart": [1]}')

    assert migrate(url) == [each.name for each in migrations()]

    assert rows(database) == {digest(KEY): {"user": "ann", "cart": [1]}}


@pytest.mark.parametrize(
    ("stored", "value"),
    [
        pytest.param('{"a": {"b": [1, null, "é"]}}', {"a": {"b": [1, None, "é"]}}, id="object"),
        pytest.param(' \n\t{"a": 1} ', {"a": 1}, id="object in blanks"),
        pytest.param("{}", {}, id="empty object"),
        pytest.param(None, None, id="null"),
    ],
)
def test_kept_values(
    database: Connection, url: str, stored: str | None, value: dict[str, object] | None
) -> None:
    """A JSON object becomes the value, and NULL stays NULL."""
    database.execute(SEED)
    add(database, KEY, stored)

    migrate(url)

    assert rows(database) == {digest(KEY): value}


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param("", id="empty"),
        pytest.param("user=ann;é", id="no JSON"),
        pytest.param('{"user": "ann"', id="torn JSON"),
        pytest.param("[1, 2]", id="array"),
        pytest.param('"ann"', id="string"),
        pytest.param("17", id="number"),
        pytest.param("null", id="JSON null"),
        pytest.param(r'{"a": "\u0000"}', id="NUL"),
        pytest.param(r'{"a": "\ud800"}', id="lone surrogate"),
        pytest.param('{"a": 1e9999999}', id="vast number"),
        pytest.param(TOO_DEEP, id="too deep"),
    ],
)
def test_wrapped_values(database: Connection, url: str, stored: str) -> None:
    """Text that jsonb cannot store as an object is kept unchanged, wrapped in an object."""
    database.execute(SEED)
    add(database, KEY, stored)

    migrate(url)

    assert rows(database) == {digest(KEY): {"session_data": stored}}


def test_value_is_object(database: Connection, url: str) -> None:
    """After the migration, a check constraint rejects a value that is not an object."""
    migrate(url)

    with pytest.raises(psycopg.errors.CheckViolation, match="session_data_is_object"):
        add(database, "k", "[]")


@pytest.mark.parametrize(
    ("copies", "kept"),
    [
        pytest.param([("old", "1 h"), ("new", "2 h")], "new", id="latest expiry"),
        pytest.param([("alive", "1 h"), ("expired", "-1 h")], "alive", id="expired copy"),
        pytest.param([("forever", None), ("new", "2 h")], "forever", id="no expiry is latest"),
        pytest.param([("data", "1 h"), (None, "1 h")], "data", id="tie: data"),
        pytest.param([("first", "1 h"), ("last", "1 h")], "last", id="tie: later row"),
    ],
)
def test_duplicates(
    database: Connection, url: str, copies: list[tuple[str | None, str | None]], kept: str
) -> None:
    """Of several rows with the same key, the unexpired one with the latest expiry is kept."""
    database.execute(SEED)
    with database.transaction():  # now() is the same in all rows
        for data, expiry in copies:
            add(database, KEY, data, expiry)

    migrate(url)

    assert rows(database) == {digest(KEY): {"session_data": kept}}


def test_trailing_blanks(database: Connection, url: str) -> None:
    """Keys that differ only in trailing blanks are the same key, as in char(40)."""
    database.execute(JSON)
    add(database, KEY, '{"a": 1}', "1 h")
    add(database, KEY + "  ", '{"a": 2}', "2 h")

    migrate(url)

    assert rows(database) == {digest(KEY): {"a": 2}}


def test_unreachable_rows(database: Connection, url: str) -> None:
    """Expired rows and rows without a key are removed, because no request can find them."""
    database.execute(SEED)
    add(database, "expired", "{}", "-1 s")
    add(database, None, "{}")
    add(database, KEY, "{}")

    migrate(url)

    assert rows(database) == {digest(KEY): {}}


@pytest.mark.parametrize("expiry", [None, "infinity", "20000-01-01"])
def test_never_expiring(database: Connection, url: str, expiry: str | None) -> None:
    """A session without an expiry, or with one too far away, expires seven days from now."""
    database.execute(SEED)
    database.execute("INSERT INTO session VALUES (%s, %s, '{}')", (KEY, expiry))

    migrate(url)

    left = database.execute("SELECT expire_date - now() FROM session").fetchall()
    assert timedelta(days=7) - timedelta(minutes=1) < left[0][0] <= timedelta(days=7)


def test_expiry_kept(database: Connection, url: str) -> None:
    """An existing expiry is kept exactly."""
    database.execute(SEED)
    add(database, KEY, "{}", "3 days")
    before = database.execute("SELECT expire_date FROM session").fetchall()

    migrate(url)

    assert database.execute("SELECT expire_date FROM session").fetchall() == before


def test_creation_kept(database: Connection, url: str) -> None:
    """A row's creation date is kept; a row without one gets the current time."""
    database.execute(CREATED)
    add(database, "known", '{"known": true}')
    add(database, "unknown", '{"known": false}')
    database.execute("UPDATE session SET created_on = '2020-02-02 UTC' WHERE session_key = 'known'")
    database.execute("UPDATE session SET created_on = NULL WHERE session_key = 'unknown'")

    migrate(url)

    found = database.execute("""
        SELECT session_data ->> 'known', created_on = '2020-02-02 UTC', now() - created_on < '1 min'
        FROM session ORDER BY 1
    """).fetchall()
    assert found == [("false", False, True), ("true", True, False)]


def test_own_columns_kept(database: Connection, url: str) -> None:
    """The application's own columns and indexes are kept, with their values and defaults."""
    database.execute(VARIED)
    add(database, KEY, "{}")

    migrate(url)
    database.execute("INSERT INTO session (session_key, expire_date) VALUES ('k', now())")

    found = database.execute("SELECT id, tenant FROM session ORDER BY id").fetchall()
    assert found == [(1, 7), (2, 7)]


OURS = {
    "session_pkey",
    "session_key_hash_idx",
    "session_user_id_idx",
    "session_client_idx",
}


@pytest.mark.parametrize(
    ("table", "indexes"),
    [
        pytest.param(SEED, OURS, id="seed"),
        pytest.param(VARIED, {*OURS, "session_tenant_idx"}, id="varied"),
    ],
)
def test_one_key_index(
    database: Connection, url: str, schema: str, table: LiteralString, indexes: set[str]
) -> None:
    """The primary key and a hash index replace all older indexes on the key."""
    database.execute(table)

    migrate(url)

    query = "SELECT indexname FROM pg_indexes WHERE tablename = 'session' AND schemaname = %s"
    assert {name for (name,) in database.execute(query, (schema,))} == indexes


def test_updates_stay_hot(database: Connection, url: str) -> None:
    """Extending the expiry of an adopted session updates no index."""
    database.execute(SEED)
    add(database, KEY, "{}")
    migrate(url)

    with database.transaction():
        database.execute("UPDATE session SET expire_date = now() + interval '1 day'")
        query = "SELECT pg_stat_get_xact_tuples_hot_updated('session'::regclass)"
        assert database.execute(query).fetchone() == (1,)
