"""How a statement is executed: by a cursor of psycopg, or faster, once it is prepared."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

import psycopg
from msgspec import Struct
from psycopg import AsyncCursor
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.rows import TupleRow

from pgsession.postgres.connections.connection import (
    Connection,
    OwnConnection,
    cursor_of,
    finish,
)
from pgsession.postgres.connections.statement import Statement

#: Seconds that the server has to end a statement that it was asked to cancel.
_CANCELING: Final = 10.0

_FINE: Final = frozenset({ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK})


class Answer(Struct, frozen=True, gc=False):
    """What a statement has returned. The repr shows none of it."""

    rows: list[TupleRow]
    #: How many rows it has returned or changed.
    rowcount: int

    @property
    def first(self) -> TupleRow | None:
        """The first row, if there is one."""
        return self.rows[0] if self.rows else None

    def __repr__(self) -> str:
        return f"Answer(rowcount={self.rowcount})"


async def execute(
    connection: Connection,
    statement: Statement,
    arguments: Sequence[object] | Mapping[str, object],
    *,
    prepare: bool,
) -> Answer:
    """Execute a statement; return all that it returns.

    Cancelled, it leaves the connection idle, or closed.
    """
    # A tool that traces statements puts its own cursor in this place: it must see all of them.
    if (
        prepare
        and isinstance(connection, OwnConnection)
        and connection.cursor_factory is AsyncCursor
        and connection.autocommit
        and connection.pgconn.transaction_status == TransactionStatus.IDLE
        and (answer := await _execute_prepared(connection, statement, arguments)) is not None
    ):
        return answer
    cursor = cursor_of(connection)
    await cursor.execute(statement, arguments, prepare=prepare)
    rows = [] if cursor.rownumber is None else await cursor.fetchall()
    return Answer(rows, cursor.rowcount)


async def _execute_prepared(
    connection: OwnConnection,
    statement: Statement,
    arguments: Sequence[object] | Mapping[str, object],
) -> Answer | None:
    """Do what `execute` does, without a cursor, or return None if the statement is not prepared.

    That costs the client half of what a cursor costs. The first execution is a
    cursor's, and it prepares the statement.
    """
    query, names = statement.numbered
    if isinstance(arguments, Mapping):
        arguments = [arguments[name] for name in names]
    transformer = connection.kept_transformer
    if transformer is None:
        transformer = connection.kept_transformer = Transformer(connection)
    parameters = transformer.dump_sequence(arguments, [PyFormat.AUTO] * len(arguments))
    name = connection.name_of_prepared(query, transformer.types or ())
    if name is None:
        return None
    try:
        result = await connection.listener.execute(name, parameters, transformer.formats)
    except asyncio.CancelledError:
        await _cancel(connection)
        raise
    if result.status not in _FINE:
        raise error_from_result(result, encoding=transformer.encoding)
    transformer.set_pgresult(result)
    rows = transformer.load_rows(0, result.ntuples, tuple)
    transformer.set_pgresult(None)  # a value is not kept any longer
    return Answer(rows, result.command_tuples or 0)


async def _cancel(connection: OwnConnection) -> None:
    """Ask the server to cancel what is under way, and wait until it has ended.

    If it does not end in time, or if this is cancelled too, close the
    connection: the next caller must not get the answer.
    """
    try:
        with suppress(psycopg.Error, TimeoutError):
            async with asyncio.timeout(_CANCELING):
                if connection.pgconn.transaction_status == TransactionStatus.ACTIVE:
                    await connection.cancel_safe()
                    await connection.listener.wait()
    finally:
        if connection.pgconn.transaction_status != TransactionStatus.IDLE:
            finish(connection)
