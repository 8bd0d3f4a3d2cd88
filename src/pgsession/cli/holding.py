"""What keeps VACUUM from removing dead rows: transactions, standbys and replication slots."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg.rows import class_row, scalar_row

from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.table_name import catalog_cursor

#: From this age in seconds on, a transaction is old.
OLD: Final = 300.0
#: How many are read at most.
MOST: Final = 5

# A role that may not see what others do gets NULL for all but the transaction and its owner.
# A transaction of another database holds back nothing here; a standby or its slot does.
_HOLDERS: Final[LiteralString] = """
SELECT kind, name, pid, "user", application_name, state, age_seconds, transactions
FROM (
    SELECT
        CASE backend_type WHEN 'walsender' THEN 'standby' ELSE 'transaction' END AS kind,
        NULL AS name,
        pid,
        usename::text AS "user",
        application_name,
        state,
        extract(epoch FROM clock_timestamp() - xact_start)::float8 AS age_seconds,
        greatest(age(backend_xmin), age(backend_xid))::int8 AS transactions
    FROM pg_stat_activity
    WHERE pid <> pg_backend_pid()
      AND coalesce(backend_type, '') <> 'autovacuum worker'
      AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
      AND (datname = current_database() OR backend_type = 'walsender')
    UNION ALL
    SELECT
        'prepared transaction',
        gid,
        NULL,
        owner::text,
        NULL,
        'prepared',
        extract(epoch FROM clock_timestamp() - prepared)::float8,
        age(transaction)::int8
    FROM pg_prepared_xacts
    WHERE database = current_database()
    UNION ALL
    SELECT
        'replication slot',
        slot_name::text,
        active_pid,
        NULL,
        NULL,
        CASE WHEN active THEN 'active' ELSE 'inactive' END,
        NULL,
        age(xmin)::int8
    FROM pg_replication_slots
    WHERE xmin IS NOT NULL
) AS holders
ORDER BY transactions DESC NULLS LAST, age_seconds DESC NULLS LAST
LIMIT %s
"""

_SEES_OTHERS: Final[LiteralString] = "SELECT pg_has_role('pg_read_all_stats', 'USAGE')"


@dataclass(frozen=True, slots=True)
class Holder:
    """What keeps VACUUM from removing dead rows. None is unknown, or not visible."""

    kind: str
    name: str | None
    pid: int | None
    user: str | None
    application_name: str | None
    state: str | None
    age_seconds: float | None
    #: How many transactions have begun since.
    transactions: int


async def read_holders(connection: Connection) -> list[Holder]:
    """Return what holds VACUUM back in this database, the oldest first; `MOST` at most."""
    async with catalog_cursor(connection, class_row(Holder)) as cursor:
        await cursor.execute(_HOLDERS, (MOST,))
        return await cursor.fetchall()


def old_holders(holders: Iterable[Holder], *, old: float = OLD) -> list[Holder]:
    """Return those that are at least `old` seconds old, and the slots that nobody uses."""
    return [
        holder
        for holder in holders
        if (holder.age_seconds or 0.0) >= old
        or (holder.kind == "replication slot" and holder.state == "inactive")
    ]


async def read_sees_others(connection: Connection) -> bool:
    """Return whether this role may see the transactions of other roles."""
    async with catalog_cursor(connection, scalar_row) as cursor:
        await cursor.execute(_SEES_OTHERS)
        return bool(await cursor.fetchone())
