"""What keeps dead rows in the table: old transactions, prepared ones, and replication slots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from psycopg.rows import class_row, scalar_row

from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.table_name import catalog_cursor

#: A transaction of this age in seconds is worth a warning.
OLD: Final = 300.0

# Only what was said about other roles' transactions is hidden from a role without privileges.
# A slot of a standby that reports its queries has an xmin.
_HOLDERS: Final = """
SELECT
    'transaction' AS kind,
    pid::text AS name,
    coalesce(application_name, '') AS application,
    coalesce(state, '') AS state,
    extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds
FROM pg_stat_activity
WHERE pid <> pg_backend_pid()
  AND backend_type = 'client backend'
  AND datname = current_database()
  AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
  AND xact_start < clock_timestamp() - make_interval(secs => %(old)s)
UNION ALL
SELECT
    'prepared transaction',
    quote_literal(gid),
    owner::text,
    '',
    extract(epoch FROM clock_timestamp() - prepared)::float8
FROM pg_prepared_xacts
WHERE database = current_database()
  AND prepared < clock_timestamp() - make_interval(secs => %(old)s)
UNION ALL
SELECT 'replication slot', quote_literal(slot_name), coalesce(plugin, ''), 'inactive', NULL
FROM pg_replication_slots
WHERE NOT active
  AND xmin IS NOT NULL
ORDER BY seconds DESC NULLS LAST
LIMIT 3
"""

_SEES_OTHERS: Final = "SELECT pg_has_role('pg_read_all_stats', 'USAGE')"


@dataclass(frozen=True, slots=True)
class Holder:
    """Something that keeps the rows that died after its begin."""

    kind: str
    #: The pid, or the name as a literal of SQL.
    name: str
    application: str
    state: str
    #: Its age. None: unknown.
    seconds: float | None


async def read_holders(connection: Connection, *, old: float = OLD) -> list[Holder]:
    """Return what has kept dead rows for more than `old` seconds, the oldest first."""
    async with catalog_cursor(connection, class_row(Holder)) as cursor:
        await cursor.execute(_HOLDERS, {"old": old})
        return await cursor.fetchall()


async def read_sees_others(connection: Connection) -> bool:
    """Return whether this role may see the transactions of other roles."""
    async with catalog_cursor(connection, scalar_row) as cursor:
        await cursor.execute(_SEES_OTHERS)
        return bool(await cursor.fetchone())
