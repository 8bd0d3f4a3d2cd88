"""One connection to PostgreSQL, and whether anybody is still at its other end."""

from __future__ import annotations

import select
from typing import Any, TypeAlias

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

Connection: TypeAlias = AsyncConnection[Any]
Pool: TypeAlias = AsyncConnectionPool[Any]


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
