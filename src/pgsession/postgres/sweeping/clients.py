"""Erasing what was recorded of clients, once that is switched off."""

from __future__ import annotations

from typing import Final, LiteralString, TypeAlias

from psycopg import sql

from pgsession.postgres.connections.connection import Connection, cursor_of
from pgsession.postgres.connections.dedicated import Dedicated
from pgsession.postgres.connections.runner import Runner
from pgsession.postgres.table_name import TableName

_Runner: TypeAlias = Runner | Dedicated

#: Rows in one statement at most.
_ROWS: Final = 1000

# An index holds the rows that have something recorded.
_ERASE: Final = sql.SQL("""
UPDATE {table}
SET login_client = NULL
WHERE session_key OPERATOR(pg_catalog.=) ANY (
    SELECT session_key
    FROM {table}
    WHERE login_client IS NOT NULL
    ORDER BY session_key
    LIMIT {rows}{skip_locked}
)
""")

_SKIP_LOCKED: Final[LiteralString] = """
    FOR NO KEY UPDATE SKIP LOCKED"""


async def erase_clients(runner: _Runner, name: TableName, *, is_distributed: bool) -> None:
    """Erase the addresses and user agents of all sign-ins, a thousand at a time.

    Rows that other transactions hold are left for the next time.
    """
    statement = _ERASE.format(
        table=name.identifier,
        rows=sql.Literal(_ROWS),
        skip_locked=sql.SQL("" if is_distributed else _SKIP_LOCKED),
    )

    async def erase(connection: Connection) -> int:
        cursor = cursor_of(connection)
        await cursor.execute(statement, prepare=False)
        return cursor.rowcount

    while await runner.run(erase) == _ROWS:
        pass
