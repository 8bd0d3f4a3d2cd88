"""The statements that remove expired rows, a few at a time.

There is no index on the expiry: it would slow every update of the expiry more than
it could speed up a sweep. So the table is read page by page, in TID range scans.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Final, LiteralString

from msgspec import Struct
from psycopg import AsyncCursor, errors, sql
from psycopg.rows import TupleRow, tuple_row

from pgsession.errors import SchemaError
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.distribution import is_distributed
from pgsession.postgres.table_name import TableName, catalog_cursor, find
from pgsession.postgres.validation import reject_writing, validate_columns

#: The first half of a sweep's lock number: the bytes "pgss". The table's oid is the second.
_LOCKS: Final = int.from_bytes(b"pgss")

#: Seconds to wait for a row that another transaction is writing. It is far less than
#: deadlock_timeout, so that a deadlock never ends a request in favour of a sweep.
LOCK_TIMEOUT: Final = 0.025

# A table that is partitioned, distributed, or not a heap has no pages to go through.
_FIND: Final[LiteralString] = """
SELECT
    CASE
        WHEN c.relkind = 'r' AND a.amname = 'heap'
        THEN pg_relation_size(c.oid) / current_setting('block_size')::int8
    END,
    current_setting('transaction_read_only')::boolean,
    pg_is_in_recovery()
FROM pg_class AS c
LEFT JOIN pg_am AS a ON a.oid = c.relam
WHERE c.oid = %s::int8::oid
"""

# In one message, which costs one round trip. Under a stricter isolation level a concurrent touch
# would be an error. Rows that a crash brings back are swept again, so no commit waits for the disk.
_ACQUIRE = sql.SQL("""
SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
SELECT
    pg_catalog.pg_try_advisory_xact_lock(
        {locks}::pg_catalog.int4,
        pg_catalog.to_regclass(
            pg_catalog.concat(
                pg_catalog.quote_ident({schema}::pg_catalog.text) OPERATOR(pg_catalog.||) '.',
                {name}::pg_catalog.text
            )
        )::pg_catalog.oid::pg_catalog.int8::bit(32)::pg_catalog.int4
    ),
    pg_catalog.set_config('synchronous_commit', 'off', true),
    pg_catalog.set_config('statement_timeout', '5s', true),
    pg_catalog.set_config('lock_timeout', {lock_timeout}, true)
""")

# Any other plan would read more than the pages of the batch, whatever the planner knows of the
# table and whatever indexes it has.
_ONLY_WALK = sql.SQL("""
    , pg_catalog.set_config('enable_tidscan', 'on', true)
    , pg_catalog.set_config('enable_seqscan', 'off', true)
    , pg_catalog.set_config('enable_indexscan', 'off', true)
    , pg_catalog.set_config('enable_bitmapscan', 'off', true)
    , pg_catalog.set_config('jit', 'off', true)
""")

# A row whose expiry is extended meanwhile is checked again once its lock is free. The server's
# clock tells how long it took, as the event loop may have been busy.
_DELETE_PAGES = sql.SQL("""
WITH gone AS (
    DELETE FROM {table}
    WHERE ctid OPERATOR(pg_catalog.>=) {first}::pg_catalog.tid
      AND ctid OPERATOR(pg_catalog.<) {end}::pg_catalog.tid
      AND {expired}
    RETURNING 1
)
SELECT
    pg_catalog.count(*),
    (extract(epoch FROM
        pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) pg_catalog.statement_timestamp()
    ) OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8
FROM gone
""")

# Rows are locked where they are. Citus passes a lock_timeout on to its nodes if it is told to do so
# and if SET LOCAL sets it, alone in its message. Elsewhere this has no effect.
_TELL_NODES = sql.SQL("""
    , pg_catalog.set_config('citus.propagate_set_commands', 'local', true)
""")
_LIMIT_NODES = sql.SQL("SET LOCAL lock_timeout = {lock_timeout}")

_DELETE_ROWS = sql.SQL("""
DELETE FROM {table}
WHERE session_key OPERATOR(pg_catalog.=) ANY (
    SELECT session_key
    FROM {table}
    WHERE {expired}
    LIMIT {rows}{skip_locked}
)
  AND {expired}
""")


# Citus cannot skip locked rows in a statement on many keys.
_SKIP_LOCKED: Final[LiteralString] = """
    FOR UPDATE SKIP LOCKED"""

_EXPIRED: Final[LiteralString] = "expire_date OPERATOR(pg_catalog.<=) pg_catalog.now()"

_OLDER: Final[LiteralString] = """
    OR {column} OPERATOR(pg_catalog.<=) (
        pg_catalog.now() OPERATOR(pg_catalog.-)
            pg_catalog.make_interval(secs => {seconds}::pg_catalog.float8)
    )"""


class Batch(Struct, frozen=True):
    """What one transaction removed, and how many seconds it took."""

    rows: int
    seconds: float


class Expired:
    """The expired rows of one session table, with these limits.

    Each removal is a transaction that holds an advisory lock, so that only one
    process at a time removes rows, and neither a crash nor a pooler can leave
    the lock behind. If another process holds it, the removal returns None. A
    batch with a row that is not free within `lock_timeout` seconds is left as
    it is.
    """

    def __init__(
        self,
        name: TableName,
        *,
        max_lifetime: timedelta | None = None,
        max_inactivity: timedelta | None = None,
        lock_timeout: float = LOCK_TIMEOUT,
    ) -> None:
        self._name = name
        self._table = name.identifier
        self._expired = _expired(created_on=max_lifetime, seen_on=max_inactivity)
        self._is_distributed = False
        self._lock_timeout = sql.Literal(f"{lock_timeout * 1000:.0f}ms")
        self._acquire = _ACQUIRE.format(
            locks=sql.Literal(_LOCKS),
            schema=sql.Literal(name.schema),
            name=sql.Literal(name.name),
            lock_timeout=self._lock_timeout,
        )

    @property
    def is_distributed(self) -> bool:
        """Whether the table was a distributed one when `pages` looked at it."""
        return self._is_distributed

    async def pages(self, connection: Connection) -> int | None:
        """Return how many pages the table has, or None if it has none of its own.

        Raises `StoreUnavailableError` if the database takes no writes, and
        `SchemaError` if the table is missing, of an older version, or another's.
        """
        found = await find(connection, self._name)
        if found is None:
            raise SchemaError(f"There is no table {self._name} to sweep; run `pgsession migrate`.")
        await validate_columns(connection, self._name, found)
        async with catalog_cursor(connection, tuple_row) as cursor:
            await cursor.execute(_FIND, (found.oid,), prepare=False)
            [(pages, is_read_only, is_standby)] = await cursor.fetchall()
        reject_writing(is_read_only=is_read_only, is_standby=is_standby)
        # The local table of a distributed one may still hold older rows.
        self._is_distributed = await is_distributed(connection, found)
        return None if pages is None or self._is_distributed else int(pages)

    async def remove_from(self, connection: Connection, first: int, end: int) -> Batch | None:
        """Remove the expired rows of the pages from `first` up to, but without, `end`."""
        acquire, statement = self.removal(first, end)
        return await _remove(connection, acquire, statement)

    async def remove_some(self, connection: Connection, rows: int) -> Batch | None:
        """Remove at most `rows` expired rows, wherever they are."""
        limit = _LIMIT_NODES.format(lock_timeout=self._lock_timeout)
        statement = _DELETE_ROWS.format(
            table=self._table,
            expired=self._expired,
            rows=sql.Literal(rows),
            skip_locked=sql.SQL("" if self._is_distributed else _SKIP_LOCKED),
        )
        return await _remove(connection, self._acquire + _TELL_NODES, limit, statement)

    def removal(self, first: int, end: int) -> tuple[sql.Composed, sql.Composed]:
        """Return the statement that acquires the lock, and the one that removes from some pages."""
        statement = _DELETE_PAGES.format(
            table=self._table,
            expired=self._expired,
            first=sql.Literal(f"({first},0)"),
            end=sql.Literal(f"({end},0)"),
        )
        return self._acquire + _ONLY_WALK, statement


def _expired(**limits: timedelta | None) -> sql.Composed:
    """Return the condition for an expired row, with a limit for the age of some columns."""
    older = sql.SQL("").join(
        sql.SQL(_OLDER).format(
            column=sql.Identifier(column), seconds=sql.Literal(limit.total_seconds())
        )
        for column, limit in limits.items()
        if limit is not None
    )
    return sql.SQL("({})").format(sql.SQL(_EXPIRED) + older)


async def _remove(
    connection: Connection, acquire: sql.Composed, *statements: sql.Composed
) -> Batch | None:
    begin = time.monotonic()
    try:
        async with connection.transaction(), connection.cursor(row_factory=tuple_row) as cursor:
            if not await _has_lock(cursor, acquire):
                return None
            for statement in statements:
                await cursor.execute(statement, prepare=False)
            rows, told = cursor.rowcount, None
            if cursor.description:
                [(rows, told)] = await cursor.fetchall()
    except errors.LockNotAvailable:
        rows, told = 0, None
    return Batch(rows, time.monotonic() - begin if told is None else told / 1_000_000)


async def _has_lock(cursor: AsyncCursor[TupleRow], acquire: sql.Composed) -> bool:
    await cursor.execute(acquire, prepare=False)
    cursor.nextset()  # past what SET returned
    row = await cursor.fetchone()
    return bool(row and row[0])
