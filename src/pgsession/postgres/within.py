"""The migrations in a transaction of the caller, on a connection of SQLAlchemy, with any driver.

Each is one statement without parameters, which asyncpg and all other drivers can send:
a block of PL/pgSQL that executes the text of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Final, LiteralString, Protocol

from psycopg import sql

from pgsession.errors import SchemaError, SessionError, SettingsError, StoreBusyError
from pgsession.postgres.connections.startup import Report
from pgsession.postgres.schema import (
    CREATE_SCHEMA,
    Migration,
    has_schema,
    migrations,
    pending,
    read_record,
)
from pgsession.postgres.table_name import TableName
from pgsession.postgres.trust import Rows, recheck
from pgsession.postgres.validation import reject_encoding

# The last one is lost at once if there is no transaction.
_READ_SETTINGS: Final = b"""
SELECT
    pg_catalog.current_setting('server_encoding'),
    pg_catalog.current_setting('transaction_isolation'),
    pg_catalog.current_setting('search_path'),
    pg_catalog.current_setting('lock_timeout'),
    pg_catalog.current_setting('statement_timeout'),
    pg_catalog.set_config('pgsession.in_transaction', 'yes', true)
"""
_IN_TRANSACTION: Final = b"SELECT pg_catalog.current_setting('pgsession.in_transaction', true)"

_SET: Final[LiteralString] = "SELECT pg_catalog.set_config(%s, %s, true)"

#: The settings that a migration needs otherwise, in the order of the query above.
_CHANGED: Final = ("search_path", "lock_timeout", "statement_timeout")

# As in PREPARE: a migration takes as long as it takes, and waits for another one.
_UNLIMITED: Final = b"""
SELECT
    pg_catalog.set_config('lock_timeout', '0', true),
    pg_catalog.set_config('statement_timeout', '0', true)
"""

# The same as in the migrations, and held until the end of the caller's transaction.
_LOCK: Final = b"SELECT pg_catalog.pg_advisory_xact_lock(123589619970931)"

_APPLY: Final = """
DO $pgsession$
BEGIN
    EXECUTE $migration$
{sql}
$migration$;
END
$pgsession$
"""

#: The statements of a file that a transaction of the caller replaces.
_BEGIN: Final = "\nBEGIN ISOLATION LEVEL READ COMMITTED;\n"
_COMMIT: Final = "\nCOMMIT;\n"

#: The SQLSTATEs of a lock that is not free in time.
_BUSY: Final = {"55P03", "40P01"}


class _Dialect(Protocol):
    @property
    def name(self) -> str:
        """The name of the database system: "postgresql"."""
        ...


class Bind(Protocol):
    """A `Connection` of SQLAlchemy, such as ``op.get_bind()`` of Alembic returns."""

    @property
    def dialect(self) -> _Dialect:
        """What says that the database is PostgreSQL, by its `name`."""
        ...

    def exec_driver_sql(
        self,
        statement: str,
        parameters: None = None,
        execution_options: Mapping[str, bool] | None = None,
    ) -> Rows:
        """Send a statement to the driver as it is, and return a result with its rows."""
        ...


@dataclass(frozen=True, slots=True)
class _Bound:
    """Runs queries on the connection. Values become a part of the text."""

    bind: Bind

    def execute(
        self,
        query: LiteralString | bytes | sql.Composed,
        params: Sequence[object] | Mapping[str, object] | None = None,
    ) -> Rows:
        if isinstance(query, bytes):
            text = query.decode()
        else:
            text = query.as_string() if isinstance(query, sql.Composed) else query
        if isinstance(params, Mapping):
            text %= {name: sql.quote(value) for name, value in params.items()}
        elif params is not None:
            text %= tuple(map(sql.quote, params))
        # Otherwise some drivers look for placeholders in the text.
        return self.bind.exec_driver_sql(text, None, {"no_parameters": True})


def migrate_within(
    bind: Bind, table: TableName, *, lock_timeout: float, report: Report
) -> list[str]:
    """Apply the migrations that the database lacks, in the transaction of `bind`.

    Returns their names. Another migration waits until that transaction ends. See
    `SessionTables.upgrade` for the errors.
    """
    _check_bind(bind)
    # Only an application that has it passes a connection of it.
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 - see above

    try:
        return _migrate(_Bound(bind), table, lock_timeout, report)
    except DBAPIError as error:
        failure = _translated(error.orig, table)
    # Not while the driver's error is handled: its details quote rows.
    raise failure


def _migrate(
    connection: _Bound, table: TableName, lock_timeout: float, report: Report
) -> list[str]:
    known = {each.name: each for each in migrations()}
    with _lending(connection):
        connection.execute(_LOCK)
        connection.execute(_SET, ("lock_timeout", f"{round(lock_timeout * 1000)}ms"))
        wanted = pending(read_record(connection, table), known, report)
        if wanted and table.schema:
            identifier = sql.Identifier(table.schema)
            if not has_schema(connection, table.schema):
                connection.execute(CREATE_SCHEMA.format(identifier))
            connection.execute(_SET, ("search_path", identifier.as_string()))
        for name in wanted:
            connection.execute(_text(known[name], table))
    return wanted


def _check_bind(bind: object) -> None:
    """Raise `SettingsError` unless `bind` is a connection to PostgreSQL."""
    if bind is None or type(bind).__name__ == "MockConnection":
        raise SettingsError(
            "There is no connection: Alembic runs offline (--sql). The migrations depend on what "
            "the database has: run `pgsession migrate`, or their files with psql."
        )
    execute = getattr(bind, "exec_driver_sql", None)
    if execute is None or iscoroutinefunction(execute):
        raise SettingsError(
            "upgrade needs a Connection of SQLAlchemy, such as op.get_bind() returns; of an "
            f"AsyncConnection, the one that run_sync passes on. This is {type(bind).__name__}."
        )
    name = getattr(getattr(bind, "dialect", None), "name", None)
    if name != "postgresql":
        raise SettingsError(f"The sessions need PostgreSQL, but this connection is of {name}.")


@contextmanager
def _lending(connection: _Bound) -> Iterator[None]:
    """Check the transaction, and give it back its settings after the block."""
    [(encoding, isolation, *before, _)] = connection.execute(_READ_SETTINGS).fetchall()
    [(is_lasting,)] = connection.execute(_IN_TRANSACTION).fetchall()
    if not is_lasting:
        raise SettingsError(
            "The connection is in autocommit: run upgrade in a transaction, as Alembic does "
            "outside of autocommit_block."
        )
    if isolation not in {"read committed", "read uncommitted"}:
        raise SettingsError(
            "The transaction is REPEATABLE READ or SERIALIZABLE, and would not see what another "
            "migration has done. Migrate in one that is READ COMMITTED."
        )
    reject_encoding(encoding)
    connection.execute(_UNLIMITED)
    try:
        yield
    except SessionError:  # unlike an error of the database, it leaves the transaction usable
        _give_back(connection, before)
        raise
    _give_back(connection, before)


def _give_back(connection: _Bound, before: Sequence[str]) -> None:
    for name, text in zip(_CHANGED, before, strict=True):
        connection.execute(_SET, (name, text))


def _text(migration: Migration, table: TableName) -> bytes:
    """Return a migration as one statement for a transaction that has begun."""
    head, _, rest = migration.sql_for(table).partition(_BEGIN)
    body, _, tail = rest.rpartition(_COMMIT)
    if not body or tail.strip():
        raise SchemaError(f"The migration {migration.name} is not one transaction.")
    return _APPLY.format(sql=f"{recheck(table).decode()}\n{head}\n{body}").encode()


def _translated(error: BaseException | None, table: TableName) -> SessionError:
    """Return our error for that of any driver."""
    if getattr(error, "sqlstate", None) in _BUSY:
        return StoreBusyError(
            f"The migration could not lock the table {table} in time: other transactions use it. "
            "Nothing was changed. Run it again."
        )
    told = getattr(getattr(error, "diag", None), "message_primary", None)  # psycopg's
    told = told or getattr(error and error.__cause__, "message", None)  # asyncpg's
    return SchemaError(f"The migration failed and changed nothing: {told or type(error).__name__}.")
