"""The indexes of the table: those that keep an update from being HOT, and those it needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg.rows import class_row

from pgsession.cli.findings import Finding, Verdict
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

#: The columns that a renewal changes, or another write of the session without its value.
_RENEWED: Final = frozenset(
    {"expire_date", "seen_on", "verifier", "renewed_on", "key_number", "shown_on", "size_bound"}
)


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


def check_indexes(indexes: Sequence[Index], relation: Relation, *, version: int) -> Finding:
    """Check that no index prevents HOT updates, and that those of the migrations are there."""
    cold = [index for index in indexes if not index.is_hot(version)]
    if harmful := [index for index in cold if _RENEWED.intersection(index.columns)]:
        return Finding(
            "indexes",
            Verdict.WRONG,
            f"{_named(harmful)} on a column that renewals change: such an update cannot be HOT",
            " ".join(index.drop(relation) for index in harmful),
            name="renewals",
        )
    if of_value := [index for index in cold if "session_data" in index.columns]:
        return Finding(
            "indexes",
            Verdict.WARNING,
            f"{_named(of_value)} on session_data: a change of a value cannot be HOT",
            " ".join(index.drop(relation) for index in of_value)
            + " Keep it only if your queries need it.",
            name="value",
        )
    if broken := [index for index in indexes if not index.is_valid]:
        return Finding(
            "indexes",
            Verdict.WARNING,
            f"{_named(broken)} not valid: serves no query, and costs each write",
            "If nobody builds it now: " + " ".join(index.drop(relation) for index in broken),
            name="invalid",
        )
    if not any(index.first == "user_id" for index in indexes):
        text = "none on user_id: each list of a user's sessions reads the whole table"
        remedy = _creation(relation, "(user_id) WHERE user_id IS NOT NULL")
        return Finding("indexes", Verdict.WARNING, text, remedy, name="users")
    if not any(index.first == "session_key" and index.method == "hash" for index in indexes):
        text = "no hash index on session_key: in a large table each request reads more pages"
        remedy = _creation(relation, "USING hash (session_key)")
        return Finding("indexes", Verdict.WARNING, text, remedy, name="keys")
    return Finding("indexes", Verdict.OK, "none that prevents HOT updates")


def _named(indexes: Iterable[Index]) -> str:
    return ", ".join(index.sql for index in indexes)


def _creation(relation: Relation, definition: str) -> str:
    on = f"ON {relation.name} {definition};"
    if relation.has_pages:
        return f"CREATE INDEX CONCURRENTLY {on}"
    return f"CREATE INDEX {on} Writes wait until it is built."
