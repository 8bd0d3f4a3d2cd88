"""Whether a table in the place of ours belongs to a role that may run code in a migration."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, LiteralString, Protocol

from msgspec.structs import replace
from psycopg import sql

from pgsession.errors import SchemaError
from pgsession.postgres.connections.statement import Statement
from pgsession.postgres.table_name import FIND, TableName
from pgsession.postgres.validation import check_ownership

# A table's owner can make every user of it run code, by triggers, defaults or as a view, and a
# schema's owner can replace the tables in it. So both must be this role, one that it is a member
# of, a superuser, or the owner of the database. A superuser counts as a member of every role. The
# owner of a schema that was asked for by name may own the tables too.
_TRUST: Final = """
    pg_catalog.pg_roles AS me
    JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    JOIN pg_catalog.pg_database AS d
        ON d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
    CROSS JOIN LATERAL (
        SELECT pg_catalog.array_agg(r.oid) AS oids
        FROM pg_catalog.pg_roles AS r
        WHERE r.oid OPERATOR(pg_catalog.=) me.oid
           OR r.rolsuper
           OR r.oid OPERATOR(pg_catalog.=) d.datdba
           OR r.rolname OPERATOR(pg_catalog.=) 'pg_database_owner'
           OR NOT me.rolsuper AND pg_catalog.pg_has_role(me.oid, r.oid, 'MEMBER')
    ) AS trusted
    WHERE me.rolname OPERATOR(pg_catalog.=) CURRENT_USER
      AND (
          c.relowner OPERATOR(pg_catalog.=) ANY (trusted.oids)
          OR {is_named} AND c.relowner OPERATOR(pg_catalog.=) n.nspowner
      )
      AND ({is_named} OR n.nspowner OPERATOR(pg_catalog.=) ANY (trusted.oids))
"""

_FIND_COLUMNS: Final = """
SELECT
    a.attname::pg_catalog.text,
    c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'p']::pg_catalog."char"[]),
    pg_catalog.pg_get_userbyid(c.relowner)::pg_catalog.text,
    EXISTS (SELECT FROM {trust})
FROM pg_catalog.pg_class AS c
LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid OPERATOR(pg_catalog.=) c.oid
WHERE c.oid OPERATOR(pg_catalog.=) %s::pg_catalog.int8::pg_catalog.oid
"""

# In the transaction of each migration, under the lock: what was looked at before may have been
# replaced meanwhile. Once the record is there, nobody else can put one in its place.
_RECHECK: Final = """
CREATE TABLE IF NOT EXISTS {record} (
    name        pg_catalog.text PRIMARY KEY,
    applied_on  timestamp with time zone NOT NULL DEFAULT pg_catalog.now()
);
DO $check$
DECLARE
    found pg_catalog.text;
BEGIN
    SELECT c.relname::pg_catalog.text INTO found
    FROM pg_catalog.pg_class AS c
    WHERE c.oid OPERATOR(pg_catalog.=) ANY (ARRAY[
            pg_catalog.to_regclass('{record}')::pg_catalog.oid,
            pg_catalog.to_regclass('{table}')::pg_catalog.oid
        ])
      AND (
          c.relkind OPERATOR(pg_catalog.<>) ALL (ARRAY['r', 'p']::pg_catalog."char"[])
          OR NOT EXISTS (SELECT FROM {trust})
      )
    LIMIT 1;
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'the table % or its schema belongs to a role that is not trusted', found;
    END IF;
END
$check$;
"""


class Rows(Protocol):
    """The answer to a query, such as a cursor of psycopg or a result of SQLAlchemy."""

    def fetchall(self) -> Sequence[Sequence[Any]]: ...


class Queryable(Protocol):
    """What runs a query with psycopg's placeholders, such as a connection of psycopg."""

    def execute(
        self,
        query: LiteralString | bytes | sql.Composed,
        params: Sequence[object] | Mapping[str, object] | None = None,
    ) -> Rows: ...


def recheck(table: TableName) -> bytes:
    """Return statements that make the record, and fail unless both tables are to be trusted."""
    trusted = trust(is_named=bool(table.schema))
    return _RECHECK.format(record=table.record, table=table.name, trust=trusted).encode()


def trusted_columns(connection: Queryable, table: TableName, name: str) -> list[str]:
    """Return the columns of a table of ours; none if it does not exist.

    Raises `SchemaError` if it is no table, or if its owner is not to be trusted.
    """
    found = connection.execute(FIND, {"schema": table.schema, "name": name}).fetchall()
    if not found:
        return []
    [(oid, schema)] = found
    find_columns = _FIND_COLUMNS.format(trust=trust(is_named=bool(table.schema)))
    columns = connection.execute(Statement(find_columns.encode()), (oid,)).fetchall()
    _, is_table, owner, is_trusted = columns[0]
    if not is_table:
        check_ownership((), table=replace(table, name=name), is_table=False)
    if not is_trusted:
        raise SchemaError(
            f"The table {schema}.{name} belongs to the role {owner}, or its schema to another one, "
            "whose code would run with the rights of this role. If that is to have the sessions, "
            "migrate as that role (options=-crole=… in the URL), or name the schema; otherwise "
            "drop the table."
        )
    return [column for column, *_ in columns]


def trust(*, is_named: bool) -> str:
    """Return what stands behind ``FROM``: it has a row if the table ``c`` is to be trusted.

    `is_named`: its schema was asked for by name.
    """
    return _TRUST.format(is_named="true" if is_named else "false")
