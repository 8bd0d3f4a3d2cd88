"""Whether a pooler, such as PgBouncer, stands between this process and PostgreSQL.

A pooler in transaction mode gives each transaction any of its server connections. So
neither settings nor prepared statements stay with a client, unless the pooler keeps the
statements of its clients apart.
"""

from __future__ import annotations

from typing import Final

from psycopg.errors import DuplicatePreparedStatement
from psycopg.rows import tuple_row

from pgsession.postgres.connections.connection import Connection

_BACKEND: Final = "SELECT pg_catalog.pg_backend_pid()"

# psycopg names its statements `_pg3_0` and so on. A pooler that keeps them apart renames them.
_OUR_NAMES: Final = r"""
SELECT name
FROM pg_catalog.pg_prepared_statements
WHERE pg_catalog.starts_with(name, '_pg3_'::pg_catalog.text)
"""


async def is_pooled(connection: Connection) -> bool:
    """Tell whether a pooler stands in between.

    PostgreSQL tells each client the number of its server process. A pooler makes
    up a number of its own.
    """
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_BACKEND, prepare=False)
        [(server,)] = await cursor.fetchall()
    return bool(server != connection.info.backend_pid)


async def keeps_statements_apart(connection: Connection) -> bool:
    """Tell whether the pooler in between keeps the prepared statements of its clients apart."""
    threshold = connection.prepare_threshold
    connection.prepare_threshold = 0
    try:
        async with (
            connection.transaction(force_rollback=True),  # one server connection for both
            connection.cursor() as cursor,
        ):
            await cursor.execute("SELECT 1", prepare=True)
            await cursor.execute(_OUR_NAMES, prepare=False)
            return await cursor.fetchone() is None
    except DuplicatePreparedStatement:
        return False
    finally:
        connection.prepare_threshold = threshold
