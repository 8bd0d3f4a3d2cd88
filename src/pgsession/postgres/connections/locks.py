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
from enum import Enum, auto
from weakref import WeakValueDictionary

import psycopg
from psycopg import sql

from pgsession.errors import SessionError, StoreBusyError, StoreUnavailableError
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.connections.deadline import Deadline
from pgsession.postgres.connections.failures import translated
from pgsession.postgres.connections.lender import Lender

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
    """The locks held through one pool of connections.

    At most half of its connections serve them: one for each holder, and one
    for each lock that a process waits for. Whoever comes on top of that waits
    without a connection.
    """

    def __init__(self, lender: Lender, *, patience: float) -> None:
        self._lender = lender
        self._patience = patience
        self._slots = asyncio.Semaphore(max(1, lender.most // 2))
        # The queue of a lock in this process lives as long as somebody is in it.
        self._queues: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def hold(self, number: int, timeout: float) -> AsyncIterator[Connection]:
        """Take the lock, yield the connection whose transaction holds it, commit.

        Raises `StoreBusyError` after `timeout` seconds without it, and
        `StoreUnavailableError` if its end takes longer than `patience`. Of
        the driver's errors only those of taking and committing are translated,
        not what the block may raise of its own.
        """
        deadline, stage = Deadline(timeout), _Stage.TAKING
        raised: BaseException | None = None
        try:
            with deadline:
                async with AsyncExitStack() as stack:
                    connection = await self._take(stack, number)
                    deadline.allow(None)
                    stack.callback(deadline.allow, self._patience)
                    stage = _Stage.HELD
                    try:
                        yield connection
                    except BaseException as error:  # whatever it is, it goes on as it is
                        raised = error
                        raise
                    stage = _Stage.ENDING
        except (psycopg.Error, TimeoutError) as error:
            if raised is None or deadline.strikes:
                raised = _failure(error, stage)
            elif error is raised:
                raise
        else:
            return
        # The block's own, if the connection that was to take it all back had died by then.
        raise raised

    async def _take(self, stack: AsyncExitStack, number: int) -> Connection:
        queue = self._queues.setdefault(number, asyncio.Lock())
        await stack.enter_async_context(queue)
        await stack.enter_async_context(self._slots)
        connection: Connection = await stack.enter_async_context(self._lender.lend(living=True))
        await stack.enter_async_context(connection.transaction())
        await connection.execute(_LOCK.format(sql.Literal(number)), prepare=False)
        return connection


class _Stage(Enum):
    """How far the holding of a lock has come."""

    TAKING = auto()
    HELD = auto()
    ENDING = auto()


def _failure(error: psycopg.Error | TimeoutError, stage: _Stage) -> SessionError:
    if isinstance(error, psycopg.Error):
        return translated(error)
    if stage is _Stage.TAKING:
        return StoreBusyError("The session's lock was not free in time. Try again.")
    return StoreUnavailableError("The database did not answer in time. Try again.")
