"""Connections of a pool, lent to one piece of work after another."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import Context
from typing import Final

from psycopg.pq import TransactionStatus

from pgsession.postgres.connections.connection import Connection, OwnConnection, Pool, has_hung_up

#: Seconds after which a connection returns to its pool, which sees to its age and number.
_KEPT: Final = 1.0


class Lender:
    """Lends the connections of a pool; where it `keeps` them, it has them at hand between two uses.

    To take a connection out of a pool and to put it back costs a good part of
    what a small statement does. So a connection that comes back is lent again
    for a second, unless somebody waits at the pool. Keep only what nobody else
    takes from that pool.

    It belongs to the event loop in which its pool was opened.
    """

    def __init__(self, pool: Pool, *, keeps: bool) -> None:
        self._pool = pool
        self._keeps = keeps
        self._at_hand: list[Connection] = []
        #: When each connection that is out of the pool was taken from there.
        self._taken_at: dict[Connection, float] = {}
        #: So many wait at the pool.
        self._waiting = 0
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def most(self) -> int:
        """How many connections there are at most."""
        return self._pool.max_size

    def lend(self, *, living: bool) -> AbstractAsyncContextManager[Connection]:
        """Lend a connection: ``async with lender.lend(…) as connection``.

        `living` is for what may not be sent twice: the server has not hung up,
        so far; a connection that was found dead before has certainly carried
        nothing. Raises what the pool raises.
        """
        if self._keeps:
            return _Loan(self, living=living)
        return self._lend_once(living=living)

    @asynccontextmanager
    async def _lend_once(self, *, living: bool) -> AsyncIterator[Connection]:
        """Do what the pool's own ``connection()`` does, and lose none to who is cancelled."""
        while True:
            connection = await self._pool.getconn()
            try:
                if living and has_hung_up(connection):
                    await connection.close()
                    continue
                async with connection:
                    yield connection
                return
            finally:
                await self._finish(self._pool.putconn(connection))

    async def take(self) -> Connection:
        """Return a connection, which is to be given back."""
        if self._at_hand:
            return self._at_hand.pop()
        self._waiting += 1
        try:
            connection: Connection = await self._pool.getconn()
        finally:
            self._waiting -= 1
        self._taken_at[connection] = time.monotonic()
        return connection

    async def give_back(self, connection: Connection) -> None:
        """Take a connection back, whatever its state."""
        if (
            not self._waiting
            and self._taken_at.get(connection, -math.inf) + _KEPT > time.monotonic()
            and connection.pgconn.transaction_status == TransactionStatus.IDLE
        ):
            self._at_hand.append(connection)
            if self._timer is None:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(_KEPT, self._return)
        else:
            await self._finish(self._put_back(connection))

    async def drain(self) -> None:
        """Have all connections replaced, those that are lent as soon as they come back."""
        self._taken_at = {}
        self._return()
        await self._finish(self._pool.drain())

    async def close(self) -> None:
        """Return what is at hand, and keep nothing any more."""
        self._keeps = False
        self._taken_at = {}
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._return()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _return(self) -> None:
        """Begin to return to the pool what is at hand."""
        self._timer = None
        while self._at_hand:
            self._finish(self._put_back(self._at_hand.pop()))

    async def _put_back(self, connection: Connection) -> None:
        self._taken_at.pop(connection, None)
        if isinstance(connection, OwnConnection):
            connection.kept_cursor = None
        await self._pool.putconn(connection)

    def _finish(self, work: Coroutine[None, None, None]) -> asyncio.Future[None]:
        """Have the pool's work done, though who awaits it may be cancelled meanwhile.

        Interrupted, the pool would lose a connection, and the room for it.
        """
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return asyncio.shield(task)


class _Loan:
    """The use of a kept connection: in autocommit, so that nothing is to be committed."""

    __slots__ = ("_connection", "_lender", "_living")

    def __init__(self, lender: Lender, *, living: bool) -> None:
        self._lender = lender
        self._living = living

    async def __aenter__(self) -> Connection:
        self._connection = await self._lender.take()
        while self._living and has_hung_up(self._connection):
            try:
                await self._connection.close()
            finally:
                await self._lender.give_back(self._connection)
            self._connection = await self._lender.take()
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        await self._lender.give_back(self._connection)
