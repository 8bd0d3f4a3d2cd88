"""The statements that end the sessions of everybody, some at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

from psycopg.errors import LockNotAvailable
from psycopg.rows import TupleRow

from pgsession.core.adoption import MARKER
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.connections.statement import Statement
from pgsession.postgres.statements.text import SHORT_PATIENCE, Statements, Wording

# In key order, and not page by page: an update may move a row to a page that was passed before,
# and never changes its key. The markers of adopted sessions stay, so that their old cookies are
# not adopted again.
_NEXT: Final = """
SELECT
    s.session_key::pg_catalog.text,
    {living}
FROM {table} AS s
WHERE s.session_key OPERATOR(pg_catalog.>) %(after)s::pg_catalog.text
  AND coalesce(s.verifier, '') OPERATOR(pg_catalog.<>) '{marker}'
ORDER BY s.session_key
LIMIT %(most)s::pg_catalog.int8
"""

_GIVEN: Final = """s.session_key
    OPERATOR(pg_catalog.=) ANY (pg_catalog.string_to_array(%(handles)s::pg_catalog.text, ','))"""

_GIVEN_ONE: Final = "s.session_key OPERATOR(pg_catalog.=) %(handles)s::pg_catalog.text"

_DELETE: Final = """
DELETE FROM {table} AS s
WHERE {given}
  AND s.session_key OPERATOR(pg_catalog.=) ANY (ARRAY(
      SELECT s.session_key
      FROM {table} AS s
      WHERE {given}
        AND {patiently}
      ORDER BY s.session_key
      FOR UPDATE SKIP LOCKED
  ))
RETURNING s.session_key::pg_catalog.text
"""

# Citus can neither skip nor lock rows of several nodes.
_DELETE_DISTRIBUTED: Final = """
DELETE FROM {table} AS s
WHERE {given}
RETURNING s.session_key::pg_catalog.text
"""

_FREE: Final = """
SELECT s.session_key::pg_catalog.text
FROM {table} AS s
WHERE {given}
FOR UPDATE SKIP LOCKED
"""

_LEFT: Final = """
SELECT s.session_key::pg_catalog.text
FROM {table} AS s
WHERE {given}
"""


class Clearing(Statements):
    """Ends sessions, whoever they belong to."""

    def reword(self, wording: Wording) -> None:
        super().reword(wording)
        self._is_distributed = wording.is_distributed
        brief = wording.patiently(SHORT_PATIENCE)
        delete = _DELETE_DISTRIBUTED if wording.is_distributed else _DELETE
        self._next = wording.write(_NEXT, marker=MARKER)
        self._delete = wording.write(delete, given=_GIVEN, patiently=brief)
        self._delete_one = wording.write(delete, given=_GIVEN_ONE, patiently=brief)
        self._free = wording.write(_FREE, given=_GIVEN_ONE)
        self._left = wording.write(_LEFT, given=_GIVEN)

    async def next(self, connection: Connection, after: str, most: int) -> dict[str, bool]:
        """Return the next `most` sessions in the order of their handles, and which are alive."""
        rows = await self._rows(connection, self._next, {"after": after, "most": most})
        return {_text(handle): is_alive for handle, is_alive in rows}

    async def remove(
        self, connection: Connection, handles: Sequence[str]
    ) -> tuple[set[str], set[str]]:
        """Remove sessions; return those that it has removed, and those that are left.

        Another transaction may have removed some. Others hold the rows of those that are left.
        """
        gone: set[str] = set()
        try:
            gone = await self._remove(
                connection, self._delete, handles, is_apart=self._is_distributed
            )
        except LockNotAvailable:  # one row keeps the others of its statement
            for handle in handles:
                with suppress(LockNotAvailable):
                    gone |= await self._remove(connection, self._delete_one, [handle])
        return gone, _texts(await self._rows(connection, self._left, _given(handles)))

    async def keeps(self, connection: Connection, handle: str) -> bool:
        """Tell whether the row of a session stays though no transaction holds it."""
        if self._is_distributed:  # where it cannot be asked
            return False
        try:
            async with connection.transaction():
                is_free = await self._rows(connection, self._free, _given([handle]))
                return bool(is_free) and not await self._remove(
                    connection, self._delete_one, [handle]
                )
        except LockNotAvailable:
            return False

    async def _remove(
        self,
        connection: Connection,
        statement: Statement,
        handles: Sequence[str],
        *,
        is_apart: bool = False,
    ) -> set[str]:
        answer = await self._locking(
            connection,
            statement,
            _given(handles),
            skipping=not self._is_distributed,
            committed_apart=is_apart,
        )
        return _texts(answer.rows)


def _given(handles: Iterable[str]) -> dict[str, str]:
    return {"handles": ",".join(handles)}


def _texts(rows: Iterable[TupleRow]) -> set[str]:
    return {_text(handle) for (handle,) in rows}


def _text(handle: str | bytes) -> str:
    """Return a handle as text: with the encoding SQL_ASCII psycopg returns bytes."""
    return handle.decode() if isinstance(handle, bytes) else handle
