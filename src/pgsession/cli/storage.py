"""What the table takes on the disk, and how it is vacuumed: for ``pgsession stats``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from psycopg.rows import class_row, scalar_row

from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.table_name import Found, catalog_cursor

# pg_partition_tree has no rows for a table that is not partitioned.
_PARTS: Final[LiteralString] = """
SELECT relid::oid::int8 FROM pg_partition_tree(%(oid)s::int8::oid)
UNION
SELECT %(oid)s::int8
"""

_SIZES: Final[LiteralString] = """
SELECT
    sum(pg_relation_size(relid))::int8 AS rows_bytes,
    sum(pg_table_size(relid) - pg_relation_size(relid))::int8 AS toast_bytes,
    sum(pg_indexes_size(relid))::int8 AS indexes_bytes,
    sum(pg_total_relation_size(relid))::int8 AS total_bytes
FROM unnest(%(parts)s::int8[]::oid[]) AS relid
"""

_SIZES_DISTRIBUTED: Final[LiteralString] = """
SELECT
    citus_relation_size(%(oid)s::int8::oid)::int8 AS rows_bytes,
    (citus_table_size(%(oid)s::int8::oid) - citus_relation_size(%(oid)s::int8::oid))::int8
        AS toast_bytes,
    (citus_total_relation_size(%(oid)s::int8::oid) - citus_table_size(%(oid)s::int8::oid))::int8
        AS indexes_bytes,
    citus_total_relation_size(%(oid)s::int8::oid)::int8 AS total_bytes
"""

_INDEXES: Final[LiteralString] = """
SELECT x.indexrelid::regclass::text AS name, pg_relation_size(x.indexrelid) AS bytes
FROM pg_index AS x
WHERE x.indrelid = ANY (%(parts)s::int8[]::oid[])
ORDER BY 2 DESC, 1
"""

_ACTIVITY: Final[LiteralString] = """
SELECT
    coalesce(sum(greatest(c.reltuples, 0)), 0)::int8 AS estimated_rows,
    sum(t.n_dead_tup)::int8 AS dead_rows,
    sum(t.n_tup_upd)::int8 AS updates,
    sum(t.n_tup_hot_upd)::float8 / nullif(sum(t.n_tup_upd), 0)::float8 AS hot_share,
    max(t.last_autovacuum) AS last_autovacuum_at,
    max(t.last_vacuum) AS last_vacuum_at,
    max(t.last_analyze) AS last_analyze_at,
    max(t.last_autoanalyze) AS last_autoanalyze_at
FROM pg_class AS c
LEFT JOIN pg_stat_all_tables AS t ON t.relid = c.oid
WHERE c.oid = ANY (%(parts)s::int8[]::oid[])
"""

# What the rows need, with their headers and pointers, as ANALYZE has found their widths; of what
# the pages have. It costs nothing to read, and knows only the table's own pages.
_FREE: Final[LiteralString] = """
SELECT
    greatest(
        0,
        1 - c.reltuples * (28 + sum((1 - p.null_frac) * p.avg_width))
            / (pg_relation_size(c.oid) / current_setting('block_size')::float8
                * (current_setting('block_size')::float8 - 24))
    )
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_stats AS p ON p.schemaname = n.nspname AND p.tablename = c.relname
WHERE c.oid = %(oid)s::int8::oid
  AND c.relkind = 'r'
  AND c.reltuples >= 0
  AND pg_relation_size(c.oid) > 0
GROUP BY c.oid, c.reltuples
"""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the table takes on the disk."""

    rows_bytes: int
    toast_bytes: int
    indexes_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class Index:
    """An index, and its size."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Activity:
    """What PostgreSQL keeps of the table's updates and of its vacuuming."""

    estimated_rows: int
    dead_rows: int | None
    updates: int | None
    #: The share of the updates that were HOT; None without an update.
    hot_share: float | None
    last_autovacuum_at: datetime | None
    last_vacuum_at: datetime | None
    last_analyze_at: datetime | None
    last_autoanalyze_at: datetime | None


async def read_parts(connection: Connection, found: Found) -> list[int]:
    """Return the oids of the table and of its partitions."""
    async with catalog_cursor(connection, scalar_row) as cursor:
        await cursor.execute(_PARTS, {"oid": found.oid})
        return await cursor.fetchall()


async def read_sizes(connection: Connection, parts: Sequence[int]) -> Sizes:
    """Return the sizes of the table, with those of its partitions."""
    async with catalog_cursor(connection, class_row(Sizes)) as cursor:
        await cursor.execute(_SIZES, {"parts": parts})
        [sizes] = await cursor.fetchall()
    return sizes


async def read_distributed_sizes(connection: Connection, found: Found) -> Sizes:
    """Return the sizes of all shards of a distributed table."""
    async with catalog_cursor(connection, class_row(Sizes)) as cursor:
        await cursor.execute(_SIZES_DISTRIBUTED, {"oid": found.oid})
        [sizes] = await cursor.fetchall()
    return sizes


async def read_indexes(connection: Connection, parts: Sequence[int]) -> list[Index]:
    """Return the indexes of the table and its partitions, the largest first."""
    async with catalog_cursor(connection, class_row(Index)) as cursor:
        await cursor.execute(_INDEXES, {"parts": parts})
        return await cursor.fetchall()


async def read_activity(connection: Connection, parts: Sequence[int]) -> Activity:
    """Return what PostgreSQL keeps of the table, with its partitions."""
    async with catalog_cursor(connection, class_row(Activity)) as cursor:
        await cursor.execute("SELECT set_config('TimeZone', 'UTC', true)")
        await cursor.execute(_ACTIVITY, {"parts": parts})
        [activity] = await cursor.fetchall()
    return activity


async def read_free_share(connection: Connection, found: Found) -> float | None:
    """Return about which share of the table's pages is free, or None if that is unknown."""
    async with catalog_cursor(connection, scalar_row) as cursor:
        await cursor.execute(_FREE, {"oid": found.oid})
        return await cursor.fetchone()
