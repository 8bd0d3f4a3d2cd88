"""Work on connections to PostgreSQL: done in time, or given up in time."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, Generic, Protocol, TypeVar

import psycopg

from pgsession.errors import (
    SessionError,
    StoreBusyError,
    StoreClosedError,
    StoreUnavailableError,
)
from pgsession.postgres.connections.connection import Connection, Pool
from pgsession.postgres.connections.deadline import Deadline
from pgsession.postgres.connections.failures import Course, Verdict, judge, translated
from pgsession.postgres.connections.lender import Lender
from pgsession.postgres.connections.pool import Check, OpenPool, PoolSettings, open_pool

_T = TypeVar("_T")

#: Where one connection is of no use, the others are not either.
_RENEWS: Final = frozenset({Verdict.LOST, Verdict.STALE})

#: Seconds that an operation may take, the wait for its turn and all attempts included.
DEFAULT_TIMEOUT: Final = 5.0


class Runner(Protocol):
    """What gives a piece of work a connection."""

    async def run(
        self, work: Callable[[Connection], Awaitable[_T]], *, idempotent: bool = True
    ) -> _T:
        """Return what `work` returns, its driver's errors translated into ours.

        Only what is `idempotent` is sent again when its connection is lost:
        with the same effect and the same answer, whatever others do in between.
        """
        ...


class Connections:
    """Gives each piece of work a connection, and opens the pool before the first.

    `check` sees the first connection of all; what it raises, `open` raises.
    `on_open` is called whenever the pool has been opened.
    """

    def __init__(
        self,
        source: PoolSettings | Pool,
        *,
        check: Check,
        patience: float,
        on_open: Callable[[], None],
    ) -> None:
        self._source = source
        self._on_open = on_open
        self._patience = patience
        self._check = check
        self._opened: OpenPool | None = None
        self._opening = asyncio.Lock()
        self._closed_in: asyncio.AbstractEventLoop | None = None
        #: How the attempts to open have failed so far: how often, and why the last one did.
        self._failures = 0
        self._failure: SessionError | None = None

    async def run(
        self, work: Callable[[Connection], Awaitable[_T]], *, idempotent: bool = True
    ) -> _T:
        """Return what `work` returns, its driver's errors translated into ours.

        It is given up after `patience` seconds, and tried again meanwhile:

        - once, on another connection, if the first was lost, provided that it
          is `idempotent`, or could serve it no longer;
        - a few times, if the server undid it for the sake of others: of two
          batches from two processes that wait for each other's rows, it ends one.
        """
        trial, course = _Trial(work, is_careful=not idempotent), None
        opened = self._opened
        is_here = opened is not None and opened.loop is asyncio.get_running_loop()
        deadline = opened.watch.deadline() if opened and is_here else Deadline(self._patience)
        try:
            with deadline:
                if opened is None or not is_here:
                    opened = await self._here()
                while True:
                    try:
                        return await trial.run(opened.lender)
                    except psycopg.Error as error:
                        verdict, failure = judge(error), translated(error)
                    if verdict in _RENEWS:
                        await opened.renew()
                        trial.is_careful = True
                    course = course or Course(idempotent=idempotent)
                    pause = None if deadline.strikes else course.pause(verdict)
                    if pause is None:
                        break
                    await asyncio.sleep(pause * random.random())  # noqa: S311 - to part the two
        except TimeoutError:
            if not deadline.strikes:
                raise
            failure = trial.lateness()
        if deadline.strikes > 1 and self._opened is not None:
            await self._opened.renew()  # the server does not even listen to a request to cancel
        # Not from the driver's error, which quotes parameters, nor while it is handled.
        raise failure

    @asynccontextmanager
    async def hold(self, number: int, timeout: float) -> AsyncIterator[Runner]:
        """Hold a lock; yield what runs work in the transaction that holds it."""
        opened = await self._open_in_time()
        async with opened.locks.hold(number, timeout) as connection:
            yield _Held(connection, self._patience)

    async def open(self) -> bool:
        """Open the pool unless it is open, and check the database; return whether it was closed.

        Raises `StoreUnavailableError` saying why the database cannot be
        reached.
        """
        was_closed = self._opened is None
        self._closed_in = None
        await self._open_in_time()
        return was_closed

    async def close(self) -> None:
        """Close the pool if it was opened here. Closing twice is fine.

        Whoever comes late in this event loop gets `StoreClosedError`; another
        event loop may open it again by using it.
        """
        self._closed_in = asyncio.get_running_loop()
        opened, self._opened = self._opened, None
        if opened is not None and opened.loop is self._closed_in:
            await opened.close()

    async def _open_in_time(self) -> OpenPool:
        deadline = Deadline(self._patience)
        try:
            with deadline:
                return await self._here()
        except TimeoutError:
            if not deadline.strikes:
                raise
        raise StoreUnavailableError(f"PostgreSQL did not answer within {self._patience:g} seconds.")

    async def _here(self) -> OpenPool:
        """Return the pool of this event loop, opened."""
        opened = self._opened
        loop = asyncio.get_running_loop()
        if opened is not None and opened.loop is loop:
            return opened
        if self._closed_in is loop:
            raise StoreClosedError("The store is closed. Open it again, or make a new one.")
        if opened is not None:
            self._leave(opened)
        failures = self._failures
        async with self._opening:
            if self._opened is None:
                if self._failure is not None and self._failures > failures:
                    # Who has waited for an attempt that failed does not begin another.
                    raise type(self._failure)(str(self._failure))
                await self._try_to_open()
            if self._opened is None:
                raise StoreClosedError("The store was closed while it was being opened.")
            return self._opened

    async def _try_to_open(self) -> None:
        try:
            opened = await open_pool(self._source, self._check, patience=self._patience)
        except SessionError as error:
            self._failures += 1
            self._failure = error
            raise
        if self._closed_in is not opened.loop:
            self._opened = opened
            self._on_open()
        else:
            await opened.close()

    def _leave(self, opened: OpenPool) -> None:
        """Give up a pool whose event loop has ended; refuse to share one that has not.

        Test clients end an event loop with every request.
        """
        if opened.process != os.getpid():
            raise StoreClosedError(
                "The store was opened before this process was forked, and a connection cannot be "
                "shared. Make the store, or open it, in the process that uses it."
            )
        if not opened.ours or not opened.loop.is_closed():
            raise StoreClosedError(
                "The store is open in another event loop. Make one store for each event loop."
            )
        opened.cut_off()
        self._opened = None
        self._opening = asyncio.Lock()


class _Trial(Generic[_T]):
    """A piece of work, attempted on one connection after another."""

    def __init__(self, work: Callable[[Connection], Awaitable[_T]], *, is_careful: bool) -> None:
        self._work = work
        #: Look whether the server has hung up, before anything is sent.
        self.is_careful = is_careful
        self._is_sent = False

    async def run(self, lender: Lender) -> _T:
        """Do the work once. Raises what psycopg raises."""
        async with lender.lend(living=self.is_careful) as connection:
            self._is_sent = True
            try:
                return await self._work(connection)
            except psycopg.Error as error:
                if judge(error) is Verdict.STALE:
                    connection.pgconn.finish()  # whosever pool it is, it is of no use there
                raise

    def lateness(self) -> StoreUnavailableError:
        """Return the error for work that was not done in time."""
        if self._is_sent:
            return StoreUnavailableError("The database did not answer in time. Try again.")
        return StoreBusyError("No connection to the database was free in time. Try again.")


class _Held:
    """Runs work in a transaction that is under way."""

    def __init__(self, connection: Connection, patience: float) -> None:
        self._connection = connection
        self._patience = patience

    async def run(
        self,
        work: Callable[[Connection], Awaitable[_T]],
        *,
        idempotent: bool = True,  # noqa: ARG002 - once: what came before is lost with the connection
    ) -> _T:
        try:
            with Deadline(self._patience):
                return await work(self._connection)
        except psycopg.Error as error:
            failure = translated(error)
        except TimeoutError:
            failure = StoreUnavailableError("The database did not answer in time. Try again.")
        raise failure
