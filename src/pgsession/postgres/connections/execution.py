"""How a statement is executed: by a cursor of psycopg, or faster, once it is prepared."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, TypeGuard

import psycopg
from msgspec import Struct
from psycopg import AsyncCursor, abc
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult
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
    if (
        prepare
        and needs_no_cursor(connection)
        and (prepared := find_prepared(connection, statement, arguments)) is not None
    ):
        return await _execute_prepared(connection, prepared)
    cursor = cursor_of(connection)
    await cursor.execute(statement, arguments, prepare=prepare)
    rows = [] if cursor.rownumber is None else await cursor.fetchall()
    return Answer(rows, cursor.rowcount)


class Prepared(NamedTuple):
    """A prepared statement with its parameters. The repr shows none of them."""

    name: bytes
    parameters: Sequence[abc.Buffer | None]
    transformer: abc.Transformer

    def __repr__(self) -> str:
        return "Prepared()"


def needs_no_cursor(connection: Connection) -> TypeGuard[OwnConnection]:
    """Tell whether a statement that is prepared may be executed without a cursor.

    That costs the client half of what a cursor costs.
    """
    return (
        isinstance(connection, OwnConnection)
        # A tool that traces statements puts its own cursor there: it must see all of them.
        and connection.cursor_factory is AsyncCursor
        and connection.autocommit
        and connection.pgconn.transaction_status == TransactionStatus.IDLE
    )


def find_prepared(
    connection: OwnConnection,
    statement: Statement,
    arguments: Sequence[object] | Mapping[str, object],
) -> Prepared | None:
    """Return the statement as it is prepared on a connection, None if it is not.

    The first execution is a cursor's, and it prepares the statement.
    """
    query, names = statement.numbered
    if isinstance(arguments, Mapping):
        arguments = [arguments[name] for name in names]
    transformer = connection.kept_transformer
    if transformer is None:
        transformer = connection.kept_transformer = Transformer(connection)
    parameters = transformer.dump_sequence(arguments, [PyFormat.AUTO] * len(arguments))
    name = connection.name_of_prepared(query, transformer.types or ())
    return None if name is None else Prepared(name, parameters, transformer)


async def _execute_prepared(connection: OwnConnection, prepared: Prepared) -> Answer:
    name, parameters, transformer = prepared
    try:
        result = await connection.listener.execute(name, parameters, transformer.formats)
    except asyncio.CancelledError:
        await cancel(connection)
        raise
    return Answer(load(transformer, result), result.command_tuples or 0)


def load(transformer: abc.Transformer, result: PGresult) -> list[TupleRow]:
    """Return the rows of a result, or raise the error that it is."""
    if result.status not in _FINE:
        raise error_from_result(result, encoding=transformer.encoding)
    transformer.set_pgresult(result)
    rows = transformer.load_rows(0, result.ntuples, tuple)
    transformer.set_pgresult(None)  # a value is not kept any longer
    return rows


async def cancel(connection: OwnConnection) -> None:
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
