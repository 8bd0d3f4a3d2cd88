"""A store's connections in one event loop, out of psycopg's pool: ours or the caller's."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from typing import Any, Final, TypeAlias, cast
from weakref import WeakSet

import psycopg
from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from pgsession.errors import SessionError, StoreClosedError, StoreUnavailableError
from pgsession.postgres.connections.connection import (
    Connection,
    OwnConnection,
    closing,
    finish,
    has_hung_up,
)
from pgsession.postgres.connections.deadline import GRACE, Deadline
from pgsession.postgres.connections.execution import cancel
from pgsession.postgres.connections.failures import translated, unreachable
from pgsession.postgres.connections.own_pool import KEPT, PATIENCE, OwnPool, PoolSettings

DriverPool: TypeAlias = AsyncConnectionPool[Any]
Check: TypeAlias = Callable[[Connection], Awaitable[None]]

#: Seconds at most for which a released connection is kept ready, before it goes back to psycopg's
#: pool, which replaces old ones and closes idle ones.
_LONGEST: Final = 1.0

#: Seconds at least between two replacements of all connections.
_REPLACING: Final = 1.0

_IN_TRANSACTION: Final = frozenset({TransactionStatus.INTRANS, TransactionStatus.INERROR})


class Pool:
    """Connections for one piece of work at a time, in one event loop and process.

    `source` says how to make a pool, or is the caller's. It is opened on first
    use or by `open`, after `check` has accepted the first connection; then
    `on_open` is called. It is closed once and for all. Each new connection of a
    caller's pool is passed to `inspect` before it is used.

    A visit to psycopg's pool costs a third of a small statement. So a
    connection of a pool made here, once released, is kept ready for the next
    caller for up to a second, unless somebody waits for one.
    """

    def __init__(
        self,
        source: PoolSettings | DriverPool,
        *,
        check: Check,
        inspect: Check,
        on_open: Callable[[], None],
        timeout: float,
    ) -> None:
        self._source = source
        self._check = check
        self._inspect = inspect
        #: The connections of a caller's pool that were inspected.
        self._inspected: WeakSet[Connection] = WeakSet()
        self._on_open = on_open
        self._timeout = timeout
        #: psycopg's pool, once it is open.
        self._pool: DriverPool | None = None
        self._opening: asyncio.Task[None] | None = None
        #: It was opened here, and is closed here.
        self._is_ours = isinstance(source, PoolSettings)
        self._is_closed = False
        self._ready: list[Connection] = []
        #: Seconds for which one of them is kept there, since it was taken from psycopg's pool.
        self._kept = 0.0
        if isinstance(source, PoolSettings):
            self._kept = min(_LONGEST, KEPT * source.lifetime)
        #: When each connection that is not in psycopg's pool was taken from there.
        self._taken_at: dict[Connection, float] = {}
        #: How many callers wait at psycopg's pool.
        self._waiting = 0
        self._replaced_at = -math.inf
        #: How many connections of no use were replaced since then.
        self._stale, self._stale_since = 0, -math.inf
        self._returning: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        #: A second pool to the same server: if all connections are replaced here, so are its own.
        self.companion: Pool | None = None

    @property
    def size(self) -> int:
        """How many connections there are at most."""
        source = self._source
        return source.size if isinstance(source, PoolSettings) else source.max_size

    @property
    def is_open(self) -> bool:
        """True from the moment it is open until it is closed."""
        return self._pool is not None and not self._is_closed

    @property
    def is_in_use(self) -> bool:
        """True if it is open, or being opened."""
        return self.is_open or self._opening is not None

    @property
    def is_ours(self) -> bool:
        """True if it is closed here: it was made here, or the caller's was closed when it came."""
        return self._is_ours

    @property
    def failure(self) -> StoreUnavailableError | None:
        """A new error with the reason why no connection can be made; None if that is not so."""
        return self._pool.failure if isinstance(self._pool, OwnPool) else None

    async def open(self) -> None:
        """Open it, unless it is open. Concurrent callers share one attempt.

        Raises `StoreUnavailableError` saying why the database cannot be
        reached, and what `check` raises.
        """
        if self._is_closed:
            raise _closed()
        if self._pool is not None:
            return
        opening = self._opening
        if opening is None:
            loop = asyncio.get_running_loop()
            self._opening = opening = loop.create_task(self._open(), context=Context())
            opening.add_done_callback(self._end_opening)
        try:
            await asyncio.shield(opening)
        except SessionError as error:
            failure = error
        else:
            return
        raise type(failure)(str(failure))  # a copy for each: one would collect all tracebacks

    async def acquire(self) -> Connection:
        """Return a connection that its server has not closed so far, to be released.

        Raises what psycopg's pool raises, and what `open` does.
        """
        while True:
            connection = self._ready.pop() if self._ready else await self._take()
            if not has_hung_up(connection):
                break
            finish(connection)
            self.release(connection)
        if not isinstance(self._source, PoolSettings) and connection not in self._inspected:
            await self._inspect_new(connection)
        return connection

    @property
    def ready(self) -> Connection | None:
        """The connection that `take_ready` would return if its server is still there."""
        return self._ready[-1] if self._ready else None

    def take_ready(self) -> Connection | None:
        """Do as `acquire`, but return None if that would have to wait."""
        while self._ready:
            connection = self._ready.pop()
            if not has_hung_up(connection):
                return connection
            finish(connection)
            self.release(connection)
        return None

    def release(self, connection: Connection) -> None:
        """Take a connection back, in whatever state it is.

        It does not wait, so that a cancelled caller cannot lose a connection.
        """
        if (
            isinstance(self._source, PoolSettings)
            and not self._waiting
            and not self._is_closed
            and self._taken_at.get(connection, -math.inf) + self._kept > time.monotonic()
            and connection.pgconn.transaction_status == TransactionStatus.IDLE
        ):
            self._ready.append(connection)
            if self._returning is None:
                loop = asyncio.get_running_loop()
                self._returning = loop.call_later(self._kept, self._return_ready, context=Context())
        else:
            self._begin(self._put_back(connection))

    def cancel_and_release(self, connection: OwnConnection) -> None:
        """Take a connection back once its statement has ended, which takes too long."""
        self._begin(self._cancel(connection))

    def note_write(self) -> None:
        """Record that the server takes writes, so that further connections of no use are rare."""
        self._stale = 0

    def may_replace(self) -> bool:
        """Return True if one more connection of no use may be replaced in this second.

        If all were replaced and are of no use again, new ones are of none either.
        """
        now = time.monotonic()
        if now - self._stale_since >= _REPLACING:
            self._stale_since, self._stale = now, 0
        self._stale += 1
        return self._stale <= self.size

    async def replace_all(self) -> None:
        """Replace the connections: one was lost or is of no use, and so are probably the others.

        Those in use are replaced when they are released. A caller's pool is left
        to its owner.
        """
        if self.companion is not None:
            await self.companion.replace_all()
        now = time.monotonic()
        if not isinstance(self._pool, OwnPool) or now - self._replaced_at < _REPLACING:
            return
        self._replaced_at = now
        self._taken_at = {}
        self._return_ready()
        await asyncio.shield(self._begin(self._pool.drain()))

    async def close(self) -> None:
        """Close it if it was opened here, after what is under way: opening it, or a return."""
        self._is_closed = True
        if self._opening is not None:  # not cancelled: psycopg would leave a connection behind
            await asyncio.wait([self._opening])
        if self._returning is not None:
            self._returning.cancel()
        self._return_ready()
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._is_ours and self._pool is not None:
            await self._pool.close(timeout=2 * self._timeout + 1)

    def abandon(self) -> None:
        """Cut the connections made here, whose event loop has ended."""
        if isinstance(self._pool, OwnPool):
            self._pool.cut()

    async def _take(self) -> Connection:
        """Take a connection out of psycopg's pool."""
        if self._pool is None or self._is_closed:
            await self.open()
        assert self._pool is not None  # noqa: S101 - for type checkers: `open` has opened it
        self._waiting += 1
        try:
            connection = await self._get(self._pool)
        finally:
            self._waiting -= 1
        self._taken_at[connection] = time.monotonic()
        return connection

    async def _get(self, pool: DriverPool) -> Connection:
        """Take one as soon as it is free, unless the server has been down for long."""
        if not isinstance(pool, OwnPool):
            return cast("Connection", await pool.getconn())
        due = time.monotonic() + self._timeout
        while True:
            if (down := pool.down()) is not None:
                raise down
            try:
                return await pool.getconn(min(PATIENCE, max(due - time.monotonic(), 0.01)))
            except PoolTimeout:
                if time.monotonic() >= due:
                    raise

    async def _inspect_new(self, connection: Connection) -> None:
        """Inspect a connection of the caller's pool; it goes back if that fails."""
        try:
            await self._inspect(connection)
            if not connection.autocommit:
                await connection.rollback()
        except BaseException:  # also if cancelled: the connection must not be lost
            self.release(connection)
            raise
        self._inspected.add(connection)

    def _return_ready(self) -> None:
        """Begin to return the ready connections to psycopg's pool."""
        self._returning = None
        while self._ready:
            self._begin(self._put_back(self._ready.pop()))

    async def _put_back(self, connection: Connection) -> None:
        self._taken_at.pop(connection, None)
        if isinstance(connection, OwnConnection):
            connection.let_go()
        try:
            if connection.pgconn.transaction_status in _IN_TRANSACTION:
                await connection.rollback()
        except psycopg.Error:
            finish(connection)
        finally:
            pool, is_closed = self._pool, connection.closed
            if pool is not None:
                await pool.putconn(connection)
            if is_closed and isinstance(pool, OwnPool):
                pool.note_closed()

    async def _cancel(self, connection: OwnConnection) -> None:
        deadline = Deadline(GRACE)
        try:
            with suppress(TimeoutError), deadline:
                await cancel(connection)
        finally:
            self.release(connection)
        if deadline.interruptions:  # the server did not even answer the request to cancel
            await self.replace_all()

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do the pool's work in a task of its own: interrupted, it would lose a connection."""
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _open(self) -> None:
        deadline = Deadline(self._timeout)
        try:
            with deadline:
                if isinstance(self._source, PoolSettings):
                    self._pool = await self._open_ours(self._source)
                else:
                    self._pool = await self._open_callers(self._source)
                if self._is_closed:
                    raise StoreClosedError("The store was closed while it was being opened.")
        except TimeoutError:
            if not deadline.interruptions:
                raise
        else:
            self._on_open()
            return
        raise StoreUnavailableError(f"PostgreSQL did not answer within {self._timeout:g} seconds.")

    def _end_opening(self, opening: asyncio.Task[None]) -> None:
        self._opening = None
        if not opening.cancelled():
            opening.exception()  # retrieved, though every caller may have been cancelled

    async def _open_callers(self, pool: DriverPool) -> DriverPool:
        self._is_ours = pool.closed
        try:
            if self._is_ours:
                await pool.open()
            async with pool.connection() as connection:
                await self._check(connection)
                self._inspected.add(connection)  # the check has done it
        except psycopg.Error as error:
            failure = translated(error)
        else:
            return pool
        # Not while the driver's error is handled: it holds the conninfo, password and all.
        raise failure

    async def _open_ours(self, settings: PoolSettings) -> DriverPool:
        if settings.least and (failure := await self._try(settings)):
            raise failure
        pool = OwnPool(settings)
        try:
            # With a connection ready, the first caller does not make the pool grow.
            await pool.open(wait=True, timeout=settings.timeout)
        except psycopg.Error as error:
            failure = translated(error)
        except asyncio.CancelledError:
            await pool.close()
            raise
        else:
            return pool
        raise failure

    async def _try(self, settings: PoolSettings) -> SessionError | None:
        """Connect once and check the database; return what is wrong with it, if anything is."""
        try:
            connection = await AsyncConnection.connect(settings.conninfo, autocommit=True)
            async with closing(connection):
                await self._check(connection)
        except psycopg.OperationalError as error:
            return unreachable(error) if error.sqlstate is None else translated(error)
        except psycopg.Error as error:
            return translated(error)
        return None


def _closed() -> StoreClosedError:
    return StoreClosedError("The store is closed. Open it again, or make a new one.")
