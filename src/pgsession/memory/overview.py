"""How the store in memory tells who is signed in."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Collection, MutableMapping
from typing import Final

from pgsession.core.overview import Asked, Order, SignedInUser, asked
from pgsession.memory.rows import Row, User, moment

#: The living sessions of one user.
_Rows = list[tuple[Row, User]]


class MemoryOverview:
    """The method that a `UserStore` need not have: no request calls it."""

    _rows: MutableMapping[str, Row]

    @abstractmethod
    def _end(self, row: Row) -> float: ...

    async def signed_in(
        self,
        *,
        most: int = 100,
        skip: int = 0,
        by: Order = "sessions",
        among: Collection[str] | None = None,
    ) -> list[SignedInUser]:
        """Return the users who have living sessions; see `PostgresStore.signed_in`."""
        question = asked(most=most, skip=skip, by=by, among=among)
        found = sorted(self._living_of(question).items(), key=_ORDERS[by])
        return [_user(*each) for each in found[skip : skip + most]]

    def _living_of(self, question: Asked) -> dict[str, _Rows]:
        now, among = time.monotonic(), question.among
        users: defaultdict[str, _Rows] = defaultdict(list)
        for row in self._rows.values():
            user = row.user
            if user is None or self._end(row) <= now:
                continue
            if among is None or user.user_id in among:
                users[user.user_id].append((row, user))
        return users


def _seen(rows: _Rows) -> float:
    return max(row.seen_at for row, _ in rows)


def _user(user_id: str, rows: _Rows) -> SignedInUser:
    return SignedInUser(
        user_id=user_id,
        sessions=len(rows),
        last_seen_at=moment(_seen(rows)),
        authenticated_at=moment(max(user.proved_at for _, user in rows)),
    )


_ORDERS: Final[dict[Order, Callable[[tuple[str, _Rows]], tuple[float, float, str]]]] = {
    "sessions": lambda each: (-len(each[1]), -_seen(each[1]), each[0]),
    "seen": lambda each: (-_seen(each[1]), -len(each[1]), each[0]),
}
