"""psycopg's pool as a store sets it up for itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import Context
from datetime import timedelta
from typing import Any, Final
from weakref import WeakSet

from msgspec import Struct
from psycopg import OperationalError
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from pgsession.core.period import Period, as_period
from pgsession.errors import InvalidPeriodError, SettingsError, StoreUnavailableError
from pgsession.postgres.connections.connection import (
    OwnConnection,
    ending_if_cancelled,
    finish,
)
from pgsession.postgres.connections.connection_log import (
    ConnectionLog,
    OwnName,
    limit_driver_log,
    naming_tasks,
)
from pgsession.postgres.connections.deadline import Deadline
from pgsession.postgres.connections.failures import unreachable
from pgsession.postgres.connections.pooler import is_pooled

#: Callers that may wait for each connection; one more gets `StoreBusyError` at once.
_WAITING_EACH: Final = 64

#: Seconds for which psycopg's pool retries by itself to connect. Its first pause is a second, which
#: is long for a server that restarts at once, so it gives up early and is started again from here.
_GIVING_UP: Final = 0.05

#: Seconds between two attempts to connect while callers wait: the first pause and the longest.
_SHORTEST: Final = 0.1
_LONGEST: Final = 0.5

#: Seconds for which callers wait for a server that cannot be reached, as it may just restart. After
#: that they are told at once, while the pool goes on trying.
_RESTARTING: Final = 1.0

#: Seconds that a caller waits for a connection before it asks `OwnPool.down` again. Also if there
#: seem to be some: those of a killed server are found out one by one, by who takes them.
PATIENCE: Final = _RESTARTING + 2 * _SHORTEST

#: Rows are looked up by key and locked in the order of the batch, so two batches never deadlock.
#: That leaves one plan, which need not be made again for each batch; Citus needs a plan of its own
#: for each. Each statement sees what is committed when it runs.
_CONFIGURE: Final = """
SELECT
    pg_catalog.set_config('enable_seqscan', 'off', false),
    pg_catalog.set_config('enable_bitmapscan', 'off', false),
    pg_catalog.set_config('enable_hashjoin', 'off', false),
    pg_catalog.set_config('enable_mergejoin', 'off', false),
    pg_catalog.set_config('plan_cache_mode', CASE
        WHEN pg_catalog.to_regclass('pg_catalog.pg_dist_partition') IS NULL
        THEN 'force_generic_plan'
        ELSE 'auto'
    END, false),
    pg_catalog.set_config('default_transaction_isolation', 'read committed', false)
"""


#: How old a connection becomes, unless something else is said.
DEFAULT_LIFETIME: Final = timedelta(hours=1)

_SHORTEST_LIFETIME: Final = timedelta(seconds=1)

#: psycopg's pool replaces a connection that is released after this part of the lifetime. Those that
#: are idle are looked at as often as the second part says, and a `Pool` keeps none ready for longer
#: than the third part, so all are replaced within the lifetime.
_OLD: Final = 0.75
_LOOKING: Final = 0.05
KEPT: Final = 0.05

#: Seconds to wait for a connection that was idle just before.
_BRIEFLY: Final = 0.01


def as_lifetime(lifetime: Period) -> timedelta:
    """Return how old a connection becomes. Raises `SettingsError` if that is under a second."""
    try:
        period = as_period(lifetime)
    except InvalidPeriodError as error:
        raise SettingsError(f"connection_lifetime: {error}") from None
    if period < _SHORTEST_LIFETIME:
        raise SettingsError("connection_lifetime must be at least a second.")
    return period


class PoolSettings(Struct, frozen=True, kw_only=True):
    """Where to connect, and with how many connections at most. The repr shows none of it."""

    conninfo: str
    size: int
    #: Seconds that a caller waits for a connection at most.
    timeout: float
    #: Whether statements are prepared; None: only on direct connections.
    prepared: bool | None
    #: How many connections are kept, however long they are idle.
    least: int = 1
    #: Every so many seconds one of the others is closed if it was idle for as long.
    idle: float = 600.0
    #: Is told how many seconds it took to make a connection, or None.
    on_made: Callable[[float], object] | None = None
    #: Every connection is closed before it is so many seconds old, or when its user releases it.
    lifetime: float = DEFAULT_LIFETIME.total_seconds()

    def __repr__(self) -> str:
        return f"<PoolSettings size={self.size}>"


class OwnPool(AsyncConnectionPool[OwnConnection]):
    """A pool of connections in autocommit, as each operation is one statement.

    It starts with its `least` number of connections. After a failure to connect it retries, first
    after `_SHORTEST` and then up to `_LONGEST` seconds, as long as callers wait.
    """

    def __init__(self, settings: PoolSettings) -> None:
        #: Every connection that was made here and is in use somewhere.
        self.made: WeakSet[OwnConnection] = WeakSet()
        #: Those that the server has answered, except if all were replaced since.
        self._answered: WeakSet[OwnConnection] = WeakSet()
        self._prepared = settings.prepared
        self._limit = settings.timeout
        self._on_made = settings.on_made
        self._pause = _SHORTEST
        self._timer: asyncio.TimerHandle | None = None
        #: Why and when the last attempt to connect failed, and since when they all fail.
        self._failure: StoreUnavailableError | None = None
        self._failed_at = 0.0
        self._failing_since = 0.0
        self._is_wanted = False
        self._checking: asyncio.Task[None] | None = None
        self._log = ConnectionLog()
        limit_driver_log()
        self._looking_every = _LOOKING * settings.lifetime
        self._looking: asyncio.TimerHandle | None = None
        self._replacing: asyncio.Task[None] | None = None
        super().__init__(
            settings.conninfo,
            connection_class=OwnConnection,
            open=False,
            configure=self._set_up,
            min_size=settings.least,
            max_size=settings.size,
            max_idle=settings.idle,
            max_lifetime=_OLD * settings.lifetime,
            timeout=settings.timeout,
            max_waiting=settings.size * _WAITING_EACH,
            reconnect_timeout=_GIVING_UP,
            reconnect_failed=self._retry_later,
            name=OwnName("pgsession"),
            kwargs={"autocommit": True, "on_failure": self._note_failure},
        )

    @property
    def failure(self) -> StoreUnavailableError | None:
        """A new error with the reason why there is no connection; None if there is one."""
        if self._failure is None or self._is_connected():
            return None
        return type(self._failure)(str(self._failure))

    def down(self) -> StoreUnavailableError | None:
        """Return the error for a caller that need not wait, as all attempts have failed for long.

        If so, the pool makes another attempt soon. If the last attempt was long
        ago, nothing is known, and the caller waits for the next.
        """
        failure, now = self.failure, time.monotonic()
        if (
            failure is None
            or now - self._failing_since < _RESTARTING
            or now - self._failed_at > 2 * _LONGEST
        ):
            return None
        self._is_wanted = True
        self._plan_retry()
        return failure

    async def open(self, wait: bool = False, timeout: float = 30.0) -> None:  # noqa: FBT001, FBT002 - psycopg's
        """Open it, and begin to look for idle connections that are old."""
        with naming_tasks():
            await super().open(wait, timeout)
        self._look_later()

    async def drain(self) -> None:
        """Replace all connections. One that a caller still waits on says nothing of the server."""
        self._answered.clear()
        await super().drain()

    async def close(self, timeout: float = 5.0) -> None:
        """Close it, and stop retrying."""
        if self._looking is not None:
            self._looking.cancel()
        if self._replacing is not None:  # not cancelled: it may hold a connection
            await asyncio.wait({self._replacing})
        if self._timer is not None:
            self._timer.cancel()
        await super().close(timeout)

    def note_closed(self) -> None:
        """Log that a connection was closed, if a line is due."""
        self._log.record_closed()

    def cut(self) -> None:
        """Cut every connection, without the event loop, which has ended."""
        for connection in self.made:
            finish(connection)

    def _look_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._looking = loop.call_later(self._looking_every, self._look, context=Context())

    def _look(self) -> None:
        self._replacing = asyncio.get_running_loop().create_task(self._replace_old())
        self._look_later()

    async def _replace_old(self) -> None:
        """Take each idle connection and put it back: the pool closes it then if it is old."""
        for _ in range(self.get_stats()["pool_available"]):
            try:
                connection = await self.getconn(_BRIEFLY)
            except (PoolTimeout, TooManyRequests):
                return  # none is idle any more
            await self.putconn(connection)

    async def _set_up(self, connection: OwnConnection) -> None:
        self.made.add(connection)
        if self._on_made is not None:
            self._on_made(connection.made_in)
        try:
            with ending_if_cancelled(), Deadline(self._limit):
                if not await is_pooled(connection):  # a pooler would pass the settings on to others
                    await connection.execute(_CONFIGURE)
                elif not self._prepared:
                    connection.prepare_threshold = None
        except TimeoutError:
            # Else the pool would wait for this connection for ever, and make no other.
            finish(connection)
            failure = OperationalError("the server did not answer a new connection in time")
            self._note_failure(failure)
            raise failure from None
        except OperationalError as error:  # a pooler's, which has accepted the connection
            finish(connection)
            self._note_failure(error)
            raise
        if self._prepared is False:
            connection.prepare_threshold = None
        self._answered.add(connection)
        self._pause = _SHORTEST
        self._failure = None

    async def _retry_later(self, _pool: AsyncConnectionPool[Any]) -> None:
        """Plan the next attempt: psycopg's pool has just given one up."""
        self._plan_retry()

    def _note_failure(self, error: OperationalError) -> None:
        self._failed_at = time.monotonic()
        if self._failure is None or self._is_connected():
            self._failing_since = self._failed_at
        self._failure = unreachable(error)
        self._log.record_failure(self._failure)

    def _is_connected(self) -> bool:
        return any(not connection.closed for connection in self._answered)

    def _plan_retry(self) -> None:
        if self._timer is None and not self.closed:
            self._timer = asyncio.get_running_loop().call_later(self._pause, self._retry)
            self._pause = min(2 * self._pause, _LONGEST)

    def _retry(self) -> None:
        self._timer = None
        if self._is_wanted or self.get_stats()["requests_waiting"]:
            self._is_wanted = False
            # It has no connection to check, but it grows.
            self._checking = asyncio.get_running_loop().create_task(self.check())
