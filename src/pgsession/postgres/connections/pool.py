"""A pool of connections in use: of ours or of the caller's, in one event loop and process."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from weakref import WeakSet

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from pgsession.errors import SessionError, StoreUnavailableError
from pgsession.postgres.connections.connection import (
    Connection,
    OwnConnection,
    Pool,
    ending_if_cancelled,
)
from pgsession.postgres.connections.deadline import Watch
from pgsession.postgres.connections.failures import translated
from pgsession.postgres.connections.lender import Lender
from pgsession.postgres.connections.locks import Locks

Check: TypeAlias = Callable[[Connection], Awaitable[None]]

#: So many callers may wait for each connection; more get `StoreBusyError` at once.
_WAITING_EACH: Final = 64

#: Seconds for which a pool goes on alone after a connection that it could not make. The pauses
#: between its attempts double: from here on they begin anew, as long as somebody waits.
_RECONNECTING: Final = 2.0

#: Seconds at least between two renewals of all connections.
_RENEWING: Final = 1.0

#: Rows are looked up by key and locked in the order in which a batch names them: two batches that
#: do so never deadlock. That leaves one plan, which need not be made anew for each batch. Each
#: statement sees what is committed when it runs.
_CONFIGURE: Final = """
SELECT
    set_config('enable_seqscan', 'off', false),
    set_config('enable_bitmapscan', 'off', false),
    set_config('enable_hashjoin', 'off', false),
    set_config('enable_mergejoin', 'off', false),
    set_config('plan_cache_mode', 'force_generic_plan', false),
    set_config('default_transaction_isolation', 'read committed', false)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """Where to connect, and how many connections to hold. The repr shows none of it."""

    conninfo: str = field(repr=False)
    size: int
    timeout: float
    prepared: bool

    def make(self, configure: Check) -> Pool:
        """Return a pool, not yet open, in autocommit: each operation is one statement."""
        return AsyncConnectionPool(
            self.conninfo,
            connection_class=OwnConnection,
            open=False,
            configure=configure,
            min_size=1,
            max_size=self.size,
            timeout=self.timeout,
            max_waiting=self.size * _WAITING_EACH,
            reconnect_timeout=_RECONNECTING,
            reconnect_failed=_try_on,
            name="pgsession",
            kwargs={"autocommit": True} | ({} if self.prepared else {"prepare_threshold": None}),
        )


@dataclass(slots=True, kw_only=True)
class OpenPool:
    """A pool in use, with the event loop and the process it belongs to."""

    pool: Pool
    #: What takes connections from the pool, and puts them back there.
    lender: Lender
    #: It was opened here and is to be closed here.
    ours: bool
    #: Keeps the deadlines of what is done on the connections.
    watch: Watch
    #: Who holds locks of sessions, or is next in line.
    locks: Locks
    #: The connections of a pool that was made here, else None.
    connections: WeakSet[Connection] | None = None
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    process: int = field(default_factory=os.getpid)
    _renewed_at: float = 0.0

    async def renew(self) -> None:
        """Replace all connections, since one was lost or cannot write: it is not the only one.

        A pool that was made elsewhere serves others too: it sees to its own.
        """
        now = time.monotonic()
        if self.connections is not None and now - self._renewed_at >= _RENEWING:
            self._renewed_at = now
            await self.lender.drain()

    async def close(self) -> None:
        """Close the pool if it was opened here; wait for those that are connecting just now."""
        await self.lender.close()
        if self.ours:
            await self.pool.close(timeout=2 * self.pool.timeout + 1)

    def cut_off(self) -> None:
        """Give up the connections that were made here; their event loop has ended before them."""
        for connection in self.connections or ():
            connection.pgconn.finish()


async def open_pool(source: PoolSettings | Pool, check: Check, *, patience: float) -> OpenPool:
    """Open a pool; `check` sees the first connection of all.

    Raises what `check` raises, and `StoreUnavailableError` saying why the
    database cannot be reached.
    """
    if isinstance(source, PoolSettings):
        return await _open_ours(source, check, patience=patience)
    ours = source.closed
    try:
        if ours:
            await source.open()
        async with source.connection() as connection:
            await check(connection)
    except psycopg.Error as error:
        failure = translated(error)
    else:
        lender = Lender(source, keeps=False)
        locks = Locks(lender, patience=patience)
        return OpenPool(pool=source, lender=lender, watch=Watch(patience), ours=ours, locks=locks)
    # Nor from this one: it holds the conninfo, password and all.
    raise failure


async def _open_ours(settings: PoolSettings, check: Check, *, patience: float) -> OpenPool:
    if failure := await _look(settings, check):
        raise failure
    connections: WeakSet[Connection] = WeakSet()

    async def prepare(connection: Connection) -> None:
        connections.add(connection)
        if settings.prepared:  # else a pooler is in between, and would pass it on to others
            with ending_if_cancelled():
                await connection.execute(_CONFIGURE)

    pool = settings.make(prepare)
    try:
        # With a connection at hand the first caller does not make the pool grow.
        await pool.open(wait=True, timeout=settings.timeout)
    except psycopg.Error as error:
        failure = translated(error)
    except asyncio.CancelledError:
        await pool.close()
        raise
    else:
        lender = Lender(pool, keeps=True)
        locks = Locks(lender, patience=patience)
        return OpenPool(
            pool=pool,
            lender=lender,
            watch=Watch(patience),
            ours=True,
            locks=locks,
            connections=connections,
        )
    raise failure


async def _look(settings: PoolSettings, check: Check) -> SessionError | None:
    """Connect once and check the database; return what is wrong with it, if anything is."""
    try:
        async with await AsyncConnection.connect(settings.conninfo, autocommit=True) as connection:
            await check(connection)
    except psycopg.OperationalError as error:
        reason = " ".join(str(error).split())
        return StoreUnavailableError(f"PostgreSQL cannot be reached: {reason}")
    except psycopg.Error as error:
        return translated(error)
    return None


async def _try_on(pool: Pool) -> None:
    """Have a pool that has given up connecting try again, if anybody waits for it."""
    if pool.get_stats()["requests_waiting"]:
        await pool.check()  # it has no connection to check, but grows
