"""A statement that no task waits for: the event loop calls back with its answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, NamedTuple, TypeVar

import psycopg
from psycopg.pq.abc import PGresult
from psycopg.rows import TupleRow

from pgsession.errors import SessionError
from pgsession.postgres.connections.connection import OwnConnection
from pgsession.postgres.connections.execution import (
    Prepared,
    find_prepared,
    load,
    needs_no_cursor,
)
from pgsession.postgres.connections.failures import Retries, judge, translated
from pgsession.postgres.connections.pool import Pool
from pgsession.postgres.connections.statement import Statement

_T = TypeVar("_T")


class Question(NamedTuple, Generic[_T]):
    """A statement, its arguments, and what makes an answer of its rows. The repr shows none."""

    statement: Statement
    arguments: Sequence[object]
    read: Callable[[list[TupleRow]], _T]

    def __repr__(self) -> str:
        return "Question()"


class LoneStatement(Generic[_T]):
    """A prepared statement under way. `then` is called once, with the answer or our error.

    With an error it also gets whether `Runner` would make another attempt.

    A task, with its turns of the event loop, would be a fifth of the client's time for it. As no
    task waits for it, none can be cancelled: its connection is released when the
    server has answered, or after `stop`.
    """

    __slots__ = ("_connection", "_pool", "_prepared", "_read", "_then")

    def __init__(
        self,
        pool: Pool,
        connection: OwnConnection,
        prepared: Prepared,
        read: Callable[[list[TupleRow]], _T],
        then: Callable[[_T | SessionError, bool], None],
    ) -> None:
        """Send it. Raises `psycopg.Error` if it cannot be sent; then nothing else is done."""
        self._pool = pool
        self._connection = connection
        self._prepared = prepared
        self._read = read
        self._then = then
        name, parameters, transformer = prepared
        connection.listener.begin(name, parameters, transformer.formats, self)

    def stop(self) -> None:
        """End it, as it takes too long; `then` is not called any more."""
        self._connection.listener.end()
        self._pool.cancel_and_release(self._connection)

    def done(self) -> bool:
        """Tell the listener that the answer is waited for."""
        return False

    def set_result(self, result: PGresult | None) -> None:
        """Take the result from the listener."""
        self._connection.listener.end()
        answer: _T | SessionError
        may_retry = False
        try:
            if result is None:
                raise psycopg.InternalError("got no result from the query")
            answer = self._read(load(self._prepared.transformer, result))
        except psycopg.Error as error:
            answer, may_retry = _judged(error)
        self._pool.release(self._connection)
        self._then(answer, may_retry)

    def set_exception(self, error: psycopg.Error) -> None:
        """Take the reason from the listener why there is no result."""
        self._connection.listener.end()
        self._pool.release(self._connection)
        self._then(*_judged(error))


def _judged(error: psycopg.Error) -> tuple[SessionError, bool]:
    return translated(error), Retries(idempotent=True).pause(judge(error)) is not None


def begin_alone(
    pool: Pool, question: Question[_T], then: Callable[[_T | SessionError, bool], None]
) -> LoneStatement[_T] | None:
    """Send a statement now, on a connection that is ready and has it prepared.

    Returns None if there is none; then nothing was done. `then` gets the answer.
    """
    statement, arguments, read = question
    ready = pool.ready
    if ready is None or not needs_no_cursor(ready):
        return None
    prepared = find_prepared(ready, statement, arguments)
    if prepared is None:
        return None
    connection = pool.take_ready()
    if connection is ready:
        with suppress(psycopg.Error):  # a connection that was lost: a lane replaces all
            return LoneStatement(pool, ready, prepared, read, then)
    if connection is not None:
        pool.release(connection)
    return None
