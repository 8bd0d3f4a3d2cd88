"""Where the table is, and which privileges on it this role lacks.

Read from the catalogs, which every role may read: a schema that the role may not use hides the
table from all other ways.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg.rows import class_row, tuple_row

from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.connections.statement import Statement
from pgsession.postgres.quoting import identifier
from pgsession.postgres.table_name import TableName, catalog_cursor
from pgsession.postgres.trust import trust
from pgsession.postgres.validation import LACKING, WANTED

_PATH: Final = """
SELECT
    pg_catalog.current_setting('search_path'),
    current_user::pg_catalog.text
"""

# The search_path skips a schema that the role may not use.
_ACCESS: Final[LiteralString] = f"""
SELECT
    n.nspname::text AS schema,
    c.relname::text AS table,
    current_user::text AS role,
    has_schema_privilege(n.oid, 'USAGE') AS may_enter,
    {LACKING} AS lacking,
    (
        SELECT r.relname::text
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
"""  # noqa: S608 - of constants

# The schemas of the system, and those of temporary tables, have reserved names.
_ELSEWHERE: Final = f"""
SELECT
    n.nspname::text AS schema,
    EXISTS (SELECT FROM {trust(is_named=False)}) AS is_trusted
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'expire_date'
WHERE c.relname = %(name)s
  AND c.relkind IN ('r', 'p')
  AND c.relpersistence <> 't'
  AND NOT starts_with(n.nspname::text, 'pg_')
ORDER BY
    is_trusted DESC,
    EXISTS (
        SELECT FROM pg_class WHERE relnamespace = n.oid AND relname = %(record)s
    ) DESC,
    n.nspname
LIMIT 5
"""  # noqa: S608 - of constants

#: A name in a search_path, with or without quotes.
_IN_PATH: Final = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^\s",]+))\s*(?:,|$)')

#: How many bytes of a name PostgreSQL keeps.
_LONGEST: Final = 63


@dataclass(frozen=True, slots=True)
class Access:
    """What this role may do with the table."""

    schema: str
    table: str
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
        grants, role = [], identifier(self.role)
        if not self.may_enter:
            grants.append(f"GRANT USAGE ON SCHEMA {identifier(self.schema)} TO {role};")
        if self.lacking:
            name = identifier(self.schema, self.table)
            grants.append(f"GRANT {', '.join(self.lacking)} ON {name} TO {role};")
        if grants and self.record:
            name = identifier(self.schema, self.record)
            grants.append(f"GRANT SELECT ON {name} TO {role};")
        return grants


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A schema that has a table of this name."""

    schema: str
    #: True if both belong to roles that this role trusts.
    is_trusted: bool


async def read_access(connection: Connection, *, table: TableName) -> Access | None:
    """Return what this role may do with the table; None if there is none."""
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_PATH)
        [(path, role)] = await cursor.fetchall()
    schemas = [table.schema] if table.schema else schemas_of(path, role)
    wanted = {"name": table.name, "record": table.record, "schemas": schemas, **WANTED}
    async with catalog_cursor(connection, class_row(Access)) as cursor:
        await cursor.execute(_ACCESS, wanted)
        return await cursor.fetchone()


async def read_elsewhere(connection: Connection, *, table: TableName) -> list[Elsewhere]:
    """Return the schemas that have a table of this name with the columns of sessions.

    Those whose owner is trusted come first, then those with a record of migrations.
    """
    async with catalog_cursor(connection, class_row(Elsewhere)) as cursor:
        await cursor.execute(
            Statement(_ELSEWHERE.encode()), {"name": table.name, "record": table.record}
        )
        return await cursor.fetchall()


def schemas_of(path: str, role: str) -> list[str]:
    """Return the names in a search_path: those without quotes in lower case, as PostgreSQL does."""
    names = (
        quoted.replace('""', '"') if bare is None else _folded(bare)
        for quoted, bare in (found.groups() for found in _IN_PATH.finditer(path))
    )
    return [role if name == "$user" else _cut(name) for name in names]


def _folded(name: str) -> str:
    return "".join(letter.lower() if letter.isascii() else letter for letter in name)


def _cut(name: str) -> str:
    return name.encode()[:_LONGEST].decode(errors="ignore")
