"""The statements that change a session's number, which its cookie carries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.rows import Showing
from pgsession.postgres.statements.text import SHORT_PATIENCE, Statements, Wording

_OFFERED: Final = """
WITH offered AS MATERIALIZED (
    SELECT
        %(selector)s::pg_catalog.text AS session_key,
        %(verifier)s::pg_catalog.text AS verifier,
        %(number)s::pg_catalog.int4 AS number,
        pg_catalog.now() AS shown_on,
        pg_catalog.now() OPERATOR(pg_catalog.-)
            pg_catalog.make_interval(secs => %(grace)s::pg_catalog.float8) AS settled_on
    WHERE {patiently}
)"""

_MATCHING: Final = """s.session_key OPERATOR(pg_catalog.=) o.session_key
  AND s.session_key OPERATOR(pg_catalog.=) %(selector)s::pg_catalog.text
  AND coalesce(s.verifier, '') OPERATOR(pg_catalog.=) coalesce(o.verifier, '')
  AND {living}"""

# A row that another transaction holds is left as it is: the next request tries again.
_UPDATE: Final = """{offered}, free AS MATERIALIZED (
    SELECT s.session_key
    FROM {table} AS s
    JOIN offered AS o ON {matching}
    FOR NO KEY UPDATE OF s SKIP LOCKED
)
UPDATE {table} AS s
SET {change}
FROM offered AS o
JOIN free AS f ON f.session_key OPERATOR(pg_catalog.=) o.session_key
WHERE {matching}
  AND {is_due}
RETURNING s.key_number::pg_catalog.int4
"""

_ROTATION: Final = "key_number = s.key_number OPERATOR(pg_catalog.+) 1, shown_on = NULL"

_ROTATION_IS_DUE: Final = """s.key_number OPERATOR(pg_catalog.=) o.number
  AND s.shown_on OPERATOR(pg_catalog.<) o.settled_on
  AND s.seen_on OPERATOR(pg_catalog.<) o.settled_on"""

_SHOWING: Final = "key_number = o.number, shown_on = o.shown_on"

# A number that is one ahead was given out, and a failover has lost the commit.
_SHOWING_IS_DUE: Final = """(
      s.key_number OPERATOR(pg_catalog.=) o.number AND s.shown_on IS NULL
      OR s.key_number OPERATOR(pg_catalog.=) (o.number OPERATOR(pg_catalog.-) 1)
  )"""

_CURRENT: Final = """{offered}
SELECT s.key_number::pg_catalog.int4
FROM {table} AS s
JOIN offered AS o ON {matching}
"""


class Numbering(Statements):
    """Changes the numbers of single sessions. It waits for no other transaction."""

    def reword(self, wording: Wording) -> None:
        super().reword(wording)
        parts = {
            "offered": _OFFERED,
            "matching": _MATCHING,
            "patiently": wording.patiently(SHORT_PATIENCE),
        }
        self._rotate = wording.write(_UPDATE, change=_ROTATION, is_due=_ROTATION_IS_DUE, **parts)
        self._show = wording.write(_UPDATE, change=_SHOWING, is_due=_SHOWING_IS_DUE, **parts)
        self._current = wording.write(_CURRENT, **parts)

    async def renumber(
        self, connection: Connection, showings: Sequence[Showing]
    ) -> Sequence[int | None]:
        """Rotate or show one number; return the session's number then, or None for a dead key."""
        (showing,) = showings
        selector, verifier = showing.key
        parameters = {
            "selector": selector,
            "verifier": verifier,
            "number": showing.number,
            "grace": showing.grace or 0.0,
        }
        statement = self._show if showing.grace is None else self._rotate
        rows = await self._rows(connection, statement, parameters)
        if not rows:
            rows = await self._rows(connection, self._current, parameters)
        return [rows[0][0] if rows else None]
