"""The schema: applying the migrations.

Migrations are plain SQL files, applied by the few lines here instead of a tool. yoyo
records a migration in a second transaction, so that a kill in between leaves it applied
but not recorded, and its lock is a row that survives the kill. Alembic needs SQLAlchemy,
which this package does not use.
"""

import re
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

import psycopg
from psycopg import Connection, sql

from pgsession.errors import SchemaError, SessionError, StoreUnavailableError
from pgsession.postgres.connections.conninfo import as_url, complete_conninfo
from pgsession.postgres.connections.failures import unreachable
from pgsession.postgres.table_name import DEFAULT_TABLE, TableName
from pgsession.postgres.trust import recheck, trusted_columns
from pgsession.postgres.validation import check_ownership, reject_encoding

# The next four are sent in one message with the migration that follows. PostgreSQL runs
# what stands before BEGIN in the same transaction, so that behind a pooler all of it runs
# on one server connection, and no setting stays there.

# What a role or database limits is meant for requests: a migration takes as long as it takes.
# A migration that waits for its lock must see rows committed meanwhile. If its client
# dies, it must stop waiting, as other statements queue behind it. (A server on Windows
# rejects this setting.)
PREPARE = b"""
SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
SET LOCAL statement_timeout = 0;
SET LOCAL lock_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0;
DO $$
BEGIN
    SET LOCAL client_connection_check_interval = '1s';
EXCEPTION WHEN invalid_parameter_value THEN
    NULL;
END
$$;
"""

# Two processes at once can both fail IF NOT EXISTS. The migrations take the same lock.
LOCK = b"SELECT pg_catalog.pg_advisory_xact_lock(123589619970931);\n"

CREATE_SCHEMA = sql.SQL("""
CREATE SCHEMA IF NOT EXISTS {};
""")

SET_SCHEMA = sql.SQL("SET LOCAL search_path TO {};\n")

FIND_SCHEMA = """
SELECT pg_catalog.to_regnamespace(pg_catalog.quote_ident(%s::pg_catalog.text)) IS NOT NULL
"""

#: The table's name, alone and in the names that begin with it, but not in those of its columns.
_NAMES: Final = re.compile(r"\bsession(?=_migration\b|_key_idx\b|_user_id_idx\b|\b)")


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file: its name without the suffix, and its text."""

    name: str
    sql: str

    def sql_for(self, table: TableName) -> str:
        """Return its text for a table of another name. The indexes are named after the table."""
        return _NAMES.sub(table.name, self.sql)


def migrate(conninfo: str, *, schema: str | None = None, table: str = DEFAULT_TABLE) -> list[str]:
    """Apply the migrations that the database lacks, and return their names.

    Each is one transaction that also records it, so a kill at any moment leaves it
    either done and recorded or not done. If several processes do this at once, one of
    them applies it. `schema` is created if it is missing; None leaves the place to the
    search_path.

    Raises `SettingsError` for a conninfo or a table's name that cannot work,
    `StoreUnavailableError` if the database cannot be reached, and `SchemaError` if the
    table belongs to something else, or a migration fails; then nothing was changed.
    """
    conninfo = as_url(conninfo)
    known, name = migrations(), TableName(schema, table)
    with _connect(conninfo) as connection:
        try:
            prelude, recorded = _look(connection, name)
            _reject_newer(recorded, known)
            pending = [migration for migration in known if migration.name not in recorded]
            return [each.name for each in pending if _apply(connection, prelude, each, name)]
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


#: Seconds that connecting may take, unless the conninfo says otherwise.
_TIMEOUT: Final = 5.0


def _connect(conninfo: str) -> Connection:
    try:
        return psycopg.connect(complete_conninfo(conninfo, {}, timeout=_TIMEOUT), autocommit=True)
    except psycopg.OperationalError as error:
        failure = unreachable(error)
    # Not while the driver's error is handled: it holds the conninfo, password and all.
    raise failure


def _look(connection: Connection, table: TableName) -> tuple[bytes, set[str]]:
    """Return what to send before each migration, and the names that are recorded already.

    Raises `SchemaError` if the table belongs to something else, or if the
    database is not encoded in UTF-8.
    """
    reject_encoding(connection.info.parameter_status("server_encoding"))
    schema = table.schema
    prelude = PREPARE + LOCK
    if schema:
        [(exists,)] = connection.execute(FIND_SCHEMA, (schema,)).fetchall()
        if not exists:
            prelude += CREATE_SCHEMA.format(sql.Identifier(schema)).as_bytes(connection)
        prelude += SET_SCHEMA.format(sql.Identifier(schema)).as_bytes(connection)
    prelude += recheck(table)
    columns = trusted_columns(connection, table, table.name)
    if columns:
        check_ownership(columns, table=table)
    if not trusted_columns(connection, table, table.record):
        return prelude, set()
    query = sql.SQL("SELECT name FROM {}").format(table.record_identifier)
    return prelude, {name for (name,) in connection.execute(query)}


def _reject_newer(recorded: set[str], known: tuple[Migration, ...]) -> None:
    if newer := recorded - {migration.name for migration in known}:
        raise SchemaError(
            f"The database has the migration {max(newer)}, which this version of pgsession "
            "does not know; install the newer version. Nothing was changed."
        )


def _apply(connection: Connection, prelude: bytes, migration: Migration, table: TableName) -> bool:
    """Apply a migration; return False if another process was faster."""
    try:
        connection.execute(prelude + migration.sql_for(table).encode())
    except psycopg.errors.UniqueViolation as error:
        if error.diag.table_name != table.record:
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
