"""What a role, a database or the table may set changes nothing, or is rejected."""

import asyncio
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import AsyncRawCursor, Connection, sql
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from pgsession import (
    MemoryStore,
    PostgresStore,
    SchemaError,
    SessionError,
    SettingsError,
    StoreUnavailableError,
)
from pgsession.postgres.schema import migrate
from tests.programs import pgsession

TEXT = {"text": "ü€😀"}
WEEK = timedelta(days=7)


@pytest.fixture
def role(table: Connection, migrated_schema: str) -> Iterator[str]:
    """A role that may use the table, and nothing else."""
    name = f"{migrated_schema}_web"
    quoted, schema = sql.Identifier(name), sql.Identifier(migrated_schema)
    table.execute(sql.SQL("CREATE ROLE {} LOGIN").format(quoted))
    table.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, quoted))
    table.execute(sql.SQL("GRANT ALL ON session TO {}").format(quoted))
    yield name
    table.execute(sql.SQL("DROP OWNED BY {}").format(quoted))
    table.execute(sql.SQL("DROP ROLE {}").format(quoted))


async def use(store: PostgresStore) -> None:
    """Make, read and clear a session."""
    async with store:
        key = await store.generate(TEXT)
        entry = await store.get(key)
        assert entry is not None
        assert entry.value == TEXT
        assert WEEK - timedelta(minutes=1) < entry.period <= WEEK
        await store.clear(key)
        assert await store.get(key) is None


def command(name: str, url: str, schema: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `pgsession NAME` on a schema."""
    given = {
        "SESSION_DATABASE_URL": url,
        "SESSION_SCHEMA": schema,
        "SESSION_SECRET_KEY": "s" * 32,
        **variables,
    }
    return pgsession(name, **given)


@pytest.mark.parametrize(
    ("parameter", "setting"),
    [
        ("client_encoding", "SQL_ASCII"),
        ("client_encoding", "LATIN1"),
        ("extra_float_digits", "-15"),
        ("IntervalStyle", "sql_standard"),
        ("DateStyle", "German"),
        ("TimeZone", "Asia/Kathmandu"),
        ("quote_all_identifiers", "on"),
        ("bytea_output", "escape"),
        ("lc_messages", "C"),
        ("standard_conforming_strings", "on"),
        ("search_path", "pg_catalog"),
    ],
)
async def test_role_setting(  # noqa: PLR0917 - two of these are the parameters
    table: Connection,
    database_url: str,
    migrated_schema: str,
    role: str,
    parameter: str,
    setting: str,
) -> None:
    """A store works the same, whatever its role sets, and so do the commands."""
    table.execute(
        sql.SQL("ALTER ROLE {} SET {} = {}").format(
            sql.Identifier(role), sql.Identifier(parameter), sql.Literal(setting)
        )
    )
    url = make_conninfo(database_url, user=role)

    await use(PostgresStore(url, schema=migrated_schema))

    assert command("check", url, migrated_schema).returncode == 0
    assert command("sweep", url, migrated_schema).returncode == 0
    done = command("migrate", url, migrated_schema)
    assert "permission denied" in done.stderr or done.returncode == 0


async def test_environment_encoding(
    database_url: str, migrated_schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither PGCLIENTENCODING nor the URL changes the encoding of our connections."""
    monkeypatch.setenv("PGCLIENTENCODING", "SQL_ASCII")
    await use(PostgresStore(database_url, schema=migrated_schema))

    url = make_conninfo(database_url, client_encoding="LATIN1")
    await use(PostgresStore(url, schema=migrated_schema))
    assert command("check", url, migrated_schema, PGCLIENTENCODING="LATIN1").returncode == 0


@pytest.fixture
def latin(database_url: str, schema: str) -> Iterator[str]:
    """The conninfo of a database that is not encoded in UTF-8."""
    name = sql.Identifier(schema)
    with psycopg.connect(database_url, autocommit=True) as connection:
        # PostgreSQL 14 has no other provider.
        provider = "LOCALE_PROVIDER libc" if connection.info.server_version >= 150000 else ""
        create = f"CREATE DATABASE {{}} ENCODING 'LATIN1' {provider} LOCALE 'C' TEMPLATE template0"
        connection.execute(sql.SQL(create).format(name))
    yield make_conninfo(database_url, dbname=schema)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


async def test_other_database_encoding(latin: str) -> None:
    """A database that cannot hold all text is rejected by `migrate`, `open` and `check`."""
    with pytest.raises(SchemaError, match=r"encoding LATIN1.* ENCODING 'UTF8'"):
        migrate(latin)

    store = PostgresStore(latin)
    with pytest.raises(SchemaError, match="encoding LATIN1"):
        await store.open()
    await store.close()

    done = command("check", latin, "public")
    assert done.returncode == 1
    assert "LATIN1" in done.stdout


async def test_callers_encoding(database_url: str, migrated_schema: str) -> None:
    """A caller's pool whose connections cannot hold all text is rejected when the store opens."""
    kwargs = {"client_encoding": "LATIN1"}
    async with AsyncConnectionPool(database_url, open=False, min_size=1, kwargs=kwargs) as pool:
        store = PostgresStore(pool, schema=migrated_schema)
        with pytest.raises(SettingsError, match=r"client_encoding LATIN1.* make the pool with"):
            await store.open()


async def test_raw_cursor(database_url: str, migrated_schema: str) -> None:
    """A caller's pool with cursors for other placeholders is rejected when the store opens."""
    kwargs = {"cursor_factory": AsyncRawCursor}
    async with AsyncConnectionPool(database_url, open=False, min_size=1, kwargs=kwargs) as pool:
        store = PostgresStore(pool, schema=migrated_schema)
        with pytest.raises(SettingsError, match="AsyncRawCursor"):
            await store.open()


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(None, id="None"),
        pytest.param(5, id="number"),
        pytest.param(b"postgresql://", id="bytes"),
        pytest.param({"host": "x"}, id="dict"),
        pytest.param(MemoryStore, id="class"),
        pytest.param(ConnectionPool("", open=False), id="synchronous pool"),
    ],
)
def test_odd_source(source: Any) -> None:
    """Anything but a URL, keywords or an asynchronous pool is an error that says what it is."""
    with pytest.raises(SettingsError, match="not by ") as caught:
        PostgresStore(source)

    kind = source.__name__ if isinstance(source, type) else type(source).__name__
    assert kind in str(caught.value)


POLICIES = (
    "ALTER TABLE session ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY s ON session FOR SELECT USING (true)",
    "CREATE POLICY i ON session FOR INSERT WITH CHECK (true)",
    "CREATE POLICY u ON session FOR UPDATE USING (true)",
)

SKIP = """
CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'
"""

#: What keeps the row of a session that is cleared.
KEEPERS = {
    "row security": POLICIES,
    "trigger": (
        SKIP,
        "CREATE TRIGGER keep BEFORE DELETE ON session FOR EACH ROW EXECUTE FUNCTION skip()",
    ),
    "rule": ("CREATE RULE keep AS ON DELETE TO session DO INSTEAD NOTHING",),
}


@pytest.mark.parametrize("statements", KEEPERS.values(), ids=KEEPERS)
async def test_kept_rows(
    table: Connection,
    database_url: str,
    migrated_schema: str,
    role: str,
    statements: tuple[str, ...],
) -> None:
    """What can keep the row of a logout is rejected when the store opens, and by `check`."""
    for statement in statements:
        table.execute(statement)
    url = make_conninfo(database_url, user=role)
    store = PostgresStore(url, schema=migrated_schema)

    with pytest.raises(SchemaError, match=f"{migrated_schema}.session"):
        await store.open()
    await store.close()

    assert command("check", url, migrated_schema).returncode == 1


@pytest.mark.parametrize("statements", KEEPERS.values(), ids=KEEPERS)
async def test_kept_later(
    table: Connection,
    database_url: str,
    migrated_schema: str,
    role: str,
    statements: tuple[str, ...],
) -> None:
    """A logout whose row is kept is an error, even if the keeper came after the store opened.

    The other clears of its batch are answered, unless row security may hide their rows.
    """
    url = make_conninfo(database_url, user=role)
    async with PostgresStore(url, schema=migrated_schema) as store:
        key = await store.generate(TEXT)
        gone = [await store.generate(TEXT) for _ in range(5)]
        await asyncio.gather(*map(store.clear, gone))
        for statement in statements:
            table.execute(statement)

        with pytest.raises(SchemaError, match="could not be removed"):
            await store.clear(key)
        results = await asyncio.gather(*map(store.clear, [*gone, key]), return_exceptions=True)

    if statements is POLICIES:
        assert {type(result) for result in results} == {SchemaError}
    else:
        assert results[:-1] == [True] * 5
    assert isinstance(results[-1], SchemaError)


async def test_skipped_insert(table: Connection, database_url: str, migrated_schema: str) -> None:
    """A new session whose row a trigger skips is an error, not a key."""
    async with PostgresStore(database_url, schema=migrated_schema) as store:
        table.execute(SKIP)
        table.execute(
            "CREATE TRIGGER skip BEFORE INSERT ON session FOR EACH ROW EXECUTE FUNCTION skip()"
        )
        with pytest.raises(SchemaError, match="could not be stored"):
            await store.generate(TEXT)


async def test_harmless_trigger(table: Connection, database_url: str, migrated_schema: str) -> None:
    """Triggers that cannot skip a row are no obstacle, nor is one that is disabled."""
    table.execute(SKIP)
    table.execute("CREATE TRIGGER log AFTER DELETE ON session FOR EACH ROW EXECUTE FUNCTION skip()")
    table.execute(
        "CREATE TRIGGER off BEFORE DELETE ON session FOR EACH ROW EXECUTE FUNCTION skip()"
    )
    table.execute("ALTER TABLE session DISABLE TRIGGER off")

    await use(PostgresStore(database_url, schema=migrated_schema))


async def test_required_column(table: Connection, database_url: str, migrated_schema: str) -> None:
    """A column that takes no NULL and has no default is rejected; with a default it is fine."""
    table.execute("ALTER TABLE session ADD COLUMN tenant int NOT NULL")
    store = PostgresStore(database_url, schema=migrated_schema)
    with pytest.raises(SchemaError, match="column tenant takes no NULL"):
        await store.open()
    await store.close()

    table.execute("ALTER TABLE session ALTER COLUMN tenant SET DEFAULT 1")
    await use(PostgresStore(database_url, schema=migrated_schema))


def test_unlogged(table: Connection, database_url: str, migrated_schema: str) -> None:
    """`check` says that a crash empties an unlogged table."""
    table.execute("ALTER TABLE session SET UNLOGGED")

    done = command("check", database_url, migrated_schema)

    assert done.returncode == 1
    assert "a crash empties the table" in done.stdout
    assert "SET LOGGED;" in done.stdout


FOREIGN = {
    "connect-pg-simple": "CREATE TABLE {}.session (sid varchar PRIMARY KEY, sess json NOT NULL)",
    "view": """
        CREATE VIEW {}.session AS
        SELECT 1 AS session_key, 2 AS expire_date, 3 AS session_data
    """,
}


@pytest.mark.parametrize("statement", FOREIGN.values(), ids=FOREIGN)
async def test_foreign_table(database_url: str, schema: str, statement: str) -> None:
    """A table of somebody else is left alone, and the error names two ways out."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(schema)))

        with pytest.raises(SchemaError, match=r"belongs to something else.*SESSION_TABLE"):
            migrate(database_url, schema=schema)
        store = PostgresStore(database_url, schema=schema)
        with pytest.raises(SchemaError, match=r"belongs to something else.*SESSION_SCHEMA"):
            await store.open()
        await store.close()
        count = """
            SELECT count(*)
            FROM pg_class
            WHERE relnamespace = to_regnamespace(%s)
              AND relkind IN ('r', 'v')
        """
        assert connection.execute(count, (schema,)).fetchone() == (1,)


async def test_table_of_another_name(database_url: str, schema: str) -> None:
    """Store, migrations and commands use a table of another name, beside a foreign `session`."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL(FOREIGN["connect-pg-simple"]).format(sql.Identifier(schema)))
    done = command("migrate", database_url, schema, SESSION_TABLE="web_session")
    assert "Applied 0002" in done.stdout
    assert migrate(database_url, schema=schema, table="web_session") == []

    await use(PostgresStore(database_url, schema=schema, table="web_session"))

    for name in ("check", "sweep"):
        done = command(name, database_url, schema, SESSION_TABLE="web_session")
        assert done.returncode == 0, done.stdout + done.stderr


def test_open_schema(table: Connection, database_url: str, migrated_schema: str) -> None:
    """`check` warns if every role may create in a schema of the search_path."""
    url = make_conninfo(database_url, options=f"-csearch_path={migrated_schema}")
    assert "CVE-2018-1058" not in command("check", url, migrated_schema).stdout

    table.execute(
        sql.SQL("GRANT CREATE ON SCHEMA {} TO PUBLIC").format(sql.Identifier(migrated_schema))
    )

    done = command("check", url, migrated_schema)
    assert done.returncode == 0
    assert f"every role may create functions in {migrated_schema} (CVE-2018-1058)" in done.stdout


@pytest.mark.parametrize("statements", KEEPERS.values(), ids=KEEPERS)
async def test_kept_empty(
    table: Connection,
    database_url: str,
    migrated_schema: str,
    role: str,
    statements: tuple[str, ...],
) -> None:
    """The same holds for a session that is cleared because it is empty."""
    url = make_conninfo(database_url, user=role)
    async with PostgresStore(url, schema=migrated_schema) as store:
        key = await store.generate({})
        for statement in statements:
            table.execute(statement)

        # PostgreSQL itself rejects this statement on a table with such a rule.
        with pytest.raises(SessionError, match=r"could not be removed|SQLSTATE 0A000"):
            await store.clear(key, only_if_empty=True)


async def test_hidden_later(
    table: Connection, database_url: str, migrated_schema: str, role: str
) -> None:
    """Row security that hides the row from every statement is no logout either."""
    url = make_conninfo(database_url, user=role)
    async with PostgresStore(url, schema=migrated_schema) as store:
        key = await store.generate(TEXT)
        table.execute("ALTER TABLE session ENABLE ROW LEVEL SECURITY")

        with pytest.raises(SchemaError, match="could not be removed"):
            await store.clear(key)


async def test_kept_for_a_replica(
    table: Connection, database_url: str, migrated_schema: str
) -> None:
    """A trigger that fires if session_replication_role is replica is rejected too."""
    table.execute(SKIP)
    table.execute(KEEPERS["trigger"][1])
    table.execute("ALTER TABLE session ENABLE REPLICA TRIGGER keep")

    store = PostgresStore(database_url, schema=migrated_schema)
    with pytest.raises(SchemaError, match=r"triggers .*: keep"):
        await store.open()
    await store.close()


async def test_trigger_on_a_child(
    table: Connection, database_url: str, migrated_schema: str
) -> None:
    """A trigger on a table that inherits from it, such as a partition, is rejected too."""
    table.execute(SKIP)
    table.execute("CREATE TABLE child () INHERITS (session)")
    table.execute("CREATE TRIGGER keep BEFORE DELETE ON child FOR EACH ROW EXECUTE FUNCTION skip()")

    store = PostgresStore(database_url, schema=migrated_schema)
    with pytest.raises(SchemaError, match=r"triggers .*: keep"):
        await store.open()
    await store.close()


async def test_read_only_role(
    table: Connection, database_url: str, migrated_schema: str, role: str
) -> None:
    """A role whose transactions are read-only is told from a standby."""
    table.execute(
        sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(sql.Identifier(role))
    )
    url = make_conninfo(database_url, user=role)
    store = PostgresStore(url, schema=migrated_schema)
    with pytest.raises(StoreUnavailableError, match="default_transaction_read_only is on"):
        await store.open()
    await store.close()
