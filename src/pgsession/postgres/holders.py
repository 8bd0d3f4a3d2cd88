"""Which transactions use the session table, if a migration cannot lock it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg import Connection
from psycopg.rows import class_row

from pgsession.postgres.table_name import FIND, TableName

# Every role may read these columns of both views. A prepared transaction has no process.
_HOLDERS: Final[LiteralString] = """
SELECT DISTINCT
    l.virtualtransaction AS transaction,
    l.pid,
    coalesce(a.application_name, '') AS application,
    a.usename::text AS role
FROM pg_locks AS l
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'relation'
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.relation = ANY (%s::int8[]::oid[])
  AND l.granted
  AND l.pid IS DISTINCT FROM pg_backend_pid()
"""

#: How many holders a message names.
_MANY: Final = 5


@dataclass(frozen=True, slots=True)
class Holder:
    """A transaction that holds a lock on the table or on its record."""

    transaction: str
    pid: int | None
    application: str
    role: str | None

    def __str__(self) -> str:
        if self.pid is None:
            return "a prepared transaction (see pg_prepared_xacts)"
        told = [self.application, f"role {self.role}" if self.role else ""]
        more = ", ".join(filter(None, told))
        return f"process {self.pid} ({more})" if more else f"process {self.pid}"


def find_holders(connection: Connection, table: TableName) -> frozenset[Holder]:
    """Return the transactions of other processes that hold a lock on the table or its record."""
    oids = [
        oid
        for name in (table.name, table.record)
        for oid, _ in connection.execute(FIND, {"schema": table.schema, "name": name})
    ]
    with connection.transaction(force_rollback=True):  # which takes the search_path back
        connection.execute("SET LOCAL search_path TO pg_catalog, pg_temp")
        with connection.cursor(row_factory=class_row(Holder)) as cursor:
            return frozenset(cursor.execute(_HOLDERS, (oids,)))


def described(holders: Collection[Holder]) -> str:
    """Return the holders as a part of a sentence."""
    told = sorted(map(str, holders))
    if len(told) > _MANY:
        told = [*told[:_MANY], f"{len(told) - _MANY} more"]
    return " and ".join(told) or "other transactions"
