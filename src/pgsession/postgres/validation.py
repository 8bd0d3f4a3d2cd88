"""Checks that a table can keep sessions, and that nothing on it breaks a guarantee."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, LiteralString

from msgspec import Struct, field
from psycopg.rows import class_row

from pgsession.errors import SchemaError, SettingsError, StoreUnavailableError
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.table_name import Found, TableName, catalog_cursor, find

#: The columns that this version reads and writes, and their types in pg_catalog.
COLUMNS: Final = {
    "session_key": "text",
    "session_data": "jsonb",
    "expire_date": "timestamptz",
    "created_on": "timestamptz",
    "period": "interval",
    "user_id": "text",
    "verifier": "text",
    "key_number": "int4",
    "shown_on": "timestamptz",
    "seen_on": "timestamptz",
    "size_bound": "int8",
    "login_number": "int4",
    "login_on": "timestamptz",
    "login_stamp": "text",
    "login_label": "text",
    "login_actor": "text",
    "login_client": "jsonb",
    "renewed_on": "timestamptz",
    "device_key": "text",
    "device_login": "int4",
    "device_registered_on": "timestamptz",
    "device_proved_on": "timestamptz",
}

#: The columns that the table of an older application has. One without them is another table.
ADOPTED: Final = frozenset({"session_key", "expire_date", "session_data"})

#: The newest migration adds this column, which no older application has.
NEWEST: Final = "device_key"

_COLUMNS: Final = """
SELECT
    a.attname::text AS name,
    CASE WHEN n.nspname = 'pg_catalog' THEN t.typname ELSE n.nspname || '.' || t.typname END
        AS type,
    coalesce(i.indnkeyatts = 1 AND i.indkey[0] = a.attnum, false) AS is_key,
    a.attnotnull
        AND NOT a.atthasdef
        AND a.attidentity = ''
        AND a.attgenerated = ''
        AS is_required
FROM pg_attribute AS a
JOIN pg_type AS t ON t.oid = a.atttypid
JOIN pg_namespace AS n ON n.oid = t.typnamespace
LEFT JOIN pg_index AS i ON i.indrelid = a.attrelid AND i.indisprimary
WHERE a.attrelid = %s::int8::oid
  AND a.attnum > 0
  AND NOT a.attisdropped
ORDER BY a.attnum
"""

#: Those that an INSERT for a new session or a login names. An UPDATE changes all but the key.
_INSERTED: Final = (
    "session_key",
    "session_data",
    "expire_date",
    "period",
    "size_bound",
    "user_id",
    "login_stamp",
    "login_label",
    "login_actor",
    "login_client",
    "login_on",
    "login_number",
)

#: The parameters of `LACKING`.
WANTED: Final[dict[str, list[str]]] = {
    "selected": list(COLUMNS),
    "inserted": list(_INSERTED),
    "updated": [name for name in COLUMNS if name != "session_key"],
}

#: The privileges that this role lacks on the table `c`. Those on the columns are enough.
LACKING: Final[LiteralString] = """ARRAY(
        SELECT w.privilege
        FROM (VALUES
            ('SELECT', %(selected)s::pg_catalog.text[]),
            ('INSERT', %(inserted)s::pg_catalog.text[]),
            ('UPDATE', %(updated)s::pg_catalog.text[])
        ) AS w (privilege, columns)
        WHERE EXISTS (
            SELECT
            FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid
              AND a.attname::pg_catalog.text OPERATOR(pg_catalog.=) ANY (w.columns)
              AND NOT pg_catalog.has_column_privilege(c.oid, a.attnum, w.privilege)
        )
        UNION ALL
        SELECT 'DELETE'
        WHERE NOT pg_catalog.has_table_privilege(c.oid, 'DELETE')
    )"""

# A trigger counts if it runs for each row before a change, as it can skip the row. It may be one
# of a partition.
_OBSTACLES: Final[LiteralString] = f"""
SELECT
    current_setting('transaction_read_only')::boolean AS is_read_only,
    pg_is_in_recovery() AS is_standby,
    c.relkind IN ('r', 'p') AS is_table,
    {LACKING} AS lacking,
    row_security_active(c.oid) AS has_row_security,
    ARRAY(
        WITH RECURSIVE family (member) AS (
            SELECT c.oid
            UNION
            SELECT i.inhrelid
            FROM pg_inherits AS i
            JOIN family AS f ON i.inhparent = f.member
        )
        SELECT DISTINCT tgname::text
        FROM pg_trigger
        WHERE tgrelid IN (SELECT member FROM family)
          AND NOT tgisinternal
          AND tgenabled <> 'D'
          AND tgtype::int & 3 = 3
          AND tgtype::int & 24 <> 0
        ORDER BY 1
    ) AS triggers,
    ARRAY(
        SELECT rulename::text
        FROM pg_rewrite
        WHERE ev_class = c.oid
          AND rulename <> '_RETURN'
        ORDER BY 1
    ) AS rules
FROM pg_class AS c
WHERE c.oid = %(oid)s::int8::oid
"""  # noqa: S608 - of constants


class Column(Struct, frozen=True):
    """A column of the table, as the catalog describes it."""

    name: str
    type: str
    is_key: bool
    #: It takes no NULL and has no default.
    is_required: bool = False


class Obstacles(Struct, frozen=True):
    """What else may keep the table from being used."""

    is_read_only: bool = False
    is_standby: bool = False
    is_table: bool = True
    #: The privileges that this role lacks.
    lacking: list[str] = field(default_factory=list)
    has_row_security: bool = False
    #: The triggers and rules that can skip a change.
    triggers: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)


class ReadOnlyError(StoreUnavailableError):
    """A setting makes the database, or this role, read-only. It does not pass by itself."""


async def validate(connection: Connection, table: TableName) -> None:
    """Raise `SchemaError` unless this role can keep sessions in the table, with all guarantees.

    Raises `SettingsError` if the text of the connection is not UTF-8, and
    `StoreUnavailableError` if the server takes no writes now.
    """
    obstacles = await validate_table(connection, table)
    if obstacles.lacking:
        raise SchemaError(
            f"This role lacks privileges: GRANT {', '.join(obstacles.lacking)} ON {table} to it."
        )
    reject_writing(is_read_only=obstacles.is_read_only, is_standby=obstacles.is_standby)


def reject_writing(*, is_read_only: bool, is_standby: bool) -> None:
    """Raise `ReadOnlyError` if a setting, and else `StoreUnavailableError` if it is a standby."""
    if is_read_only and not is_standby:
        raise ReadOnlyError(
            "The database takes no writes: it is read-only, as default_transaction_read_only is on "
            "for the server, the database, this role or in the connection's options. Reset "
            "it where `pgsession check` says that it is set."
        )
    if is_read_only:
        raise StoreUnavailableError(
            "The database takes no writes: it is a standby. Name the primary, or every host and "
            "target_session_attrs=read-write."
        )


async def validate_table(connection: Connection, table: TableName) -> Obstacles:
    """Raise `SchemaError` unless the table is as this version needs it; return what was found.

    Raises `SettingsError` if the text of the connection is not UTF-8.
    """
    check_encoding(connection)
    found = await find(connection, table)
    if found is None:
        raise SchemaError(f"There is no table {table}; run `pgsession migrate`.")
    async with catalog_cursor(connection, class_row(Obstacles)) as cursor:
        await cursor.execute(_OBSTACLES, {**WANTED, "oid": found.oid}, prepare=False)
        [obstacles] = await cursor.fetchall()
    await validate_columns(connection, table, found, is_table=obstacles.is_table)
    check_obstacles(obstacles, table=table)
    return obstacles


async def validate_columns(
    connection: Connection, table: TableName, found: Found, *, is_table: bool = True
) -> None:
    """Raise `SchemaError` unless the table has the columns that this version needs."""
    async with catalog_cursor(connection, class_row(Column)) as cursor:
        await cursor.execute(_COLUMNS, (found.oid,), prepare=False)
        columns = await cursor.fetchall()
    check_columns(columns, table=table, is_table=is_table)


def check_encoding(connection: Connection) -> None:
    """Raise unless server and client both use UTF-8. It costs no query.

    `SchemaError` for the database, `SettingsError` for the connection.
    """
    server = connection.info.parameter_status("server_encoding")
    client = connection.info.parameter_status("client_encoding")
    reject_encoding(server)
    if client != "UTF8":
        raise SettingsError(
            f"The connections of the pool have client_encoding {client}, which cannot hold all "
            'text: make the pool with kwargs={"client_encoding": "UTF8"}.'
        )


def reject_encoding(encoding: str | None) -> None:
    """Raise `SchemaError` unless this encoding of a database is UTF-8."""
    if encoding != "UTF8":
        raise SchemaError(
            f"The database has the encoding {encoding}, which cannot hold all text; keep sessions "
            "in one that was made with ENCODING 'UTF8' TEMPLATE template0."
        )


def check_columns(
    columns: Iterable[Column], *, table: TableName | None = None, is_table: bool = True
) -> None:
    """Raise `SchemaError` unless these columns include those that this version needs.

    Further columns belong to the application. They must take NULL or have a
    default.
    """
    table = TableName() if table is None else table
    found = {column.name: column for column in columns}
    check_ownership(found, table=table, is_table=is_table)
    if NEWEST not in found:
        raise SchemaError(f"The table {table} is of an older version; run `pgsession migrate`.")
    for name, wanted in COLUMNS.items():
        if name not in found:
            raise SchemaError(f"The table {table} lacks the column {name}; add it as {wanted}.")
        if found[name].type != wanted:
            raise SchemaError(
                f"In the table {table} the column {name} is {found[name].type}; make it {wanted}."
            )
    if not found["session_key"].is_key:
        raise SchemaError(
            f"In the table {table} session_key is not the primary key; ALTER TABLE {table} ADD "
            "PRIMARY KEY (session_key);"
        )
    for name in found.keys() - COLUMNS.keys():
        if found[name].is_required:
            raise SchemaError(
                f"In the table {table} the column {name} takes no NULL and has no default, so "
                "no session could be made; give it a default."
            )


def check_ownership(columns: Iterable[str], *, table: TableName, is_table: bool = True) -> None:
    """Raise `SchemaError` if these columns show that the table is not one of sessions like ours."""
    if not is_table or not ADOPTED.issubset(columns):
        raise SchemaError(
            f"The table {table} belongs to something else: it lacks the columns "
            f"{', '.join(sorted(ADOPTED))}, or is a view; choose another schema (schema=, "
            "SESSION_SCHEMA) or another name (table=, SESSION_TABLE)."
        )


def check_obstacles(obstacles: Obstacles, *, table: TableName) -> None:
    """Raise `SchemaError` for what can skip or hide a row, so that a logout would be none."""
    if obstacles.has_row_security:
        raise SchemaError(
            f"Row security is active on the table {table}, which can hide sessions from this "
            f"role; let the role own the table or bypass it, or ALTER TABLE {table} DISABLE ROW "
            "LEVEL SECURITY."
        )
    if obstacles.triggers:
        raise SchemaError(
            f"The table {table} has triggers that can skip an UPDATE or a DELETE: "
            f"{', '.join(obstacles.triggers)}; make them AFTER triggers, or drop them."
        )
    if obstacles.rules:
        raise SchemaError(f"The table {table} has rules: {', '.join(obstacles.rules)}; drop them.")
