"""What a store uses in one event loop: its connections, its locks, and its calls."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from pgsession.core.observer import StoreObserver
from pgsession.errors import StoreClosedError
from pgsession.postgres.batching import Batches, Calls
from pgsession.postgres.checking import Checking
from pgsession.postgres.connections.locks import Locks, lock_pool
from pgsession.postgres.connections.own_pool import PoolSettings
from pgsession.postgres.connections.pool import Check, DriverPool, Pool
from pgsession.postgres.connections.runner import Runner
from pgsession.postgres.statements.table import Table
from pgsession.postgres.table_name import TableName


class Engine:
    """Connections, locks and calls, in the running `loop` and process in which it is made.

    It opens on first use, is closed once, and then rejects every call.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        source: PoolSettings | DriverPool,
        table: Table,
        *,
        name: TableName,
        check: Check,
        inspect: Check,
        on_open: Callable[[], None],
        on_astray: Callable[[], None],
        timeout: float,
        limit: float,
        observer: StoreObserver | None = None,
    ) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.is_closed: bool = False
        self._process = os.getpid()
        make: Callable[..., Pool] = Pool
        if observer is not None:
            from pgsession.postgres.observing import observed_by  # noqa: PLC0415 - as its name

            make = observed_by(observer)
        self.pool: Pool = make(
            source, check=check, inspect=inspect, on_open=on_open, timeout=timeout
        )
        self.runner: Runner = Runner(self.pool, timeout=timeout, on_astray=on_astray)
        if isinstance(source, PoolSettings):
            self.pool.companion = lock_pool(source)
        self._lock_pool = self.pool.companion
        self.locks: Locks = Locks(
            self._lock_pool or self.pool,
            is_shared=self._lock_pool is None,
            timeout=timeout,
            limit=limit,
        )
        self._batches = Batches(table, self.runner, timeout=timeout, observer=observer)
        self.calls: Calls = self._batches.calls
        self.checking: Checking = Checking(self.runner, name)

    async def close(self) -> None:
        """Answer the calls under way, then close the connections, if they were opened here."""
        self.is_closed = True
        await self._batches.close()
        await self.checking.close()
        if self._lock_pool is not None:
            await self._lock_pool.close()
        await self.pool.close()

    def leave(self) -> None:
        """Make way for another event loop, if this one has ended.

        Test clients end an event loop with every request. Raises
        `StoreClosedError` if this one goes on, or belongs to another process.
        """
        if self._process != os.getpid():
            raise StoreClosedError(
                "The store was opened before this process was forked, and connections cannot be "
                "shared. Make the store, or open it, in the process that uses it."
            )
        if self.pool.is_in_use and not (self.pool.is_ours and self.loop.is_closed()):
            raise StoreClosedError(
                "The store is open in another event loop. Make one store for each event loop."
            )
        self.pool.abandon()
        if self._lock_pool is not None:
            self._lock_pool.abandon()
