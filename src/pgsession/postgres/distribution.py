"""Whether a table is distributed over several nodes, by Citus."""

from __future__ import annotations

from typing import Final, LiteralString

from psycopg.rows import tuple_row

from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.table_name import Found, catalog_cursor

# Citus keeps its catalog in pg_catalog.
_HAS_CITUS: Final[LiteralString] = """
SELECT to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL
"""

_FIND: Final[LiteralString] = """
SELECT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid::oid = %s::int8::oid)
"""


async def is_distributed(connection: Connection, found: Found) -> bool:
    """Tell whether the rows of this table are kept on other nodes."""
    async with catalog_cursor(connection, tuple_row) as cursor:
        await cursor.execute(_HAS_CITUS, prepare=False)
        [(has_citus,)] = await cursor.fetchall()
        if not has_citus:
            return False
        await cursor.execute(_FIND, (found.oid,), prepare=False)
        [(is_there,)] = await cursor.fetchall()
    return bool(is_there)
