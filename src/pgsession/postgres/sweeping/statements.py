"""The statements that remove expired rows, a few at a time.

No index tells which rows have expired: it would cost every renewal more than
it could save here. So rows are sought page by page, as TID range scans.
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

#: What all locks of sweeps have in common: the bytes "pgss". The table's oid is the rest.
_LOCKS: Final = int.from_bytes(b"pgss")

#: Seconds to wait for a row that somebody else is writing; far less than deadlock_timeout,
#: so that no request is ever chosen to end a deadlock with a sweep.
LOCK_TIMEOUT: Final = 0.025

# A table that is partitioned, distributed, or kept by another engine has no pages to walk.
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

# Citus keeps a shell of a distributed table, in which rows from before may still lie.
_FIND_DISTRIBUTED: Final[LiteralString] = """
SELECT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid::oid = %s::int8::oid)
"""

# In one message, so that it costs one round trip. Under a stricter isolation level a touch
# would be an error. What a crash brings back is swept again, so no commit waits for the disk.
_TAKE_TURN = sql.SQL("""
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

# Whatever the planner knows of the table, and whatever indexes there are: with any other
# plan each batch would look at more than its pages.
_ONLY_WALK = sql.SQL("""
    , set_config('enable_tidscan', 'on', true)
    , set_config('enable_seqscan', 'off', true)
    , set_config('enable_indexscan', 'off', true)
    , set_config('enable_bitmapscan', 'off', true)
    , set_config('jit', 'off', true)
""")

# A row that is touched meanwhile is judged again, once its lock is free. The server's own
# clock says how long it took: the event loop may have had other things to do.
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
    """What one transaction removed, and the seconds that it took."""

    rows: int
    seconds: float


class Expired:
    """The expired rows of the session table in one schema.

    Each removal is a transaction that holds an advisory lock, so that one
    worker at a time removes rows, in whatever process it is, and neither a
    crash nor a pooler can leave the lock behind. Where another holds it, the
    removal returns None. A batch with a row that is not free within
    `lock_timeout` seconds stays as it is.
    """

    def __init__(self, schema: str | None, *, lock_timeout: float = LOCK_TIMEOUT) -> None:
        self._schema = schema
        self._table = qualified(schema, "session")
        self._turn = _TAKE_TURN.format(
            locks=sql.Literal(_LOCKS),
            schema=sql.Literal(schema),
            lock_timeout=sql.Literal(f"{lock_timeout * 1000:.0f}ms"),
        )

    async def pages(self, connection: Connection) -> int | None:
        """Return how many pages the table has, or None if it has none of its own to look at.

        Raises `StoreUnavailableError` where nothing can be written.
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
        """Remove what has expired in the pages from `first` to before `end`."""
        turn, statement = self.removal(first, end)
        return await _remove(connection, turn, statement)

    async def remove_some(self, connection: Connection, rows: int) -> Batch | None:
        """Remove at most so many rows, wherever they are."""
        statement = _DELETE_ROWS.format(table=self._table, rows=sql.Literal(rows))
        return await _remove(connection, self._turn, statement)

    def removal(self, first: int, end: int) -> tuple[sql.Composed, sql.Composed]:
        """Return what takes the turn for some pages, and what then removes rows from them."""
        statement = _DELETE_PAGES.format(
            table=self._table,
            first=sql.Literal(f"({first},0)"),
            end=sql.Literal(f"({end},0)"),
        )
        return self._turn + _ONLY_WALK, statement


async def _remove(
    connection: Connection, turn: sql.Composed, statement: sql.Composed
) -> Batch | None:
    begin = time.monotonic()
    try:
        async with connection.transaction(), connection.cursor(row_factory=tuple_row) as cursor:
            if not await _is_ours(cursor, turn):
                return None
            await cursor.execute(statement, prepare=False)
            rows, told = cursor.rowcount, None
            if cursor.description:
                [(rows, told)] = await cursor.fetchall()
    except errors.LockNotAvailable:
        rows, told = 0, None
    return Batch(rows, time.monotonic() - begin if told is None else told)


async def _is_ours(cursor: AsyncCursor[TupleRow], turn: sql.Composed) -> bool:
    await cursor.execute(turn, prepare=False)
    cursor.nextset()  # past what SET returned
    row = await cursor.fetchone()
    return bool(row and row[0])
