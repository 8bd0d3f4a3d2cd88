"""Where the session table is: its schema and its name."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from msgspec import Struct
from psycopg import AsyncCursor, sql
from psycopg.rows import AsyncRowFactory, tuple_row

from pgsession.errors import SettingsError
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.quoting import RESERVED, identifier

#: The name of the table unless another one is set.
DEFAULT_TABLE: Final = "session"

# It needs no quotes in the migrations, and leaves room for the names of indexes.
_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,49}")

_RowT = TypeVar("_RowT")

#: Finds a table by schema and name as `to_regclass` does. A NULL schema leaves it to the
#: search_path.
FIND: Final = """
SELECT c.oid::pg_catalog.int8, n.nspname::pg_catalog.text
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(
    pg_catalog.concat(
        pg_catalog.quote_ident(%(schema)s::pg_catalog.text) OPERATOR(pg_catalog.||) '.',
        pg_catalog.quote_ident(%(name)s::pg_catalog.text)
    )
)
"""


class Found(Struct, frozen=True):
    """A table that exists."""

    oid: int
    schema: str


class TableName(Struct, frozen=True):
    """The schema and the name of the session table. A schema of None is the search_path's.

    Raises `SettingsError` for a name that needs quotes or is too long.
    """

    schema: str | None = None
    name: str = DEFAULT_TABLE

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise SettingsError(
                "table must be a name of at most 50 lower-case letters, digits and underscores."
            )
        if self.name in RESERVED:
            raise SettingsError(f"table must not be {self.name}, which is a keyword of SQL.")

    def __str__(self) -> str:
        """As SQL, to be printed: in messages it also stands in statements."""
        return identifier(self.schema, self.name) if self.schema else identifier(self.name)

    @property
    def identifier(self) -> sql.Identifier:
        """The name as SQL."""
        return self._identifier(self.name)

    @property
    def record(self) -> str:
        """The name of the table in which the applied migrations are recorded."""
        return f"{self.name}_migration"

    @property
    def record_identifier(self) -> sql.Identifier:
        """The same as SQL, with its schema."""
        return self._identifier(self.record)

    def _identifier(self, name: str) -> sql.Identifier:
        return sql.Identifier(self.schema, name) if self.schema else sql.Identifier(name)


async def find(
    connection: Connection, table: TableName, *, name: str | None = None
) -> Found | None:
    """Return where the table, or another of this `name`, is; None if there is none."""
    wanted = {"schema": table.schema, "name": table.name if name is None else name}
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(FIND, wanted, prepare=False)
        row = await cursor.fetchone()
    return None if row is None else Found(*row)


@asynccontextmanager
async def catalog_cursor(
    connection: Connection, row_factory: AsyncRowFactory[_RowT]
) -> AsyncIterator[AsyncCursor[_RowT]]:
    """Yield a cursor for reading, with a search_path that holds only pg_catalog.

    So functions and operators that other roles have put elsewhere are never
    called (CVE-2018-1058).
    """
    async with (
        connection.transaction(force_rollback=True),  # which takes the search_path back
        connection.cursor(row_factory=row_factory) as cursor,
    ):
        await cursor.execute("SET LOCAL search_path TO pg_catalog, pg_temp", prepare=False)
        yield cursor
