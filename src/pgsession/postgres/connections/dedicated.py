"""Work on one connection that nobody else uses meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar, TypeVarTuple

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict

from pgsession.core.store import BLOCK_IS_OVER
from pgsession.errors import SessionError, StoreUnavailableError
from pgsession.postgres.connections.connection import Connection, closing, finish
from pgsession.postgres.connections.deadline import Deadline
from pgsession.postgres.connections.failures import (
    Verdict,
    explained,
    judge,
    translated,
    unreachable,
)

#: Seconds that the server may take to answer the second time.
_BRIEFLY: Final = 1.0

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


class Dedicated:
    """Runs work on one connection, each piece once and for `timeout` seconds at most.

    Pieces of work run one after another, and none after `end`.
    """

    def __init__(self, connection: Connection, *, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout
        self._order = asyncio.Lock()
        self._is_over = False

    def check(self) -> None:
        """Raise `SessionError` after `end`: the connection may be another's."""
        if self._is_over:
            raise SessionError(BLOCK_IS_OVER)

    async def end(self) -> None:
        """Reject further work, and wait for the piece under way, even if cancelled meanwhile.

        What follows on the connection, a commit or another's work, must not come
        between its statements.
        """
        self._is_over = True
        cancelled: asyncio.CancelledError | None = None
        while self._order.locked():
            try:
                async with self._order:
                    pass
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    async def run(self, work: Callable[[Connection, *_Ts], Awaitable[_T]], *arguments: *_Ts) -> _T:
        """Return what ``work(connection, *arguments)`` returns. Raises our error for the driver's.

        It commits nothing: in a transaction, that is its owner's business.
        Raises `SessionError` after `end`.
        """
        self.check()
        deadline = Deadline(self._timeout)
        try:
            with deadline:
                async with self._order:
                    self.check()
                    return await work(self._connection, *arguments)
        except TimeoutError:
            if not deadline.interruptions:
                raise
            failure: SessionError = StoreUnavailableError(
                "The database did not answer in time. Try again."
            )
        except psycopg.Error as error:
            failure = translated(error)
            if judge(error) is Verdict.STALE:
                finish(self._connection)  # so that no other caller gets it
        raise failure


@asynccontextmanager
async def dedicated(conninfo: str, *, purpose: str, timeout: float) -> AsyncIterator[Dedicated]:
    """Connect outside the pool, in autocommit, nothing prepared; yield what runs work there.

    The `purpose` stands in pg_stat_activity, after the application's name.
    Raises `StoreUnavailableError` saying why the database cannot be reached.
    """
    name = f"{conninfo_to_dict(conninfo).get('application_name', 'pgsession')} {purpose}"
    try:
        connection = await _connect(conninfo, name)
    except psycopg.OperationalError as error:
        failure: SessionError = unreachable(error)
    else:
        async with closing(connection):
            work = Dedicated(connection, timeout=timeout)
            try:
                await work.run(_ask)
            except StoreUnavailableError as error:
                failure = error
            else:
                yield work
                return
        failure = await _reason(conninfo, name) or failure
    # Not caused by the driver's error, which holds the conninfo, password and all.
    raise failure


async def _connect(conninfo: str, name: str) -> Connection:
    return await AsyncConnection.connect(
        conninfo, autocommit=True, prepare_threshold=None, application_name=name
    )


async def _ask(connection: Connection) -> None:
    """Ask the server for nothing: a pooler accepts a connection before it has one to the server."""
    await connection.execute("SELECT")


async def _reason(conninfo: str, name: str) -> SessionError | None:
    """Return why the server does not answer, if a pooler says so on a second connection.

    PgBouncer keeps the first client waiting that needs a server, and rejects others as soon as
    it has failed to connect.
    """
    try:
        async with closing(await _connect(conninfo, name)) as connection:
            await Dedicated(connection, timeout=_BRIEFLY).run(_ask)
    except psycopg.OperationalError as error:
        return unreachable(error)
    except StoreUnavailableError as error:
        return error if explained(error) else None
    return None
