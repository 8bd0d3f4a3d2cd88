"""Locks of single sessions, for those who ask: held in PostgreSQL, across all processes.

An advisory lock, not the row's: a request that does not ask for it never
waits. It lasts as long as the transaction, so no crash and no pooler can leave
it behind, and what is written under it goes with it.
"""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

import psycopg
from psycopg import AsyncConnection, sql
from psycopg_pool import AsyncConnectionPool

from pgsession.errors import StoreBusyError
from pgsession.failure import translated

Connection: TypeAlias = AsyncConnection[Any]
Pool: TypeAlias = AsyncConnectionPool[Any]

# Under a stricter isolation level the transaction would go on seeing what was there
# before it waited. In one message, so that it costs one round trip.
_LOCK = sql.SQL("""
SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
SELECT pg_advisory_xact_lock({});
""")


def lock_number(digest: str) -> int:
    """Return the number of the lock that belongs to a session's digest."""
    return int.from_bytes(urlsafe_b64decode(digest)[:8], signed=True)


class Locks:
    """The locks held through one pool.

    At most half of its connections serve them: one for each holder, and one
    for each lock that a process waits for. Whoever comes on top of that waits
    without a connection.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._slots = asyncio.Semaphore(max(1, pool.max_size // 2))
        # The queue of a lock in this process lives as long as somebody is in it.
        self._queues: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def hold(self, number: int, timeout: float) -> AsyncIterator[Connection]:
        """Take the lock, yield the connection whose transaction holds it, commit.

        Raises `StoreBusyError` after `timeout` seconds without it. Of the
        driver's errors only those of taking and committing are translated, not
        what the block may raise of its own.
        """
        is_ours = True
        try:
            async with AsyncExitStack() as stack:
                connection = await self._take(stack, number, timeout)
                is_ours = False
                yield connection
                is_ours = True
        except psycopg.Error as error:
            if not is_ours:
                raise
            failure = translated(error)
        else:
            return
        raise failure

    async def _take(self, stack: AsyncExitStack, number: int, timeout: float) -> Connection:
        queue = self._queues.setdefault(number, asyncio.Lock())
        try:
            async with asyncio.timeout(timeout):
                await stack.enter_async_context(queue)
                await stack.enter_async_context(self._slots)
                connection: Connection = await stack.enter_async_context(self._pool.connection())
                await stack.enter_async_context(connection.transaction())
                await connection.execute(_LOCK.format(sql.Literal(number)), prepare=False)
        except TimeoutError:
            raise StoreBusyError("The session's lock was not free in time. Try again.") from None
        return connection
