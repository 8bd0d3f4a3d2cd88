"""The schema: applying the migrations, and checking the table that is there.

Migrations are plain SQL files, applied by the few lines here instead of a tool. yoyo
records a migration in a second transaction, so that a kill in between leaves it applied
but not recorded, and its lock is a row that survives the kill. Alembic needs SQLAlchemy,
which this package does not use.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

import psycopg
from psycopg import AsyncConnection, Connection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import class_row, tuple_row

from pgsession.errors import SchemaError, SessionError, SettingsError, StoreUnavailableError
from pgsession.postgres.connections.conninfo import reject_torn_password

#: The columns that this version reads and writes, and their types.
COLUMNS = {
    "session_key": "text",
    "session_data": "jsonb",
    "expire_date": "timestamp with time zone",
    "created_on": "timestamp with time zone",
    "period": "interval",
    "final_date": "timestamp with time zone",
    "user_id": "text",
}

#: Migration 0002 adds this column. (It also adds user_id, but an older table may have its own.)
NEWEST = "final_date"

INSPECT = """
SELECT
    a.attname AS name,
    format_type(a.atttypid, a.atttypmod) AS type,
    coalesce(i.indnkeyatts = 1 AND i.indkey[0] = a.attnum, false) AS is_key
FROM pg_attribute AS a
LEFT JOIN pg_index AS i ON i.indrelid = a.attrelid AND i.indisprimary
WHERE a.attrelid = to_regclass(concat(quote_ident(%(schema)s::text) || '.', 'session'))
  AND a.attnum > 0
  AND NOT a.attisdropped
ORDER BY a.attnum
"""

# Privileges on some columns are enough.
OBSTACLES = """
SELECT
    current_setting('transaction_read_only')::boolean,
    array_remove(ARRAY[
        CASE WHEN NOT has_any_column_privilege(it, 'SELECT') THEN 'SELECT' END,
        CASE WHEN NOT has_any_column_privilege(it, 'INSERT') THEN 'INSERT' END,
        CASE WHEN NOT has_any_column_privilege(it, 'UPDATE') THEN 'UPDATE' END,
        CASE WHEN NOT has_table_privilege(it, 'DELETE') THEN 'DELETE' END
    ], NULL)
FROM to_regclass(concat(quote_ident(%(schema)s::text) || '.', 'session')) AS it
"""

FIND = """
SELECT
    %(schema)s::text IS NULL OR to_regnamespace(quote_ident(%(schema)s::text)) IS NOT NULL,
    to_regclass(concat(quote_ident(%(schema)s::text) || '.', 'session_migration'))::text
"""

# The next three are sent in one message with the migration that follows. PostgreSQL runs
# what stands before BEGIN in the same transaction, so that behind a pooler all of it runs
# on one server connection, and no setting stays there.

# A migration that waits for its lock must see rows committed meanwhile. If its client
# dies, it must stop waiting, as other statements queue behind it. (A server on Windows
# rejects this setting.)
PREPARE = b"""
SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
DO $$
BEGIN
    SET LOCAL client_connection_check_interval = '1s';
EXCEPTION WHEN invalid_parameter_value THEN
    NULL;
END
$$;
"""

# Two processes at once can both fail IF NOT EXISTS. The lock is the one of the migrations.
CREATE_SCHEMA = sql.SQL("""
SELECT pg_advisory_xact_lock(123589619970931);
CREATE SCHEMA IF NOT EXISTS {};
""")

SET_SCHEMA = sql.SQL("SET LOCAL search_path TO {};\n")


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file: its name without the suffix, and its text."""

    name: str
    sql: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table, as the catalog describes it."""

    name: str
    type: str
    is_key: bool


def migrate(conninfo: str, *, schema: str | None = None) -> list[str]:
    """Apply the migrations that the database lacks, and return their names.

    Each is one transaction that also records it, so a kill at any moment leaves it
    either done and recorded or not done. If several processes do this at once, one of
    them applies it. `schema` is created if it is missing; None leaves the place to the
    search_path.

    Raises `SettingsError` for a conninfo that cannot work, `StoreUnavailableError` if the
    database cannot be reached, and `SchemaError` if a migration fails; then it has
    changed nothing.
    """
    known = migrations()
    with _connect(conninfo) as connection:
        try:
            prelude, recorded = _look(connection, schema)
            _reject_newer(recorded, known)
            pending = [migration for migration in known if migration.name not in recorded]
            return [each.name for each in pending if _apply(connection, prelude, each)]
        except psycopg.Error as error:
            failure = _translated(error, connection)
        # Not while the driver's error is handled: its details quote rows.
        raise failure


def migrations() -> tuple[Migration, ...]:
    """Return all migrations of this version in order, from the wheel or from the checkout."""
    for folder in (files("pgsession") / "migrations", Path(__file__).parents[3] / "migrations"):
        if folder.is_dir() and (found := _read(folder)):
            return found
    raise SchemaError("The migrations are missing from this installation; install pgsession again.")


async def inspect(connection: AsyncConnection, schema: str | None) -> None:
    """Raise `SchemaError` unless the table is as this version needs it and this role may use it.

    Raises `StoreUnavailableError` if the server takes no writes now.
    """
    await inspect_table(connection, schema)
    table = _shown(schema)
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(OBSTACLES, {"schema": schema}, prepare=False)
        for is_read_only, lacking in await cursor.fetchall():
            if lacking:
                raise SchemaError(
                    f"This role lacks privileges: GRANT {', '.join(lacking)} ON {table} to it."
                )
            if is_read_only:
                raise StoreUnavailableError(
                    "The database takes no writes: it is a standby, or read-only. Name the "
                    "primary, or every host and target_session_attrs=read-write."
                )


async def inspect_table(connection: AsyncConnection, schema: str | None) -> None:
    """Raise `SchemaError` unless the table is as this version needs it."""
    async with connection.cursor(row_factory=class_row(Column)) as cursor:
        await cursor.execute(INSPECT, {"schema": schema}, prepare=False)
        check(await cursor.fetchall(), table=_shown(schema))


def _shown(schema: str | None) -> str:
    return f"{schema}.session" if schema else "session"


def check(columns: Iterable[Column], *, table: str = "session") -> None:
    """Raise `SchemaError` unless these columns include those that this version needs.

    Further columns belong to the application and are ignored.
    """
    found = {column.name: column for column in columns}
    if not found:
        raise SchemaError(f"There is no table {table}; run `pgsession migrate`.")
    if NEWEST not in found:
        raise SchemaError(f"The table {table} is of an older version; run `pgsession migrate`.")
    for name, wanted in COLUMNS.items():
        if name not in found:
            raise SchemaError(f"The table {table} lacks the column {name}; add it as {wanted}.")
        if found[name].type != wanted:
            raise SchemaError(
                f"In the table {table} the column {name} is {found[name].type}; make it {wanted}."
            )
    if not found["session_key"].is_key:
        raise SchemaError(f"In the table {table} session_key is not the primary key; make it so.")


def qualified(schema: str | None, name: str) -> sql.Identifier:
    """Return the name as SQL, in `schema` or where the search_path finds it."""
    return sql.Identifier(schema, name) if schema else sql.Identifier(name)


#: How long connecting may take, unless the conninfo says otherwise.
_TIMEOUT: Final = {"connect_timeout": "5"}


def _connect(conninfo: str) -> Connection:
    try:
        given = conninfo_to_dict(conninfo)
        reject_torn_password(given)
        return psycopg.connect(make_conninfo("", **{**_TIMEOUT, **given}), autocommit=True)
    except psycopg.OperationalError as error:
        failure: SessionError = StoreUnavailableError(f"PostgreSQL cannot be reached: {error}")
    except psycopg.ProgrammingError:
        failure = SettingsError("The database URL is no conninfo that libpq can read.")
    # Not while the driver's error is handled: it holds the conninfo, password and all.
    raise failure


def _look(connection: Connection, schema: str | None) -> tuple[bytes, set[str]]:
    """Return what to send before each migration, and the names that are recorded already."""
    [(has_schema, record)] = connection.execute(FIND, {"schema": schema}).fetchall()
    prelude = PREPARE
    if schema and not has_schema:
        prelude += CREATE_SCHEMA.format(sql.Identifier(schema)).as_bytes(connection)
    if schema:
        prelude += SET_SCHEMA.format(sql.Identifier(schema)).as_bytes(connection)
    if record is None:
        return prelude, set()
    query = sql.SQL("SELECT name FROM {}").format(qualified(schema, "session_migration"))
    return prelude, {name for (name,) in connection.execute(query)}


def _reject_newer(recorded: set[str], known: tuple[Migration, ...]) -> None:
    if newer := recorded - {migration.name for migration in known}:
        raise SchemaError(
            f"The database has the migration {max(newer)}, which this version of pgsession "
            "does not know; install the newer version. Nothing was changed."
        )


def _apply(connection: Connection, prelude: bytes, migration: Migration) -> bool:
    """Apply a migration; return False if another process was faster."""
    try:
        connection.execute(prelude + migration.sql.encode())
    except psycopg.errors.UniqueViolation as error:
        if error.diag.table_name != "session_migration":
            raise
        connection.rollback()
        return False
    return True


def _translated(error: psycopg.Error, connection: Connection) -> SessionError:
    if connection.broken:
        return StoreUnavailableError("PostgreSQL went away during the migration; run it again.")
    reason = error.diag.message_primary or type(error).__name__
    return SchemaError(f"The migration failed and changed nothing: {reason}.")


def _read(folder: Traversable) -> tuple[Migration, ...]:
    found = [file for file in folder.iterdir() if file.name.endswith(".sql")]
    return tuple(
        Migration(file.name.removesuffix(".sql"), file.read_text(encoding="utf-8"))
        for file in sorted(found, key=lambda file: file.name)
    )
