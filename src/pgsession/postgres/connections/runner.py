"""Work on a store's connections: done in time, and retried where that is safe."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, TypeVarTuple

import psycopg

from pgsession.errors import SessionError, StoreBusyError, StoreUnavailableError
from pgsession.postgres.connections.connection import Connection, finish
from pgsession.postgres.connections.deadline import Deadline
from pgsession.postgres.connections.failures import Retries, Verdict, judge, translated
from pgsession.postgres.connections.lone import LoneStatement, Question, begin_alone
from pgsession.postgres.connections.pool import Pool

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

#: After one of these the other connections are probably of no use either.
_SPREADS: Final = frozenset({Verdict.LOST, Verdict.STALE})

#: Seconds that an operation may take, including the wait for a connection and all retries.
DEFAULT_TIMEOUT: Final = 5.0


class Runner:
    """Runs work on the connections of a pool, each piece for `timeout` seconds at most.

    `on_astray` is called when a prepared statement was not found, or found to
    be taken, before the work is retried.
    """

    def __init__(self, pool: Pool, *, timeout: float, on_astray: Callable[[], None]) -> None:
        self._pool = pool
        self._timeout = timeout
        self._on_astray = on_astray

    async def run(
        self,
        work: Callable[[Connection, *_Ts], Awaitable[_T]],
        *arguments: *_Ts,
        idempotent: bool = True,
    ) -> _T:
        """Return what ``work(connection, *arguments)`` returns, committed.

        It is retried

        - once, if the connection was of no use, or a prepared statement went
          astray: then the work was not done;
        - once, if the connection was lost and the work is `idempotent`, that is,
          if doing it twice has the same effect and answer as doing it once;
        - a few times, if the server rolled it back because of others, as it
          does with one of two batches that wait for each other's rows.

        Raises our error for the driver's: `StoreBusyError` if no connection was
        free in time, `StoreUnavailableError` if the server did not answer in
        time, and what `translated` says for the rest.
        """
        pool, retries, is_sent = self._pool, None, False
        failure: SessionError
        deadline = Deadline(self._timeout)
        try:
            with deadline:
                while True:
                    connection = None
                    try:
                        connection = await pool.acquire()
                        is_sent = True
                        answer = await work(connection, *arguments)
                        if not connection.autocommit:
                            await connection.commit()
                    except psycopg.Error as error:
                        failure = translated(error)
                        verdict = self._judge(error, connection)
                    else:
                        if not idempotent:
                            pool.note_write()
                        return answer
                    finally:
                        if connection is not None:
                            pool.release(connection)
                    retries = retries or Retries(idempotent=idempotent)
                    if not await self._recover(verdict, retries) or deadline.interruptions:
                        break
        except TimeoutError:
            if not deadline.interruptions:
                raise
            failure = pool.failure or _late(is_sent=is_sent)
        if isinstance(failure, StoreBusyError):
            failure = pool.failure or failure  # the reason, if connections cannot be made
        if deadline.interruptions > 1:  # the server did not even answer the request to cancel
            await pool.replace_all()
        # Not while the driver's error is handled, nor caused by it: it quotes parameters.
        raise failure

    def begin(
        self, question: Question[_T], then: Callable[[_T | SessionError, bool], None]
    ) -> LoneStatement[_T] | None:
        """Begin a statement without a task, if that is possible now, else return None.

        `then` gets its answer, or the error of this one attempt: nothing is retried.
        It has no time limit: see `LoneStatement.stop`.
        """
        return begin_alone(self._pool, question, then)

    def unreachable(self) -> StoreUnavailableError | None:
        """Return a new error with the reason why no connection can be made; None if one can."""
        return self._pool.failure

    def _judge(self, error: psycopg.Error, connection: Connection | None) -> Verdict:
        """Return what to do, and close a connection of no use, so that no caller gets it.

        If all were closed just now, the server itself takes no writes, and another
        connection would be of no use either.
        """
        verdict = judge(error)
        if verdict is Verdict.STALE and connection is not None:
            if not self._pool.may_replace():
                return Verdict.UNAVAILABLE
            finish(connection)
        return verdict

    async def _recover(self, verdict: Verdict, retries: Retries) -> bool:
        """Prepare the retry after a failure, and wait before it; return False if there is none."""
        if verdict in _SPREADS:
            await self._pool.replace_all()
        elif verdict is Verdict.ASTRAY:
            self._on_astray()
        pause = retries.pause(verdict)
        if pause is None:
            return False
        await asyncio.sleep(pause * random.random())  # noqa: S311 - to part the two
        return True


def _late(*, is_sent: bool) -> StoreUnavailableError:
    if is_sent:
        return StoreUnavailableError("The database did not answer in time. Try again.")
    return StoreBusyError("No connection to the database was free in time. Try again.")
