"""Where the table is, and which privileges on it this role lacks.

Read from the catalogs, which every role may read: a schema that the role may not use hides the
table from all other ways.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import Final

from psycopg.rows import class_row, scalar_row, tuple_row

from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.table_name import TableName, catalog_cursor

_PATH: Final = """
SELECT
    pg_catalog.current_setting('search_path'),
    current_user::pg_catalog.text
"""

# The search_path skips a schema that the role may not use.
_ACCESS: Final = """
SELECT
    quote_ident(n.nspname) AS schema,
    format('%%I.%%I', n.nspname, c.relname) AS name,
    quote_ident(current_user) AS role,
    has_schema_privilege(n.oid, 'USAGE') AS may_enter,
    ARRAY(
        SELECT wanted
        FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS wanted
        WHERE NOT has_table_privilege(c.oid, wanted)
    ) AS lacking,
    (
        SELECT format('%%I.%%I', n.nspname, r.relname)
        FROM pg_class AS r
        WHERE r.relnamespace = n.oid
          AND r.relname = %(record)s
          AND r.relkind IN ('r', 'p')
          AND NOT has_table_privilege(r.oid, 'SELECT')
    ) AS record
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relname = %(name)s
  AND c.relkind IN ('r', 'p')
  AND n.nspname = ANY (%(schemas)s::name[])
ORDER BY
    has_schema_privilege(n.oid, 'USAGE') DESC,
    array_position(%(schemas)s::name[], n.nspname)
LIMIT 1
"""

_ELSEWHERE: Final = """
SELECT n.nspname::text
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'expire_date'
WHERE c.relname = %s
  AND c.relkind IN ('r', 'p')
ORDER BY 1
LIMIT 5
"""


@dataclass(frozen=True, slots=True)
class Access:
    """What this role may do with the table. All names are quoted, for a statement."""

    schema: str
    name: str
    role: str
    #: True if the role has USAGE on the schema.
    may_enter: bool
    #: The privileges on the table that the role lacks, such as ``DELETE``.
    lacking: list[str]
    #: The table of the recorded migrations, if the role may not read it.
    record: str | None

    @property
    def grants(self) -> list[str]:
        """The statements that give the role what it lacks."""
        grants = []
        if not self.may_enter:
            grants.append(f"GRANT USAGE ON SCHEMA {self.schema} TO {self.role};")
        if self.lacking:
            grants.append(f"GRANT {', '.join(self.lacking)} ON {self.name} TO {self.role};")
        if grants and self.record:
            grants.append(f"GRANT SELECT ON {self.record} TO {self.role};")
        return grants


async def read_access(connection: Connection, *, table: TableName) -> Access | None:
    """Return what this role may do with the table; None if there is none."""
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_PATH)
        [(path, role)] = await cursor.fetchall()
    schemas = [table.schema] if table.schema else schemas_of(path, role)
    wanted = {"name": table.name, "record": table.record, "schemas": schemas}
    async with catalog_cursor(connection, class_row(Access)) as cursor:
        await cursor.execute(_ACCESS, wanted)
        return await cursor.fetchone()


async def read_elsewhere(connection: Connection, *, table: TableName) -> list[str]:
    """Return the schemas that have a table of this name with the columns of sessions."""
    async with catalog_cursor(connection, scalar_row) as cursor:
        await cursor.execute(_ELSEWHERE, (table.name,))
        return await cursor.fetchall()


def schemas_of(path: str, role: str) -> list[str]:
    """Return the names in a search_path."""
    names = next(csv.reader([path], skipinitialspace=True), [])
    return [role if name == "$user" else name for name in map(str.strip, names)]
