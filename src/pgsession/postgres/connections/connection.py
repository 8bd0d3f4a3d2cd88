"""One connection to PostgreSQL, and whether anybody is still at its other end."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeAlias

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

    @classmethod
    async def connect(cls, conninfo: str = "", **settings: Any) -> Self:  # noqa: ANN401 - psycopg's
        """Connect as a pool does, and let the pool's task be cancelled meanwhile."""
        with ending_if_cancelled():
            return await super().connect(conninfo, **settings)


@contextmanager
def ending_if_cancelled() -> Iterator[None]:
    """Have a cancellation end the task of a pool, which would take it for a failed attempt.

    It would wait for its next piece of work then, and whoever waits for it, as
    `asyncio.run` does in the end for all that it has cancelled, would do so
    for ever.
    """
    try:
        yield
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None:
            task.cancel()
        raise


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
