"""The statements that remove expired rows, a few at a time.

There is no index on the expiry: it would cost every change of it more than it
could save here. So the table is read page by page, in TID range scans.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg import AsyncCursor, errors, sql
from psycopg.rows import TupleRow, tuple_row

from pgsession.errors import SchemaError, StoreUnavailableError
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.schema import qualified

#: The first half of a sweep's lock number: the bytes "pgss". The table's oid is the second.
_LOCKS: Final = int.from_bytes(b"pgss")

#: Seconds to wait for a row that another transaction is writing. It is far less than
#: deadlock_timeout, so that a deadlock never ends a request in favour of a sweep.
LOCK_TIMEOUT: Final = 0.025

# A table that is partitioned, distributed, or not a heap has no pages to go through.
_FIND: Final[LiteralString] = """
SELECT
    c.oid::int8,
    CASE
        WHEN c.relkind = 'r' AND a.amname = 'heap'
        THEN pg_relation_size(c.oid) / current_setting('block_size')::int8
    END,
    to_regclass('pg_dist_partition') IS NOT NULL,
    current_setting('transaction_read_only')::boolean
FROM pg_class AS c
LEFT JOIN pg_am AS a ON a.oid = c.relam
WHERE c.oid = to_regclass(concat(quote_ident(%s::text) || '.', 'session'))
"""

# Citus keeps the local table of a distributed one, which may still hold older rows.
_FIND_DISTRIBUTED: Final[LiteralString] = """
SELECT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid::oid = %s::int8::oid)
"""

# In one message, which costs one round trip. Under a stricter isolation level a concurrent touch
# would be an error. Rows that a crash brings back are swept again, so no commit waits for the disk.
_ACQUIRE = sql.SQL("""
SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
SELECT
    pg_try_advisory_xact_lock(
        {locks},
        to_regclass(concat(quote_ident({schema}::text) || '.', 'session'))::oid::int8::bit(32)::int4
    ),
    set_config('synchronous_commit', 'off', true),
    set_config('statement_timeout', '5s', true),
    set_config('lock_timeout', {lock_timeout}, true)
""")

# Any other plan would read more than the pages of the batch, whatever the planner knows of the
# table and whatever indexes it has.
_ONLY_WALK = sql.SQL("""
    , set_config('enable_tidscan', 'on', true)
    , set_config('enable_seqscan', 'off', true)
    , set_config('enable_indexscan', 'off', true)
    , set_config('enable_bitmapscan', 'off', true)
    , set_config('jit', 'off', true)
""")

# A row whose expiry is extended meanwhile is checked again once its lock is free. The server's
# clock tells how long it took, as the event loop may have been busy.
_DELETE_PAGES = sql.SQL("""
WITH gone AS (
    DELETE FROM {table}
    WHERE ctid >= {first}::tid
      AND ctid < {end}::tid
      AND expire_date <= now()
    RETURNING 1
)
SELECT
    count(*),
    extract(epoch FROM clock_timestamp() - statement_timestamp())::float8
FROM gone
""")

_DELETE_ROWS = sql.SQL("""
DELETE FROM {table}
WHERE session_key IN (
    SELECT session_key
    FROM {table}
    WHERE expire_date <= now()
    LIMIT {rows}
)
  AND expire_date <= now()
""")


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction removed, and how many seconds it took."""

    rows: int
    seconds: float


class Expired:
    """The expired rows of the session table in one schema.

    Each removal is a transaction that holds an advisory lock, so that only one
    process at a time removes rows, and neither a crash nor a pooler can leave
    the lock behind. If another process holds it, the removal returns None. A
    batch with a row that is not free within `lock_timeout` seconds is left as
    it is.
    """

    def __init__(self, schema: str | None, *, lock_timeout: float = LOCK_TIMEOUT) -> None:
        self._schema = schema
        self._table = qualified(schema, "session")
        self._acquire = _ACQUIRE.format(
            locks=sql.Literal(_LOCKS),
            schema=sql.Literal(schema),
            lock_timeout=sql.Literal(f"{lock_timeout * 1000:.0f}ms"),
        )

    async def pages(self, connection: Connection) -> int | None:
        """Return how many pages the table has, or None if it has none of its own.

        Raises `StoreUnavailableError` if the database takes no writes.
        """
        async with connection.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(_FIND, (self._schema,), prepare=False)
            row = await cursor.fetchone()
            if row is None:
                raise SchemaError("There is no table session to sweep; run `pgsession migrate`.")
            number, pages, has_citus, is_read_only = row
            if is_read_only:
                raise StoreUnavailableError(
                    "The database is a standby, or read-only: nothing can be swept there."
                )
            if has_citus:
                await cursor.execute(_FIND_DISTRIBUTED, (number,), prepare=False)
                [(is_distributed,)] = await cursor.fetchall()
                pages = None if is_distributed else pages
        return None if pages is None else int(pages)

    async def remove_from(self, connection: Connection, first: int, end: int) -> Batch | None:
        """Remove the expired rows of the pages from `first` up to, but without, `end`."""
        acquire, statement = self.removal(first, end)
        return await _remove(connection, acquire, statement)

    async def remove_some(self, connection: Connection, rows: int) -> Batch | None:
        """Remove at most `rows` expired rows, wherever they are."""
        statement = _DELETE_ROWS.format(table=self._table, rows=sql.Literal(rows))
        return await _remove(connection, self._acquire, statement)

    def removal(self, first: int, end: int) -> tuple[sql.Composed, sql.Composed]:
        """Return the statement that acquires the lock, and the one that removes from some pages."""
        statement = _DELETE_PAGES.format(
            table=self._table,
            first=sql.Literal(f"({first},0)"),
            end=sql.Literal(f"({end},0)"),
        )
        return self._acquire + _ONLY_WALK, statement


async def _remove(
    connection: Connection, acquire: sql.Composed, statement: sql.Composed
) -> Batch | None:
    begin = time.monotonic()
    try:
        async with connection.transaction(), connection.cursor(row_factory=tuple_row) as cursor:
            if not await _has_lock(cursor, acquire):
                return None
            await cursor.execute(statement, prepare=False)
            rows, told = cursor.rowcount, None
            if cursor.description:
                [(rows, told)] = await cursor.fetchall()
    except errors.LockNotAvailable:
        rows, told = 0, None
    return Batch(rows, time.monotonic() - begin if told is None else told)


async def _has_lock(cursor: AsyncCursor[TupleRow], acquire: sql.Composed) -> bool:
    await cursor.execute(acquire, prepare=False)
    cursor.nextset()  # past what SET returned
    row = await cursor.fetchone()
    return bool(row and row[0])
