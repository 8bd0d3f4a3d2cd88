"""Separate connections that observe and lock the table, so that races have a known order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar, Final, LiteralString, Self

from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow, dict_row

from pgsession.core.keys import digest, key_digest

TIMEOUT: Final = 20.0

ROW = """
SELECT
    session_data,
    extract(epoch FROM expire_date - clock_timestamp())::float8,
    period,
    clock_timestamp() - created_on
FROM session
WHERE session_key = %s
  AND verifier IS NOT DISTINCT FROM %s
"""

LOCK = "SELECT FROM session WHERE session_key = %s FOR UPDATE"

WAITING = """
SELECT count(*)
FROM pg_stat_activity
WHERE application_name = %s
  AND wait_event_type = 'Lock'
"""

# It waits, or has last skipped what was locked.
DELETING = """
SELECT
FROM pg_stat_activity
WHERE application_name = %s
  AND query ~ 'DELETE'
  AND (wait_event_type = 'Lock' OR state = 'idle' AND query ~ 'SKIP LOCKED')
"""

# An edit, what looks at a row that was not edited, or the lock for an edit.
EDITING = """
SELECT
FROM pg_stat_activity
WHERE application_name = %s
  AND query ~ 'offered|NO KEY UPDATE'
"""

# Not xact_start: a connection that the pool opens meanwhile has short transactions too.
IN_TRANSACTION = """
SELECT pid
FROM pg_stat_activity
WHERE application_name = %s
  AND (state LIKE 'idle in transaction%%' OR wait_event_type = 'Lock')
"""

# In two statements, as Citus rejects an UPDATE that subtracts from a column's time.
AGED = """
SELECT
    expire_date - %(by)s::interval AS expire_date,
    created_on - %(by)s::interval AS created_on,
    seen_on - %(by)s::interval AS seen_on,
    shown_on - %(by)s::interval AS shown_on
FROM session
WHERE session_key = %(digest)s
"""
AGE = """
UPDATE session
SET expire_date = %(expire_date)s,
    created_on = %(created_on)s,
    seen_on = %(seen_on)s,
    shown_on = %(shown_on)s
WHERE session_key = %(digest)s
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it is stored, expired or not."""

    value: dict[str, Any] | None
    #: Seconds until it expires.
    remaining: float
    granted: timedelta | None
    #: Since it was generated.
    age: timedelta


class Witness:
    """Reads committed rows, locks rows, and counts the connections that wait for locks.

    It counts only connections with its own application_name: those of the stores
    under test.
    """

    #: How to count the connections with an application_name that wait for a lock.
    waits: ClassVar[LiteralString] = WAITING
    #: How to find those that have met a locked row that they are to delete.
    deletes: ClassVar[LiteralString] = DELETING

    def __init__(self, conninfo: str, connection: AsyncConnection[TupleRow], name: str) -> None:
        self.conninfo = conninfo
        self._connection = connection
        self.name = name

    @classmethod
    @asynccontextmanager
    async def on(cls, database_url: str, schema: str) -> AsyncIterator[Self]:
        """Empty the table in `schema`, and observe it."""
        conninfo = make_conninfo(database_url, options=f"-csearch_path={schema}")
        async with await AsyncConnection.connect(conninfo, autocommit=True) as connection:
            await connection.execute("DELETE FROM session")
            yield cls(conninfo, connection, name=f"{schema}_store")

    async def row(self, key: str) -> Row | None:
        """Return the row stored under `key`, which is the newest key of its session."""
        found = await (await self._connection.execute(ROW, key_digest(key))).fetchone()
        return None if found is None else Row(*found)

    async def value(self, key: str) -> dict[str, Any] | None:
        """Return the value stored under `key`, or None if there is no row."""
        row = await self.row(key)
        return None if row is None else row.value

    async def values(self) -> list[dict[str, Any] | None]:
        """Return the values of all rows."""
        found = await self._connection.execute("SELECT session_data FROM session")
        return [value for (value,) in await found.fetchall()]

    async def execute(self, statement: LiteralString, *arguments: object) -> int:
        """Run a statement on a new connection that counts as one of the stores' connections."""
        async with await AsyncConnection.connect(
            self.conninfo, autocommit=True, application_name=self.name
        ) as connection:
            return (await connection.execute(statement, arguments)).rowcount

    async def age(self, key: str, by: timedelta) -> None:
        """Make a row older."""
        row = {"by": by, "digest": digest(key)}
        async with self._connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(AGED, row)
            async for aged in cursor:
                await self._connection.execute(AGE, row | aged)

    @asynccontextmanager
    async def holding(self, statement: LiteralString, *arguments: object) -> AsyncIterator[int]:
        """Keep the locks that a statement takes; yield the number of rows."""
        async with await AsyncConnection.connect(self.conninfo) as connection:
            yield (await connection.execute(statement, arguments)).rowcount
            await connection.rollback()

    @asynccontextmanager
    async def holding_row(self, key: str) -> AsyncIterator[None]:
        """Keep the lock of a row."""
        async with self.holding(LOCK, digest(key)) as rows:
            assert rows == 1, "there is no such row to hold"
            yield

    async def waiting(self, count: int) -> None:
        """Wait until this many connections of the stores wait for a lock."""
        await eventually(partial(self._is_waiting, count))

    async def in_transaction(self) -> list[int]:
        """Return the PIDs of the stores' open transactions, idle or waiting for a lock."""
        found = await self._connection.execute(IN_TRANSACTION, (self.name,))
        return [pid for (pid,) in await found.fetchall()]

    async def kill(self, pid: int) -> None:
        """Terminate a connection's backend, and wait until it has ended."""
        await self._connection.execute("SELECT pg_terminate_backend(%s::int4, 20000)", (pid,))

    async def race(
        self, key: str, first: Coroutine[Any, Any, object], second: Coroutine[Any, Any, object]
    ) -> list[object]:
        """Run two operations that reach the row in this order; return their outcomes.

        PostgreSQL serves the waiters for a row in the order of their arrival: the first
        holds the tuple lock, and the second waits for it.
        """
        async with asyncio.TaskGroup() as group, self.holding_row(key):
            racers = []
            for place, operation in enumerate((first, second), 1):
                racers.append(group.create_task(outcome(operation)))
                await self.waiting(place)
        return [racer.result() for racer in racers]

    async def has_met_deletion(self) -> bool:
        """Return whether a deletion waits for a locked row, or has skipped one."""
        return (await self._connection.execute(self.deletes, (self.name,))).rowcount > 0

    async def has_met_edit(self) -> bool:
        """Return whether a store has sent an edit."""
        return (await self._connection.execute(EDITING, (self.name,))).rowcount > 0

    async def has_expired(self, key: str) -> bool:
        """Return whether there is a row under `key`, and it has expired."""
        row = await self.row(key)
        return row is not None and row.remaining < 0

    async def is_older(self, key: str, age: timedelta) -> bool:
        """Return whether there is a row under `key`, and it is older than that."""
        row = await self.row(key)
        return row is not None and row.age > age

    async def _is_waiting(self, count: int) -> bool:
        found = await (await self._connection.execute(self.waits, (self.name,))).fetchone()
        return found == (count,)


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Poll a condition until it holds."""
    async with asyncio.timeout(TIMEOUT):
        while not await holds():  # noqa: ASYNC110 - there is no event to await
            await asyncio.sleep(0.002)


async def outcome(operation: Coroutine[Any, Any, object]) -> object:
    """Return what an operation returns, or the error that it raises."""
    try:
        return await operation
    except Exception as error:  # noqa: BLE001 - any error is an outcome
        return error
