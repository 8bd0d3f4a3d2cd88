"""The time limits and the limits of connections that apply to this role."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from psycopg.rows import class_row, tuple_row

from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.table_name import catalog_cursor

# Short, and outside of a transaction: a time limit may be a millisecond. Each limit is a text such
# as 5s or 1min. Before PostgreSQL 17 there is no transaction_timeout.
_TIMES: Final = """
SELECT
    pg_catalog.current_setting('statement_timeout'),
    pg_catalog.current_setting('lock_timeout'),
    pg_catalog.current_setting('transaction_timeout', true)
"""

_CONNECTIONS: Final = """
SELECT
    current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0) AS server,
    r.rolconnlimit AS role,
    d.datconnlimit AS database,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used
FROM pg_roles AS r, pg_database AS d
WHERE r.rolname = session_user
  AND d.datname = current_database()
"""

_UNITS: Final = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True)
class Connections:
    """How many connections the server, the role and the database allow. -1: no limit."""

    server: int
    role: int
    database: int
    #: How many clients are connected to the server now.
    used: int

    @property
    def most(self) -> int:
        """How many connections this role can have at most."""
        return min(limit for limit in (self.server, self.role, self.database) if limit >= 0)


async def read_times(connection: Connection) -> dict[str, float]:
    """Return the time limits of a statement that are set, in seconds."""
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_TIMES)
        [times] = await cursor.fetchall()
    names = ("statement_timeout", "lock_timeout", "transaction_timeout")
    limits = {name: _seconds(text) for name, text in zip(names, times, strict=True) if text}
    return {name: limit for name, limit in limits.items() if limit}


async def read_connections(connection: Connection) -> Connections:
    """Read how many connections are allowed."""
    async with catalog_cursor(connection, class_row(Connections)) as cursor:
        await cursor.execute(_CONNECTIONS)
        [connections] = await cursor.fetchall()
    return connections


def _seconds(text: str) -> float:
    number = text.rstrip("dhimns")
    return int(number) * _UNITS.get(text[len(number) :], 0.001)
