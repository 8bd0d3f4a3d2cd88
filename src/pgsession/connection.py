"""One connection to PostgreSQL, and whether anybody is still at its other end."""

from __future__ import annotations

import select
from typing import Any, TypeAlias

from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import TupleRow, tuple_row
from psycopg_pool import AsyncConnectionPool

Connection: TypeAlias = AsyncConnection[Any]
Pool: TypeAlias = AsyncConnectionPool[Any]


class OwnConnection(AsyncConnection[Any]):
    """A connection of a pool made here, with the cursor that its statements share.

    To make a cursor for each costs a tenth of what a small statement does.
    """

    #: It holds on to what the last statement returned.
    kept_cursor: AsyncCursor[Any] | None = None


def cursor_of(connection: Connection) -> AsyncCursor[TupleRow]:
    """Return a cursor that returns tuples, for one statement and its result."""
    if not isinstance(connection, OwnConnection):
        return connection.cursor(row_factory=tuple_row)
    if connection.kept_cursor is None:
        connection.kept_cursor = connection.cursor(row_factory=tuple_row)
    return connection.kept_cursor


def has_hung_up(connection: Connection) -> bool:
    """Tell whether the server has ended an idle connection. It costs no round trip.

    To an idle client PostgreSQL has nothing to say but why it leaves.
    """
    if connection.closed:
        return True
    if hasattr(select, "poll"):  # minds no high number of a file
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([connection.fileno()], [], [], 0)[0])
