"""The statements that count the sessions of each user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pgsession.core.login import moment
from pgsession.core.overview import Asked, Order, SignedInUser
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.statements.reading import SINCE, microseconds, past
from pgsession.postgres.statements.text import Statements, Wording

# The rows that say what was taken over have no user. No index has the dates, so the whole table is
# read unless users are named.
_SIGNED_IN: Final = """
SELECT
    s.user_id::pg_catalog.text,
    pg_catalog.count(*)::pg_catalog.int8,
    {seen},
    {since}
FROM {table} AS s
WHERE {of_users}
  AND {living}
GROUP BY s.user_id
ORDER BY {order}, s.user_id COLLATE pg_catalog."C"
LIMIT %(most)s::pg_catalog.int8
OFFSET %(skip)s::pg_catalog.int8
"""

_ALL: Final = "s.user_id IS NOT NULL"
_AMONG: Final = "s.user_id OPERATOR(pg_catalog.=) ANY (%(among)s::pg_catalog.text[])"

_MOST: Final = "pg_catalog.count(*) DESC"
_LATEST: Final = "pg_catalog.max(s.seen_on) DESC"
_ORDERS: Final[dict[Order, str]] = {
    "sessions": f"{_MOST}, {_LATEST}",
    "seen": f"{_LATEST}, {_MOST}",
}


class Overview(Statements):
    """Counts the sessions of each user. It waits for no other transaction."""

    def reword(self, wording: Wording) -> None:
        super().reword(wording)
        self._statements = {
            (order, of_users): wording.write(
                _SIGNED_IN,
                of_users=of_users,
                order=text,
                seen=_last("s.seen_on"),
                since=_last(SINCE),
            )
            for order, text in _ORDERS.items()
            for of_users in (_ALL, _AMONG)
        }

    async def signed_in(
        self, connection: Connection, wanted: Sequence[Asked]
    ) -> Sequence[list[SignedInUser]]:
        """Return the users that one caller asks for."""
        (asked,) = wanted
        parameters: dict[str, object] = {"most": asked.most, "skip": asked.skip}
        of_users = _ALL
        if asked.among is not None:
            of_users, parameters["among"] = _AMONG, list(asked.among)
        rows = await self._rows(connection, self._statements[asked.by, of_users], parameters)
        return [[_user(*row) for row in rows]]


def _user(user_id: str, sessions: int, seen: int, since: int) -> SignedInUser:
    return SignedInUser(
        user_id=user_id,
        sessions=sessions,
        last_seen_at=moment(seen),
        authenticated_at=moment(since),
    )


def _last(column: str) -> str:
    return microseconds(past(f"pg_catalog.max({column})"))
