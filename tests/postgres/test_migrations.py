"""Migrations are applied once, completely, by one process, and never over a newer version."""

import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import AsyncConnection, Connection, sql
from psycopg.conninfo import make_conninfo

from pgsession.errors import SchemaError, SettingsError, StoreUnavailableError
from pgsession.postgres.schema import Migration, migrate, migrations
from pgsession.postgres.table_name import TableName
from pgsession.postgres.validation import validate
from tests.dumps import dumped
from tests.migrating import (
    SEED,
    TIMEOUT,
    backends,
    contents,
    recorded,
    search,
    start,
    wait_until,
)

ALL = [each.name for each in migrations()]
FIRST, SECOND, THIRD, FOURTH, FIFTH, SIXTH, SEVENTH, *_ = migrations()

#: The columns that a migration adds, and how many were applied before.
ADDED = {
    "user_id": 1,
    **dict.fromkeys(["verifier", "key_number", "shown_on", "seen_on", "size_bound"], 2),
    **dict.fromkeys(["login_number", "login_on", "login_stamp", "login_label"], 3),
    **dict.fromkeys(["login_actor", "login_client", "renewed_on"], 3),
    **dict.fromkeys(["device_key", "device_registered_on", "device_proved_on"], 4),
}


@pytest.fixture
def database(database_url: str, schema: str) -> Iterator[Connection]:
    with psycopg.connect(search(database_url, schema), autocommit=True) as connection:
        yield connection


@pytest.fixture
def other(database_url: str, schema: str) -> Iterator[Connection]:
    """A second connection to hold locks with; it commits nothing."""
    with psycopg.connect(search(database_url, schema)) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        with process:
            process.kill()


def test_empty_database(database: Connection, database_url: str, schema: str) -> None:
    """An empty schema gets all migrations in order, and a second run applies none."""
    assert migrate(database_url, schema=schema) == ALL
    assert migrate(database_url, schema=schema) == []
    assert recorded(database) == ALL


@pytest.mark.skipif(
    "SESSION_DATABASE_URL" in os.environ, reason="there the tests' schemas are migrated themselves"
)
def test_schema_of_the_tests(
    schema_connection: Connection, database_url: str, migrated_schema: str
) -> None:
    """The schemas of the other tests, which a dump makes, contain what `migrate` makes."""
    name = f"{migrated_schema}_too"
    migrate(database_url, schema=name)
    try:
        dumps = [dumped(database_url, it).replace(f"{it}.", "") for it in (name, migrated_schema)]
    finally:
        schema_connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))

    made, copied = (re.sub(r"'[\d-]{10} [^']+'", "the time", each) for each in dumps)
    assert "CREATE TABLE session (" in made
    assert copied == made


def test_missing_schema(database: Connection, database_url: str, schema: str) -> None:
    """A missing schema is created, even if its name must be quoted."""
    strange = f'{schema} "é"'
    try:
        assert migrate(database_url, schema=strange) == ALL
        assert migrate(database_url, schema=strange) == []
    finally:
        quoted = psycopg.sql.Identifier(strange)
        database.execute(psycopg.sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(quoted))


def test_search_path(database: Connection, database_url: str, schema: str) -> None:
    """Without a schema, the search_path decides."""
    assert migrate(search(database_url, schema)) == ALL
    assert recorded(database) == ALL


def test_no_schema_at_all(database_url: str) -> None:
    """A search_path without an existing schema is a SchemaError."""
    with pytest.raises(SchemaError, match="no schema has been selected"):
        migrate(search(database_url, "no_such_schema"))


def test_strict_isolation(database_url: str, schema: str) -> None:
    """A database whose default isolation is serializable can be migrated."""
    url = make_conninfo(database_url, options="-cdefault_transaction_isolation=serializable")

    assert migrate(url, schema=schema) == ALL


@pytest.mark.parametrize("migration", migrations(), ids=lambda migration: migration.name)
def test_file_run_twice(
    database: Connection, database_url: str, schema: str, migration: Migration
) -> None:
    """A file that is run a second time by hand fails on its own record and changes nothing."""
    database.execute(SEED)
    migrate(database_url, schema=schema)
    before = contents(database)

    with pytest.raises(psycopg.errors.UniqueViolation, match="session_migration"):
        database.execute(migration.sql.encode())
    database.rollback()

    assert contents(database) == before
    assert recorded(database) == ALL


def test_files_by_hand(database: Connection, database_url: str, schema: str) -> None:
    """The runner skips files that were run by hand."""
    database.execute(FIRST.sql.encode())
    assert migrate(database_url, schema=schema) == ALL[1:]


def test_newer_database(database: Connection, database_url: str, schema: str) -> None:
    """A database that a newer version has migrated is not changed."""
    database.execute(FIRST.sql.encode())
    database.execute("INSERT INTO session_migration VALUES ('9999_from_the_future')")

    with pytest.raises(SchemaError, match=r"9999_from_the_future.*Install the newer version"):
        migrate(database_url, schema=schema)

    assert recorded(database) == ["0001_session", "9999_from_the_future"]


@pytest.mark.parametrize(
    ("column", "applied"),
    [(name, ALL[:count]) for name, count in ADDED.items()],
    ids=ADDED,
)
def test_failure_changes_nothing(
    database: Connection, database_url: str, schema: str, column: str, applied: list[str]
) -> None:
    """A migration that fails is rolled back completely, and the error says why."""
    database.execute(SEED)
    for migration in migrations()[: len(applied)]:
        database.execute(migration.sql.encode())
    database.execute(f"ALTER TABLE session ADD COLUMN {column} integer".encode())
    before = contents(database)

    with pytest.raises(SchemaError, match=f'changed nothing: column "{column}".*already exists'):
        migrate(database_url, schema=schema)

    assert contents(database) == before
    assert recorded(database) == applied


def test_verifier(database: Connection, database_url: str, schema: str) -> None:
    """Sessions from before have no verifier, and count as extended when the column was added."""
    database.execute(SEED)
    for migration in (FIRST, SECOND):
        database.execute(migration.sql.encode())
    database.execute("UPDATE session SET created_on = created_on - interval '9 days'")
    [(before,)] = database.execute("SELECT now()").fetchall()

    migrate(database_url, schema=schema)

    [row] = database.execute(
        "SELECT verifier, key_number, shown_on, size_bound, seen_on BETWEEN %s AND now() "
        "FROM session",
        (before,),
    ).fetchall()
    assert row == (None, 0, None, None, True)


def test_users(database: Connection, database_url: str, schema: str) -> None:
    """Code of the third migration runs on the fourth, where nobody has signed in yet."""
    database.execute(SEED)
    for migration in (FIRST, SECOND, THIRD):
        database.execute(migration.sql.encode())

    assert migrate(database_url, schema=schema) == ALL[3:]

    [row] = database.execute(
        "SELECT login_number, login_on, login_client, renewed_on FROM session"
    ).fetchall()
    assert row == (0, None, None, None)
    [(older,)] = database.execute(
        "SELECT older_code FROM session_migration WHERE name = %s", (FOURTH.name,)
    ).fetchall()
    assert older == "may run"


#: The file of the table, and how the column of the values and what is stored in it are compressed.
STORED = """
SELECT c.relfilenode, a.attstorage, a.attcompression,
    coalesce('toast_tuple_target=2712' = ANY (c.reloptions), false),
    (SELECT pg_column_compression(session_data) FROM session)
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'session_data'
WHERE c.oid = 'session'::regclass
"""

#: The storage of the column, its compression, whether rows are kept whole, that of a large value.
LZ4 = ("x", "l", False, "lz4")
AS_IT_IS = ("e", "", True, None)


def has_lz4(database: Connection) -> bool:
    [(has_it,)] = database.execute(
        "SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
    ).fetchall()
    return bool(has_it)


def test_storage(database: Connection, database_url: str, schema: str) -> None:
    """In a new table large values are compressed with lz4, or without it stored as they are."""
    migrate(database_url, schema=schema)

    database.execute(
        "INSERT INTO session (session_key, expire_date, session_data)"
        " VALUES ('a', now(), jsonb_build_object('text', repeat('text ', 10000)))"
    )

    [(_, *found)] = database.execute(STORED).fetchall()
    assert tuple(found) == (LZ4 if has_lz4(database) else AS_IT_IS)


@pytest.mark.parametrize("lz4", [False, True], ids=["without lz4", "with lz4"])
def test_storage_upgraded(database: Connection, *, lz4: bool) -> None:
    """Migration 0006 writes no row anew: a value is stored in the new form once it changes."""
    if lz4 and not has_lz4(database):
        pytest.skip("this server was built without lz4")
    database.execute("SET default_toast_compression = pglz")
    for migration in (FIRST, SECOND, THIRD, FOURTH, FIFTH):
        database.execute(migration.sql.encode())
    database.execute(
        "INSERT INTO session (session_key, expire_date, session_data)"
        " VALUES ('a', now(), jsonb_build_object('text', repeat('text ', 10000)))"
    )
    [(file, *before)] = database.execute(STORED).fetchall()

    text = SIXTH.sql if lz4 else SIXTH.sql.replace("'lz4' OPERATOR", "'none' OPERATOR")
    database.execute(text.encode())
    [untouched] = database.execute(STORED).fetchall()
    database.execute("""UPDATE session SET session_data = session_data || '{"n": 1}'""")
    [(_, *changed)] = database.execute(STORED).fetchall()

    assert before == ["x", "", False, "pglz"]
    assert (untouched[0], untouched[-1]) == (file, "pglz")
    assert tuple(changed) == (LZ4 if lz4 else AS_IT_IS)


def test_storage_partitioned(database: Connection) -> None:
    """Migration 0006 sets the form of values in each partition of a partitioned table."""
    for migration in (FIRST, SECOND, THIRD, FOURTH, FIFTH):
        database.execute(migration.sql.encode())
    database.execute("""
        ALTER TABLE session RENAME TO plain;
        CREATE TABLE session (LIKE plain INCLUDING ALL) PARTITION BY HASH (session_key);
        CREATE TABLE one PARTITION OF session FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE two PARTITION OF session FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    """)

    database.execute(SIXTH.sql.encode())

    forms = database.execute(
        "SELECT DISTINCT attstorage, attcompression FROM pg_attribute WHERE attname ="
        " 'session_data' AND attrelid IN ('session'::regclass, 'one'::regclass, 'two'::regclass)"
    ).fetchall()
    assert forms == [LZ4[:2] if has_lz4(database) else AS_IT_IS[:2]]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param("CREATE SEQUENCE session_key_hash_idx", id="sequence"),
        pytest.param("CREATE INDEX session_key_hash_idx ON session (created_on)", id="B-tree"),
        pytest.param(
            """
            CREATE INDEX session_key_hash_idx ON session USING hash (session_key);
            UPDATE pg_index SET indisvalid = false
            WHERE indexrelid = 'session_key_hash_idx'::regclass
            """,
            id="invalid",
        ),
    ],
)
def test_hash_name_taken(database: Connection, other: str) -> None:
    """Migration 0007 fails where something else has the name of its index."""
    for migration in (FIRST, SECOND, THIRD, FOURTH, FIFTH, SIXTH):
        database.execute(migration.sql.encode())
    database.execute(other.encode())

    with pytest.raises(psycopg.errors.RaiseException, match="Drop it"):
        database.execute(SEVENTH.sql.encode())
    database.execute("ROLLBACK")

    assert recorded(database)[-1] == SIXTH.name


def test_foreign_table(database: Connection, database_url: str, schema: str) -> None:
    """An unrelated table of the same name is not changed."""
    database.execute("CREATE TABLE session (sid text PRIMARY KEY, sess json)")

    with pytest.raises(SchemaError, match="belongs to something else"):
        migrate(database_url, schema=schema)


def test_foreign_trigger(database: Connection, database_url: str, schema: str) -> None:
    """A unique violation in another table is a failure, not a lost race."""
    database.execute(SEED)
    database.execute("""
        CREATE TABLE audit (user_name text PRIMARY KEY);
        INSERT INTO audit VALUES ('ann');
        CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO audit VALUES ('ann'); RETURN OLD; END $$;
        CREATE TRIGGER log AFTER DELETE ON session FOR EACH STATEMENT EXECUTE FUNCTION log();
    """)

    with pytest.raises(SchemaError, match="audit_pkey"):
        migrate(database_url, schema=schema)


def test_killed_half_way(
    database: Connection,
    other: Connection,
    database_url: str,
    schema: str,
    processes: list[subprocess.Popen[str]],
) -> None:
    """A process killed during a migration leaves nothing half done, and a rerun completes it."""
    database.execute(SEED)
    before = contents(database)
    other.execute("LOCK TABLE session IN ACCESS SHARE MODE")
    processes.append(start(database_url, schema, "--lock-timeout", str(TIMEOUT)))
    wait_until(lambda: len(backends(database, schema, waiting="Lock")) == 1)

    processes[0].kill()
    wait_until(lambda: backends(database, schema) == [])

    assert contents(database) == before
    assert recorded(database) == ["0001_session"]
    other.rollback()
    assert migrate(database_url, schema=schema) == ALL[1:]
    assert len(contents(database)) == 1


def test_two_at_once(
    database: Connection,
    other: Connection,
    database_url: str,
    schema: str,
    processes: list[subprocess.Popen[str]],
) -> None:
    """Two processes that migrate at once both succeed, and each migration is applied once."""
    database.execute(SEED)
    other.execute("LOCK TABLE session IN ACCESS EXCLUSIVE MODE")
    patient = "--lock-timeout", str(TIMEOUT)
    processes += [start(database_url, schema, *patient) for _ in range(2)]
    wait_until(lambda: len(backends(database, schema, waiting="Lock")) == 2)

    other.rollback()
    said = [process.communicate(timeout=TIMEOUT) for process in processes]

    assert [process.returncode for process in processes] == [0, 0], said
    applied = [line for out, _ in said for line in out.splitlines() if line.startswith("Applied")]
    assert sorted(applied) == [f"Applied {name}" for name in ALL]
    assert len(contents(database)) == 1


def test_two_create_one_schema(
    database: Connection, other: Connection, database_url: str, schema: str
) -> None:
    """Two runs that create the same missing schema at once both succeed."""
    database.execute(f'DROP SCHEMA "{schema}" CASCADE'.encode())
    other.execute("SELECT pg_advisory_xact_lock(123589619970931)")
    url = make_conninfo(database_url, application_name=schema)
    with ThreadPoolExecutor() as threads:
        runs = [threads.submit(migrate, url, schema=schema) for _ in range(2)]
        wait_until(lambda: len(backends(database, schema, waiting="Lock")) == 2)
        other.rollback()

    assert sorted(name for run in runs for name in run.result()) == ALL


def test_connection_lost(
    database: Connection, other: Connection, database_url: str, schema: str
) -> None:
    """A connection lost during a migration is a StoreUnavailableError, and changes nothing."""
    database.execute(SEED)
    other.execute("LOCK TABLE session IN ACCESS EXCLUSIVE MODE")
    url = make_conninfo(database_url, application_name=schema)
    with ThreadPoolExecutor() as threads:
        run = threads.submit(migrate, url, schema=schema)
        wait_until(lambda: len(backends(database, schema, waiting="Lock")) == 1)
        database.execute("SELECT pg_terminate_backend(%s)", backends(database, schema))

        with pytest.raises(StoreUnavailableError, match="run it again"):
            run.result(TIMEOUT)

    other.rollback()
    assert migrate(database_url, schema=schema) == ALL


def test_unreachable_server() -> None:
    """An unreachable server is a StoreUnavailableError that does not contain the password."""
    with pytest.raises(StoreUnavailableError, match="cannot be reached") as caught:
        migrate("postgresql://ann:hunter2@127.0.0.1:1/app")

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("postgresql://ann:hunter2@[::1/app", id="no URL"),
        pytest.param("host=localhost hunter2", id="no conninfo"),
        pytest.param("postgresql://ann:a@hunter2@127.0.0.1/app", id="@ in the password"),
        pytest.param("postgresql://ann:hunter2/b@127.0.0.1/app", id="/ in the password"),
        pytest.param("host=127.0.0.1 password=hunter2 connect_timeout=soon", id="bad option"),
    ],
)
def test_bad_conninfo(url: str) -> None:
    """An invalid conninfo is a SettingsError that quotes no part of it."""
    with pytest.raises(SettingsError) as caught:
        migrate(url)

    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_validate(database_url: str, schema: str) -> None:
    """A migrated table is valid, with a schema name or with the search_path."""
    migrate(database_url, schema=schema)

    async with await AsyncConnection.connect(search(database_url, schema)) as connection:
        await validate(connection, TableName(schema))
        await validate(connection, TableName())


async def test_validate_older(database: Connection, database_url: str, schema: str) -> None:
    """A missing or older table is not valid, and the error names the remedy."""
    async with await AsyncConnection.connect(search(database_url, schema)) as connection:
        with pytest.raises(SchemaError, match=f"no table {schema}.session; run"):
            await validate(connection, TableName(schema))
        database.execute(SEED)
        with pytest.raises(SchemaError, match="older version; run `pgsession migrate`"):
            await validate(connection, TableName())
        for migration in (FIRST, SECOND):
            database.execute(migration.sql.encode())
            with pytest.raises(SchemaError, match="older version; run `pgsession migrate`"):
                await validate(connection, TableName())


@pytest.fixture
def mallory(database: Connection, schema: str) -> Iterator[str]:
    """A role that may create tables in the schema, as every role may in an old `public`."""
    name = f"{schema}_mallory"
    quoted = sql.Identifier(name)
    database.execute(sql.SQL("CREATE ROLE {}").format(quoted))
    database.execute(
        sql.SQL("GRANT CREATE, USAGE ON SCHEMA {} TO {}").format(sql.Identifier(schema), quoted)
    )
    yield name
    database.execute("RESET ROLE")
    database.execute(sql.SQL("DROP OWNED BY {}").format(quoted))
    database.execute(sql.SQL("DROP ROLE {}").format(quoted))


#: Runs a division by zero with the rights of whoever reads or writes.
TRAP = """
CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM 1 / 0; END';
"""

PLANTED = {
    "view": "CREATE VIEW session_migration AS SELECT (1 / 0)::text AS name",
    "record": f"""{TRAP}
        CREATE TABLE session_migration (name text PRIMARY KEY);
        CREATE TRIGGER t BEFORE INSERT ON session_migration EXECUTE FUNCTION trap()
    """,
    "table": f"""{TRAP}{SEED.decode()};
        CREATE TRIGGER t BEFORE DELETE ON session EXECUTE FUNCTION trap()
    """,
}


@pytest.mark.parametrize("statements", PLANTED.values(), ids=PLANTED)
def test_planted(
    database: Connection, database_url: str, schema: str, mallory: str, statements: str
) -> None:
    """What another role has put in the place of our tables is neither read nor adopted.

    It could run code with the rights of a superuser who migrates.
    """
    database.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(mallory)))
    database.execute(statements)
    database.execute("RESET ROLE")

    with pytest.raises(SchemaError, match=f"belongs to (the role {mallory}|something else)"):
        migrate(database_url, schema=schema)


def test_table_of_the_application(
    database: Connection, database_url: str, schema: str, mallory: str
) -> None:
    """A superuser may upgrade the table of the role that owns the schema."""
    quoted = sql.Identifier(mallory)
    database.execute(sql.SQL("ALTER SCHEMA {} OWNER TO {}").format(sql.Identifier(schema), quoted))
    database.execute(sql.SQL("SET ROLE {}").format(quoted))
    database.execute(SEED)
    database.execute("RESET ROLE")

    assert migrate(database_url, schema=schema) == ALL
    database.execute(
        sql.SQL("ALTER SCHEMA {} OWNER TO CURRENT_USER").format(sql.Identifier(schema))
    )


@pytest.mark.parametrize("limit", ["statement_timeout", "transaction_timeout"])
def test_limit_of_requests(
    database: Connection, schema: str, database_url: str, limit: str
) -> None:
    """A limit that is meant for requests does not end a migration."""
    known = "SELECT count(*) FROM pg_settings WHERE name = %s"
    if database.execute(known, (limit,)).fetchone() == (0,):
        pytest.skip("PostgreSQL 17 has brought transaction_timeout")
    database.execute(SEED)
    database.execute("""
        CREATE FUNCTION delay() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END $$;
        CREATE TRIGGER delay AFTER DELETE ON session FOR EACH STATEMENT EXECUTE FUNCTION delay();
    """)

    assert migrate(make_conninfo(database_url, options=f"-c {limit}=400"), schema=schema)


def test_planted_meanwhile(
    database: Connection, other: Connection, database_url: str, schema: str, mallory: str
) -> None:
    """A table that is planted while the migration waits for its lock is not adopted."""
    other.execute("SELECT pg_advisory_lock(123589619970931)")
    url = make_conninfo(database_url, application_name=schema)
    with ThreadPoolExecutor() as executor:
        run = executor.submit(migrate, url, schema=schema)
        wait_until(lambda: bool(backends(database, schema, "Lock")))
        database.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(mallory)))
        database.execute(PLANTED["table"])
        database.execute("RESET ROLE")
        other.execute("SELECT pg_advisory_unlock(123589619970931)")

        with pytest.raises(SchemaError, match="belongs to a role that is not trusted"):
            run.result(TIMEOUT)
    assert not database.execute("SELECT to_regclass('session_migration')").fetchall()[0][0]


def test_schema_of_another_role(
    database: Connection, database_url: str, schema: str, mallory: str
) -> None:
    """A schema of another role is used only if it was asked for by name."""
    place = sql.Identifier(schema)
    database.execute(sql.SQL("ALTER SCHEMA {} OWNER TO {}").format(place, sql.Identifier(mallory)))
    try:
        with pytest.raises(SchemaError, match="is not trusted"):
            migrate(search(database_url, schema))
        assert migrate(database_url, schema=schema) == ALL
    finally:
        database.execute(sql.SQL("ALTER SCHEMA {} OWNER TO CURRENT_USER").format(place))
