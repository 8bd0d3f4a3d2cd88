"""The statements that end the sessions of everybody, some at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from psycopg.errors import LockNotAvailable

from pgsession.core.adoption import MARKER
from pgsession.postgres.connections.connection import Connection
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
"""

# Citus can neither skip nor lock rows of several nodes.
_DELETE_DISTRIBUTED: Final = """
DELETE FROM {table} AS s
WHERE {given}
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
        self._left = wording.write(_LEFT, given=_GIVEN)

    async def next(self, connection: Connection, after: str, most: int) -> dict[str, bool]:
        """Return the next `most` sessions in the order of their handles, and which are alive."""
        rows = await self._rows(connection, self._next, {"after": after, "most": most})
        return {_text(handle): is_alive for handle, is_alive in rows}

    async def remove(self, connection: Connection, handles: Sequence[str]) -> set[str]:
        """Remove sessions; return those that are left, as other transactions hold their rows."""
        try:
            await self._remove(connection, self._delete, handles, is_apart=self._is_distributed)
        except LockNotAvailable:  # one row keeps the others of its statement
            for handle in handles:
                try:
                    await self._remove(connection, self._delete_one, [handle])
                except LockNotAvailable:
                    continue
        rows = await self._rows(connection, self._left, _given(handles))
        return {_text(handle) for (handle,) in rows}

    async def _remove(
        self,
        connection: Connection,
        statement: bytes,
        handles: Sequence[str],
        *,
        is_apart: bool = False,
    ) -> None:
        await self._locking(
            connection,
            statement,
            _given(handles),
            skipping=not self._is_distributed,
            committed_apart=is_apart,
        )


def _given(handles: Iterable[str]) -> dict[str, str]:
    return {"handles": ",".join(handles)}


def _text(handle: str | bytes) -> str:
    """Return a handle as text: with the encoding SQL_ASCII psycopg returns bytes."""
    return handle.decode() if isinstance(handle, bytes) else handle
