"""One connection to PostgreSQL, and whether anybody is still at its other end."""

from __future__ import annotations

import selectors
import sys
from typing import Any, TypeAlias

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

Connection: TypeAlias = AsyncConnection[Any]
Pool: TypeAlias = AsyncConnectionPool[Any]

# The cheapest that minds no high number of a file.
_Selector = selectors.SelectSelector if sys.platform == "win32" else selectors.PollSelector


def has_hung_up(connection: Connection) -> bool:
    """Tell whether the server has ended an idle connection. It costs no round trip.

    To an idle client PostgreSQL has nothing to say but why it leaves.
    """
    if connection.closed:
        return True
    with _Selector() as selector:
        selector.register(connection.fileno(), selectors.EVENT_READ)
        return bool(selector.select(0))
