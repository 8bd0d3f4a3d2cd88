"""The schema: applying the migrations.

Migrations are plain SQL files, applied by the few lines here instead of a tool. yoyo
records a migration in a second transaction, so that a kill in between leaves it applied
but not recorded, and its lock is a row that survives the kill. Alembic needs SQLAlchemy,
which this package does not use.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

import psycopg
from psycopg import Connection, sql

from pgsession.core.logs import log_migration
from pgsession.errors import SchemaError, SessionError, StoreUnavailableError
from pgsession.postgres.attempts import LOCK_TIMEOUT, TRIES, Attempts
from pgsession.postgres.connections.conninfo import as_url
from pgsession.postgres.connections.startup import Report, connect
from pgsession.postgres.record import Record, read_query
from pgsession.postgres.table_name import DEFAULT_TABLE, TableName
from pgsession.postgres.trust import Queryable, recheck, trusted_columns
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
    SET LOCAL transaction_timeout = 0;
EXCEPTION WHEN undefined_object THEN
    NULL;  -- before PostgreSQL 17
END
$$;
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
_NAMES: Final = re.compile(
    r"\bsession(?=_migration\b|_key_idx\b|_key_hash_idx\b|_user_id_idx\b|_client_idx\b|\b)"
)


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file: its name without the suffix, and its text."""

    name: str
    sql: str

    def sql_for(self, table: TableName) -> str:
        """Return its text for a table of another name. The indexes are named after the table."""
        return _NAMES.sub(table.name, self.sql)


def migrate(
    conninfo: str,
    *,
    schema: str | None = None,
    table: str = DEFAULT_TABLE,
    lock_timeout: float = LOCK_TIMEOUT,
    tries: int = TRIES,
    wait: float = 0.0,
    report: Report = log_migration,
) -> list[str]:
    """Apply the migrations that the database lacks, and return their names.

    Each is one transaction that also records it, so a kill at any moment leaves it
    either done and recorded or not done. If several processes do this at once, one of
    them applies it. `schema` is created if it is missing; None leaves the place to the
    search_path.

    While a migration waits for a lock, all statements on the table wait behind it. So it
    waits for `lock_timeout` seconds at most, and then gives way for twice as long before
    the next of its `tries`. It waits without a limit only for another migration.

    A newer database is left alone if its migrations say that this version may run on it.
    If the server cannot be reached, connecting is tried again for `wait` seconds. `report`
    gets a line for each try after the first, and for a newer database.

    Raises `SettingsError` for a conninfo, a table's name or a number that cannot work,
    `StoreUnavailableError` if the database cannot be reached, `StoreBusyError` if the
    table was in use during each try, and `SchemaError` if the table belongs to something
    else or is too new, or a migration fails; then nothing was changed.
    """
    conninfo = as_url(conninfo)
    known, name = {each.name: each for each in migrations()}, TableName(schema, table)
    attempts = Attempts(lock_timeout, tries, report)
    with connect(conninfo, wait=wait, report=report) as connection:
        try:
            reject_encoding(connection.info.parameter_status("server_encoding"))
            wanted = pending(read_record(connection, name), known, report)
            prelude = _prelude(connection, name, attempts.limit) if wanted else b""
            applied = [
                each
                for each in wanted
                if attempts.apply(
                    connection, name, each, prelude + known[each].sql_for(name).encode()
                )
            ]
            if applied != wanted:  # The faster process may be one of a newer version.
                pending(read_record(connection, name), known, report)
        except psycopg.Error as error:
            failure = _translated(error, connection)
        else:
            return applied
        # Not while the driver's error is handled: its details quote rows.
        raise failure


def migrations() -> tuple[Migration, ...]:
    """Return all migrations of this version in order, from the wheel or from the checkout."""
    for folder in (files("pgsession") / "migrations", Path(__file__).parents[3] / "migrations"):
        if folder.is_dir() and (found := _read(folder)):
            return found
    raise SchemaError("The migrations are missing from this installation; install pgsession again.")


def read_record(connection: Queryable, table: TableName) -> Record:
    """Return what is recorded already.

    Raises `SchemaError` if the table belongs to something else.
    """
    columns = trusted_columns(connection, table, table.name)
    if columns:
        check_ownership(columns, table=table)
    columns = trusted_columns(connection, table, table.record)
    if not columns:
        return Record({})
    query = read_query(table.record_identifier, has_older_code="older_code" in columns)
    return Record({row[0]: row[1] for row in connection.execute(query).fetchall()})


def pending(record: Record, known: Collection[str], report: Report) -> list[str]:
    """Return the names of the migrations to apply.

    Raises `SchemaError` if the database has migrations that exclude this version, or if
    it has newer ones but lacks others.
    """
    lacking, newest = record.lacking(known), record.newest_unknown(known)
    if newest is None:
        return lacking
    if objection := record.objection(known):
        raise SchemaError(
            f"The database {objection}. Install the newer version of pgsession. "
            "Nothing was changed."
        )
    if lacking:
        raise SchemaError(
            f"The database has the migration {newest} of a newer version, but lacks {lacking[0]}; "
            "run `pgsession migrate` of the newer version. Nothing was changed."
        )
    report(f"The database has the newer migration {newest}, and this version may run on it.")
    return []


def _prelude(connection: Connection, table: TableName, limit: bytes) -> bytes:
    """Return what to send before each migration; `limit` is for all locks but the first."""
    prelude = PREPARE + LOCK + limit
    if schema := table.schema:
        if not has_schema(connection, schema):
            prelude += CREATE_SCHEMA.format(sql.Identifier(schema)).as_bytes(connection)
        prelude += SET_SCHEMA.format(sql.Identifier(schema)).as_bytes(connection)
    return prelude + recheck(table)


def has_schema(connection: Queryable, schema: str) -> bool:
    """Return True if the schema exists."""
    [(exists,)] = connection.execute(FIND_SCHEMA, (schema,)).fetchall()
    return bool(exists)


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
