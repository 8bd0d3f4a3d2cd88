"""The facts about the server and the table that ``pgsession check`` reads."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg import sql
from psycopg.rows import class_row, dict_row, scalar_row, tuple_row

from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.distribution import is_distributed
from pgsession.postgres.quoting import identifier
from pgsession.postgres.record import Record, read_query
from pgsession.postgres.table_name import Found, TableName, catalog_cursor, find

_SERVER: Final[LiteralString] = """
SELECT
    current_database()::text AS database,
    current_user::text AS role,
    current_setting('server_version_num')::int AS version,
    current_setting('server_version') AS version_text,
    current_setting('transaction_read_only')::boolean AS is_read_only,
    pg_is_in_recovery() AS is_standby,
    current_setting('server_encoding') AS encoding,
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('autovacuum')::boolean AS has_autovacuum,
    (extract(epoch FROM clock_timestamp()) * 1000)::int8 - %s::int8 AS ahead
"""

_RELATION: Final[LiteralString] = """
SELECT
    n.nspname::text AS schema,
    c.relname::text AS table,
    c.relkind = 'r' AS has_pages,
    c.relpersistence = 'u' AS is_unlogged,
    (SELECT coalesce(jsonb_object_agg(option_name, option_value), '{}')
     FROM pg_options_to_table(c.reloptions)) AS options,
    (SELECT coalesce(jsonb_object_agg(option_name, option_value), '{}')
     FROM pg_class AS t, pg_options_to_table(t.reloptions)
     WHERE t.oid = c.reltoastrelid) AS toast_options,
    ARRAY(
        SELECT a.attname::text
        FROM pg_attribute AS a
        WHERE a.attrelid = c.oid
          AND a.attname IN ('created_on', 'seen_on', 'key_number', 'login_number')
          AND NOT (a.atthasdef AND a.attnotnull)
        ORDER BY a.attnum
    ) AS bare
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = %s::int8::oid
"""

# Schemas of this role's search_path in which every role may create functions and operators.
_OPEN_SCHEMAS: Final[LiteralString] = """
SELECT n.nspname::pg_catalog.text
FROM pg_catalog.pg_namespace AS n
WHERE n.nspname OPERATOR(pg_catalog.=) ANY (pg_catalog.current_schemas(false))
  AND EXISTS (
      SELECT
      FROM pg_catalog.aclexplode(n.nspacl) AS a
      WHERE a.grantee OPERATOR(pg_catalog.=) 0::pg_catalog.oid
        AND a.privilege_type OPERATOR(pg_catalog.=) 'CREATE'::pg_catalog.text
  )
ORDER BY n.nspname
"""

# The owner of the table may not have granted this role access to the record. Reading a view or
# a table with row security could run code of its owner.
_INSPECT_RECORD: Final[LiteralString] = """
SELECT
    has_table_privilege(c.oid, 'SELECT') AND c.relkind IN ('r', 'p') AND NOT c.relrowsecurity,
    EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'older_code')
FROM pg_class AS c
WHERE c.oid = %s::int8::oid
"""

#: How many pages of a large table are read.
_SAMPLED: Final = 1000

# The other columns of a row take less than 300 bytes, and of a value that was moved to the TOAST
# table less than 2000 stay. It reads about a thousand pages of a large table, and all pages of a
# small one.
_SAMPLE = sql.SQL("""
SELECT
    count(*) AS rows,
    count(*) FILTER (WHERE expire_date <= now() - make_interval(secs => 86400)) AS neglected,
    coalesce(sum(300 + least(2000, coalesce(width, 0))), 0)::int8 AS bytes,
    pg_relation_size({oid}::oid) / 8192 AS pages
FROM (
    SELECT expire_date, pg_column_size(session_data) AS width
    FROM {table} TABLESAMPLE SYSTEM (
        100000.0 / greatest(1000, pg_relation_size({oid}::oid) / 8192)
    )
    LIMIT 100000
) AS looked_at
""")


_HAS_PAGES: Final[LiteralString] = "SELECT pg_relation_size(%s::int8::oid) > 0"


@dataclass(frozen=True, slots=True)
class Server:
    """The database that is connected, and the version and the settings of its server."""

    #: Its host, or the folder of its socket, and its port.
    address: str
    database: str
    role: str
    version: int
    version_text: str
    is_read_only: bool
    is_standby: bool
    encoding: str
    synchronous_commit: str
    has_autovacuum: bool
    #: How many seconds its clock is ahead of the clock of this machine.
    ahead: float


@dataclass(frozen=True, slots=True)
class Relation:
    """The properties of the table, without its columns."""

    schema: str
    table: str
    #: False for a partitioned table: its partitions have their own storage settings.
    has_pages: bool
    #: True if a crash empties it.
    is_unlogged: bool
    #: The storage parameters that are set, of the table and of its TOAST table.
    options: dict[str, str]
    toast_options: dict[str, str]
    #: The columns that lack the default, or take NULL, against the migrations.
    bare: list[str]

    @property
    def name(self) -> str:
        """The name as SQL, to be printed."""
        return identifier(self.schema, self.table)


@dataclass(frozen=True, slots=True)
class Sample:
    """The number of rows in a sample, and how many of them expired more than a day ago."""

    rows: int
    neglected: int
    #: The size of these rows at most, and the pages of the whole table.
    bytes: int = 0
    pages: int = 0

    @property
    def factor(self) -> float:
        """How many times the sample fits into the table."""
        return max(1.0, self.pages / _SAMPLED)


async def read_server(connection: Connection) -> Server:
    """Read which database this is, and the version and the settings of the server."""
    async with catalog_cursor(connection, dict_row) as cursor:
        await cursor.execute(_SERVER, (round(time.time() * 1000),))
        [row] = await cursor.fetchall()
    address = f"{connection.info.host}:{connection.info.port}"
    return Server(**{**row, "address": address, "ahead": row["ahead"] / 1000})


async def read_open_schemas(connection: Connection) -> list[str]:
    """Return the schemas of the search_path in which every role may create."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(_OPEN_SCHEMAS)
        return await cursor.fetchall()


async def read_record(connection: Connection, *, table: TableName) -> Record | None:
    """Return the recorded migrations, or None if this role cannot read them."""
    found = await find(connection, table, name=table.record)
    if found is None:
        return None
    async with catalog_cursor(connection, tuple_row) as cursor:
        await cursor.execute(_INSPECT_RECORD, (found.oid,))
        [(is_readable, has_older_code)] = await cursor.fetchall()
        if not is_readable:
            return None
        record = sql.Identifier(found.schema, table.record)
        await cursor.execute(read_query(record, has_older_code=has_older_code))
        return Record(dict(await cursor.fetchall()))


async def read_relation(connection: Connection, *, found: Found) -> Relation:
    """Read the properties of the table."""
    async with catalog_cursor(connection, class_row(Relation)) as cursor:
        await cursor.execute(_RELATION, (found.oid,))
        [relation] = await cursor.fetchall()
    return relation


async def read_remains(connection: Connection, *, found: Found) -> bool | None:
    """Return whether a distributed table has rows of its own too, from before; else None."""
    if not await is_distributed(connection, found):
        return None
    async with catalog_cursor(connection, scalar_row) as cursor:
        await cursor.execute(_HAS_PAGES, (found.oid,))
        return bool(await cursor.fetchone())


async def read_sample(connection: Connection, *, table: TableName, found: Found) -> Sample:
    """Read a sample of the rows."""
    query = _SAMPLE.format(
        table=sql.Identifier(found.schema, table.name), oid=sql.Literal(found.oid)
    )
    async with catalog_cursor(connection, class_row(Sample)) as cursor:
        await cursor.execute(query)
        [sample] = await cursor.fetchall()
    return sample
