"""Whether a store can serve requests now: the question of a probe."""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import Final, LiteralString

from psycopg import sql
from psycopg.errors import ReadOnlySqlTransaction

from pgsession.errors import SchemaError, SessionError
from pgsession.postgres.connections.connection import Connection, cursor_of
from pgsession.postgres.connections.failures import NodeLostError
from pgsession.postgres.connections.runner import Runner
from pgsession.postgres.table_name import TableName
from pgsession.postgres.validation import COLUMNS, LACKING, WANTED

# No row has this key. A column or the table that is missing fails, as it does for a request.
_READ: Final = sql.SQL("""
SELECT {columns}
FROM {table} AS s
WHERE s.session_key OPERATOR(pg_catalog.=) ''::pg_catalog.text
""")

# A name that is not found gives NULL; then the statement above has failed.
_WRITE: Final[LiteralString] = f"""
SELECT
    pg_catalog.current_setting('transaction_read_only')::pg_catalog.bool,
    {LACKING}
FROM (SELECT pg_catalog.to_regclass(%(name)s)::pg_catalog.oid AS oid) AS c
"""  # noqa: S608 - of constants


class Checking:
    """Checks that requests can be served, with a connection of the pool, as a request.

    Callers that come at once share one check.
    """

    def __init__(self, runner: Runner, name: TableName) -> None:
        self._runner = runner
        self._name = name
        self._read = _READ.format(
            columns=sql.SQL(", ").join(sql.Identifier("s", column) for column in COLUMNS),
            table=name.identifier,
        )
        self._task: asyncio.Task[None] | None = None

    async def check(self) -> None:
        """Raise the reason if no request can be served; see `PostgresStore.check`."""
        if self._task is None:
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._runner.run(self._ask), context=Context())
            self._task.add_done_callback(self._end)
        try:
            await asyncio.shield(self._task)
        except NodeLostError:
            return  # sessions on other nodes are served
        except SessionError as error:
            failure = error
        else:
            return
        raise type(failure)(str(failure))  # a copy for each: one would collect all tracebacks

    async def close(self) -> None:
        """Wait for the check under way, which holds a connection."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def _ask(self, connection: Connection) -> None:
        cursor = cursor_of(connection)
        await cursor.execute(self._read, prepare=False)
        name = self._name.identifier.as_string(connection)
        await cursor.execute(_WRITE, {**WANTED, "name": name}, prepare=False)
        [(is_read_only, lacking)] = await cursor.fetchall()
        if is_read_only:
            # What a write of a request raises: the connection is dropped, and another one tried.
            raise ReadOnlySqlTransaction
        if lacking:
            raise SchemaError(
                f"This role lacks privileges: GRANT {', '.join(lacking)} ON {self._name} to it."
            )

    def _end(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled():
            task.exception()  # retrieved, though every caller may have been cancelled
