"""One connection to PostgreSQL, and whether anybody is still at its other end."""

from __future__ import annotations

import selectors
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

Connection: TypeAlias = AsyncConnection[Any]
Pool: TypeAlias = AsyncConnectionPool[Any]

# The cheapest that minds no high number of a file.
_Selector = selectors.SelectSelector if sys.platform == "win32" else selectors.PollSelector


@asynccontextmanager
async def living_connection(pool: Pool) -> AsyncIterator[Connection]:
    """Take a connection out of the pool, one whose server has not hung up.

    For what may not be sent twice: a connection that was found dead before has
    certainly carried nothing.
    """
    while True:
        async with pool.connection() as connection:
            if not has_hung_up(connection):
                yield connection
                return
            await connection.close()


def has_hung_up(connection: Connection) -> bool:
    """Tell whether the server has ended an idle connection. It costs no round trip.

    To an idle client PostgreSQL has nothing to say but why it leaves.
    """
    if connection.closed:
        return True
    with _Selector() as selector:
        selector.register(connection.fileno(), selectors.EVENT_READ)
        return bool(selector.select(0))
