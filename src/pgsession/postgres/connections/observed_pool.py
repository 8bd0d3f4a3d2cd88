"""A pool whose connections are observed: how long they are waited for, and used."""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic
from typing import Final

from msgspec.structs import replace
from psycopg_pool import PoolTimeout

from pgsession.core.observer import StoreObserver, Usage
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.connections.own_pool import OwnPool, PoolSettings
from pgsession.postgres.connections.pool import Check, DriverPool, Pool

#: The part of the timeout after which a caller that gives up has waited in vain.
_NEARLY: Final = 0.95


class ObservedPool(Pool):
    """A `Pool` that tells an observer of its connections."""

    def __init__(
        self,
        source: PoolSettings | DriverPool,
        *,
        observer: StoreObserver,
        check: Check,
        inspect: Check,
        on_open: Callable[[], None],
        timeout: float,
    ) -> None:
        self._process = os.getpid()
        self._observer = observed = observer.of_pool(self)
        if isinstance(source, PoolSettings):
            source = replace(source, on_made=observed.note_made)
        super().__init__(source, check=check, inspect=inspect, on_open=on_open, timeout=timeout)
        #: When each connection in use was acquired.
        self._used_since: dict[Connection, float] = {}

    async def acquire(self) -> Connection:
        begin, observer = monotonic(), self._observer
        try:
            connection = await super().acquire()
        except BaseException as error:
            # The caller's own time limit may end its wait before psycopg's pool does.
            if isinstance(error, PoolTimeout) or monotonic() - begin >= _NEARLY * self._timeout:
                observer.note_timeout(self._refusal())
            raise
        self._note_acquired(connection, begin)
        return connection

    def take_ready(self) -> Connection | None:
        begin = monotonic()
        connection = super().take_ready()
        if connection is not None:
            self._note_acquired(connection, begin)
        return connection

    def _note_acquired(self, connection: Connection, begin: float) -> None:
        now = self._used_since[connection] = monotonic()
        try:
            self._observer.note_wait(now - begin)
        except BaseException:  # no observer should raise; the connection must not be lost
            self.release(connection)
            raise

    def release(self, connection: Connection) -> None:
        since, now = self._used_since.pop(connection, None), monotonic()
        super().release(connection)
        if since is not None:
            self._observer.note_use(now - since)

    def usage(self) -> Usage | None:
        """Return the connections now; None while it is not open, and in a process forked since.

        It may be another thread's.
        """
        pool = self._pool
        if pool is None or self._is_closed or self._process != os.getpid():
            return None
        stats = pool.get_stats()
        most, idle = stats["pool_max"], stats["pool_available"] + len(self._ready)
        if isinstance(pool, OwnPool):
            # psycopg counts connections that are being made, and callers that have given up, too.
            return Usage(idle, len(self._used_since), most, self._waiting)
        return Usage(idle, max(0, stats["pool_size"] - idle), most, stats["requests_waiting"])

    def _refusal(self) -> str:
        """Return why a caller has got no connection, as one of `REFUSALS`."""
        usage = self.usage()
        is_full = usage is not None and usage.used >= usage.most
        return "in_use" if is_full else "not_made"
