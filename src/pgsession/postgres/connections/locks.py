"""Locks of single sessions, held in PostgreSQL and so shared by all processes.

They are advisory locks, not row locks: a request that does not ask for one
never waits for one. A lock lasts as long as its transaction, so neither a crash
nor a pooler can leave it behind, and what was written under it is committed or
rolled back with it.
"""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from enum import Enum, auto
from weakref import WeakValueDictionary

import psycopg
from psycopg import sql

from pgsession.errors import SessionError, StoreBusyError, StoreUnavailableError
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.connections.deadline import Deadline
from pgsession.postgres.connections.failures import translated
from pgsession.postgres.connections.pool import Pool

# Under a stricter isolation level the transaction would not see what was committed while it
# waited. Both statements go in one message, which costs one round trip.
_LOCK = sql.SQL("""
SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
SELECT pg_catalog.pg_advisory_xact_lock({});
""")


def lock_number(digest: str) -> int:
    """Return the number of the lock that belongs to a session's digest."""
    return int.from_bytes(urlsafe_b64decode(digest)[:8], signed=True)


class Locks:
    """The locks that are held on the connections of one pool.

    At most half of its connections, and at least one, serve locks: one for each
    holder, and one for the first waiter of each lock in this process. Further
    waiters wait without a connection.
    """

    def __init__(self, pool: Pool, *, timeout: float) -> None:
        self._pool = pool
        self._timeout = timeout
        self._slots = asyncio.Semaphore(max(1, pool.size // 2))
        # The queue of a lock exists as long as a caller of this process holds it or waits in it.
        self._queues: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def hold(self, number: int, timeout: float) -> AsyncIterator[Connection]:
        """Acquire the lock, yield the connection whose transaction holds it, and commit.

        Raises `StoreBusyError` if the lock was not free within `timeout`
        seconds, and `StoreUnavailableError` if the commit or the rollback takes
        longer than the pool's timeout. The driver's errors are translated where
        they come from acquiring or committing, not where the block raises them.
        """
        deadline, stage = Deadline(timeout), _Stage.ACQUIRING
        raised: BaseException | None = None
        try:
            with deadline:
                async with AsyncExitStack() as stack:
                    connection = await self._acquire(stack, number)
                    deadline.extend(None)
                    stack.callback(deadline.extend, self._timeout)
                    stage = _Stage.HELD
                    try:
                        yield connection
                    except BaseException as error:  # every kind of error passes unchanged
                        raised = error
                        raise
                    stage = _Stage.ENDING
        except (psycopg.Error, TimeoutError) as error:
            if raised is None or deadline.interruptions:
                raised = _failure(error, stage)
            elif error is raised:
                raise
        else:
            return
        # The block's own error, where the connection broke before the rollback.
        raise raised

    async def _acquire(self, stack: AsyncExitStack, number: int) -> Connection:
        queue = self._queues.setdefault(number, asyncio.Lock())
        await stack.enter_async_context(queue)
        await stack.enter_async_context(self._slots)
        connection = await self._pool.acquire()
        stack.callback(self._pool.release, connection)
        await stack.enter_async_context(connection.transaction())
        await connection.execute(_LOCK.format(sql.Literal(number)), prepare=False)
        return connection


class _Stage(Enum):
    """What is being done with a lock."""

    ACQUIRING = auto()
    HELD = auto()
    ENDING = auto()


def _failure(error: psycopg.Error | TimeoutError, stage: _Stage) -> SessionError:
    if isinstance(error, psycopg.Error):
        return translated(error)
    if stage is _Stage.ACQUIRING:
        return StoreBusyError("The session's lock was not free in time. Try again.")
    return StoreUnavailableError("The database did not answer in time. Try again.")
