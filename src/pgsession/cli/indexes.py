"""The indexes of the table, as ``pgsession check`` reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg.rows import class_row

from pgsession.cli.inspection import Relation
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.quoting import identifier
from pgsession.postgres.table_name import Found, catalog_cursor

#: From this version on, a BRIN index does not prevent HOT updates.
_BRIN_IS_HOT: Final = 160_000

# indkey has the columns of an index, also those that it only includes. pg_depend has those that it
# uses in an expression or in its predicate, but not the others if a constraint owns the index.
_INDEXES: Final[LiteralString] = """
SELECT
    n.nspname::text AS schema,
    c.relname::text AS name,
    m.amname::text AS method,
    (
        SELECT conname::text FROM pg_constraint
        WHERE conindid = c.oid AND conrelid = x.indrelid AND contype IN ('u', 'x')
    ) AS constraint,
    c.relkind = 'I' AS is_partitioned,
    x.indisvalid AS is_valid,
    (x.indisunique OR x.indisexclusion) AND NOT x.indisprimary AS is_unique,
    pg_get_expr(x.indpred, x.indrelid) AS predicate,
    EXISTS (
        SELECT FROM pg_locks
        WHERE relation = x.indrelid
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND mode = 'ShareUpdateExclusiveLock'
          AND granted
    ) AS may_be_built,
    (
        SELECT attname::text FROM pg_attribute
        WHERE attrelid = x.indrelid AND attnum = x.indkey[0]
    ) AS first,
    ARRAY(
        SELECT a.attname::text
        FROM pg_attribute AS a
        WHERE a.attrelid = x.indrelid
          AND a.attnum > 0
          AND (
              a.attnum = ANY (x.indkey)
              OR EXISTS (
                  SELECT FROM pg_depend
                  WHERE classid = 'pg_class'::regclass
                    AND objid = c.oid
                    AND refclassid = 'pg_class'::regclass
                    AND refobjid = a.attrelid
                    AND refobjsubid = a.attnum
              )
          )
    ) AS columns
FROM pg_index AS x
JOIN pg_class AS c ON c.oid = x.indexrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_am AS m ON m.oid = c.relam
WHERE x.indrelid = %s::int8::oid
ORDER BY c.relname
"""


@dataclass(frozen=True, slots=True)
class Index:
    """An index of the table."""

    schema: str
    name: str
    #: The access method, such as ``btree``.
    method: str
    #: The constraint to which it belongs, unless that is the primary key.
    constraint: str | None
    is_partitioned: bool
    #: False while it is being built, and after that has failed: then it serves no query.
    is_valid: bool
    #: True if it allows each value only once, besides the primary key.
    is_unique: bool
    #: Which rows it has, as the server prints it; None for all.
    predicate: str | None
    #: A CREATE INDEX CONCURRENTLY is at work on the table, or a VACUUM.
    may_be_built: bool
    #: Its first column; None for an expression.
    first: str | None
    #: All columns on which it depends.
    columns: Sequence[str]

    @property
    def sql(self) -> str:
        """The name as SQL, to be printed."""
        return identifier(self.schema, self.name)

    def is_hot(self, version: int) -> bool:
        """Return whether this version of the server leaves it alone in a HOT update."""
        return self.method == "brin" and version >= _BRIN_IS_HOT

    def drop(self, relation: Relation) -> str:
        """Return the statement that drops it."""
        if self.constraint is not None:
            return f"ALTER TABLE {relation.name} DROP CONSTRAINT {identifier(self.constraint)};"
        # PostgreSQL refuses CONCURRENTLY for the index of a partitioned table.
        return f"DROP INDEX {'' if self.is_partitioned else 'CONCURRENTLY '}{self.sql};"


async def read_indexes(connection: Connection, *, found: Found) -> list[Index]:
    """Read the indexes of the table, but not those that only a partition has."""
    async with catalog_cursor(connection, class_row(Index)) as cursor:
        await cursor.execute(_INDEXES, (found.oid,))
        return await cursor.fetchall()
