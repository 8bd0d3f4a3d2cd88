"""Locks of single sessions, held in PostgreSQL and so shared by all processes.

They are advisory locks, not row locks: a request that does not ask for one
never waits for one. A lock lasts as long as its transaction, so neither a crash
nor a pooler can leave it behind, and what was written under it is committed or
rolled back with it.
"""

from __future__ import annotations

import asyncio
import time
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from enum import Enum, auto
from typing import Final
from weakref import WeakValueDictionary

import psycopg
from msgspec.structs import replace
from psycopg import sql
from psycopg.pq import TransactionStatus

from pgsession.errors import (
    HeldTooLongError,
    SessionBusyError,
    SessionError,
    StoreUnavailableError,
)
from pgsession.postgres.connections.connection import Connection, cursor_of
from pgsession.postgres.connections.deadline import GRACE, Deadline
from pgsession.postgres.connections.failures import public, translated
from pgsession.postgres.connections.own_pool import PoolSettings
from pgsession.postgres.connections.pool import Pool

#: Connections for locks at most, beside those of a pool that is made here, for each level of
#: `_LEVELS`. So blocks that are slow take no connection from other calls, and it takes many of
#: them to keep other blocks waiting.
_MOST: Final = 16

#: How deep blocks are told apart that stand in each other. Those of one level wait for
#: connections of deeper levels only, so they never wait for each other in a circle.
_LEVELS: Final = 3

#: Every so many seconds one is closed that was idle for as long.
_IDLE: Final = 10.0

#: The longest idle time that PostgreSQL takes, in milliseconds.
_LONGEST: Final = 2**31 - 1

# Under a stricter isolation level the transaction would not see what was committed while it
# waited. The times are those of the block, whatever the role says: if this process hangs, the
# server ends the transaction soon after the block's limit. A row that another transaction holds is
# told from a server that does not answer. One message costs one round trip.
_TRY: Final = sql.SQL("""
SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
SET LOCAL idle_in_transaction_session_timeout = {idle};
SET LOCAL lock_timeout = {row};
SET LOCAL statement_timeout = 0;{newer}
SELECT pg_catalog.pg_try_advisory_xact_lock({number});
""")

# PostgreSQL 17 and later.
_NEWER: Final = sql.SQL("""
SET LOCAL transaction_timeout = 0;""")
_NEWER_FROM: Final = 170_000

_WAIT: Final = sql.SQL("""
SET LOCAL lock_timeout = 0;
SELECT pg_catalog.pg_advisory_xact_lock({number});
SET LOCAL lock_timeout = {row};
""")

#: The part of the timeout for which a statement of a block waits for a row.
_ROW: Final = 0.9

#: The identities of the `Locks` in whose blocks the caller is.
_WITHIN: Final[ContextVar[tuple[int, ...]]] = ContextVar("pgsession exclusive", default=())

#: What a block says at its end if the application has caught the error of one of its statements.
_FAILED: Final = (
    "A statement of the exclusive block has failed, so nothing of the block was committed. Let the "
    "error of a call in a block end it."
)


def lock_number(digest: str) -> int:
    """Return the number of the lock that belongs to a session's digest."""
    return int.from_bytes(urlsafe_b64decode(digest)[:8], signed=True)


def lock_pool(settings: PoolSettings) -> Pool:
    """Return a pool of connections for locks, to the same server. It opens them when needed."""
    return Pool(
        replace(settings, size=_LEVELS * _MOST, least=0, idle=_IDLE),
        check=_accept,
        inspect=_accept,
        on_open=_do_nothing,
        timeout=settings.timeout,
    )


class Locks:
    """The locks that are held on the connections of one pool.

    There is one connection for each holder, and one for the first waiter of each
    lock in this process. Further waiters wait without a connection. If the pool
    `is_shared` with other calls, at most half of its connections, and at least
    one, serve locks, and a quarter blocks in other blocks.
    """

    def __init__(self, pool: Pool, *, is_shared: bool, timeout: float, limit: float) -> None:
        self._pool = pool
        self._timeout = timeout
        self._limit = limit
        self._idle = sql.Literal(min(_LONGEST, round((limit + timeout) * 1000)))
        self._row = sql.Literal(min(_LONGEST, max(1, round(_ROW * timeout * 1000))))
        sizes = [max(1, pool.size // 2), max(1, pool.size // 4)] if is_shared else _LEVELS * [_MOST]
        self._slots = [asyncio.Semaphore(size) for size in sizes]
        # The queue of a lock exists as long as a caller of this process holds it or waits in it.
        self._queues: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def hold(self, number: int, timeout: float) -> AsyncIterator[Connection]:
        """Acquire the lock, yield the connection whose transaction holds it, and commit.

        Raises `StoreBusyError` if the lock was not free within `timeout`
        seconds, `HeldTooLongError` if the block was cancelled at its limit, and
        `StoreUnavailableError` if a statement takes longer than the pool's
        timeout. The driver's errors are translated where they come from
        acquiring or committing, not where the block raises them.
        """
        progress = _Progress(timeout)
        raised: BaseException | None = None
        within, me = _WITHIN.get(), id(self)
        try:
            with progress:
                async with AsyncExitStack() as stack:
                    connection = await self._acquire(stack, number, within.count(me), progress)
                    progress.enter(_Stage.HELD, self._limit)
                    _WITHIN.set((*within, me))
                    try:
                        yield connection
                    except BaseException as error:  # every kind of error passes unchanged
                        raised = error
                        raise
                    finally:
                        _WITHIN.set(within)  # not reset: another task may end the block
                        progress.enter(_Stage.ENDING, self._timeout)
                    progress.check()
                    if connection.pgconn.transaction_status == TransactionStatus.INERROR:
                        raise StoreUnavailableError(_FAILED)
        except (psycopg.Error, TimeoutError) as error:
            if raised is None or progress.interruptions:
                raised = progress.failure(error)
            elif error is raised:
                raise
        else:
            return
        # The block's own error, where the connection broke before the rollback.
        raise raised

    async def _acquire(
        self, stack: AsyncExitStack, number: int, depth: int, progress: _Progress
    ) -> Connection:
        queue = self._queues.setdefault(number, asyncio.Lock())
        await stack.enter_async_context(queue)
        await stack.enter_async_context(self._slots[min(depth, len(self._slots) - 1)])
        progress.enter(_Stage.ASKING, self._timeout)
        connection = await self._pool.acquire()
        stack.callback(self._pool.release, connection)
        await stack.enter_async_context(connection.transaction())
        cursor, literal = cursor_of(connection), sql.Literal(number)
        is_newer = connection.info.server_version >= _NEWER_FROM
        newer = _NEWER if is_newer else sql.SQL("")
        statement = _TRY.format(number=literal, idle=self._idle, row=self._row, newer=newer)
        await cursor.execute(statement, prepare=False)
        while cursor.nextset():
            pass
        if await cursor.fetchone() != (True,):
            progress.wait()
            await cursor.execute(_WAIT.format(number=literal, row=self._row), prepare=False)
        return connection


class _Stage(Enum):
    """What is being done with a lock."""

    QUEUEING = auto()
    ASKING = auto()
    WAITING = auto()
    HELD = auto()
    ENDING = auto()


class _Progress(Deadline):
    """The time limit of what is being done with a lock, and what that is."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.stage = _Stage.QUEUEING
        self._due = time.monotonic() + seconds
        self._is_overdue = False

    def enter(self, stage: _Stage, seconds: float) -> None:
        """Begin a stage, which may take so many seconds."""
        self._is_overdue = self.stage is _Stage.HELD and self.interruptions > 0
        self.stage = stage
        self.extend(seconds)

    def wait(self) -> None:
        """Begin to wait for the lock for what is left. Raise `TimeoutError` if nothing is."""
        left = self._due - time.monotonic()
        self.enter(_Stage.WAITING, left if left > 0 else GRACE)
        if left <= 0:
            raise TimeoutError

    def check(self) -> None:
        """Raise `TimeoutError` if the block was cancelled at its limit, though it ended well."""
        if self._is_overdue:
            raise TimeoutError

    def failure(self, error: psycopg.Error | TimeoutError) -> SessionError:
        """Return our error."""
        if self._is_overdue:
            return HeldTooLongError()
        if isinstance(error, psycopg.Error):
            return public(translated(error))
        if self.stage in {_Stage.QUEUEING, _Stage.WAITING}:
            return SessionBusyError("The session's lock was not free in time. Try again.")
        return StoreUnavailableError("The database did not answer in time. Try again.")


async def _accept(_connection: Connection) -> None:
    """Accept a connection: the first pool has checked the database."""


def _do_nothing() -> None:
    pass
