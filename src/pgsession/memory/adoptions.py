"""How the store in memory takes over old sessions."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable

from pgsession.core.adoption import MARKER, Adopted, Adoption
from pgsession.core.keys import digest
from pgsession.core.login import checked_user_id
from pgsession.core.period import Period
from pgsession.core.store import Entry
from pgsession.memory.rows import Row, User
from pgsession.memory.users import MemoryUsers


class MemoryAdoptions(MemoryUsers):
    """The method of an `AdoptingStore` that a `UserStore` does not have."""

    @abstractmethod
    def _living(self, key: str) -> Row | None: ...

    @abstractmethod
    def _entry(self, row: Row) -> Entry: ...

    @abstractmethod
    def _make_room(self) -> None: ...

    async def adopt(self, adoption: Adoption, *, period: Period | None = None) -> Adopted | None:
        """Return the session that has taken over an old one; see `AdoptingStore.adopt`."""
        text, now = self._encoded(adoption.content), time.monotonic()
        user = None if adoption.user_id is None else _user(adoption.user_id)
        length = self._period(period).total_seconds()
        found = self._found(adoption)
        marker = self._rows.get(adoption.marker)
        if found is not None or (marker is not None and marker.expire_at > now):
            return found
        self._make_room()
        end = now + adoption.remembered.total_seconds()
        # No limit of a session's age or inactivity counts for the marker.
        self._rows[adoption.marker] = Row(
            None, next(self._numbers), end, end, expire_at=end, verifier=MARKER
        )
        row = Row(text, next(self._numbers), now, now, expire_at=now + length, user=user)
        self._rows[digest(adoption.keys[0])] = row
        return self._found(adoption, is_new=True)

    async def revoke_everyone(self, *, progress: Callable[[int], object] | None = None) -> int:
        """End all sessions, those of visitors too. Return how many ended.

        Calls `progress` once with that number. Old cookies that were taken over stay
        known, so none is taken over again.
        """
        now = time.monotonic()
        rows = {each: row for each, row in self._rows.items() if row.verifier != MARKER}
        ended = sum(self._end(row) > now for row in rows.values())
        self._remove(rows)
        if progress is not None:
            progress(ended)
        return ended

    def _found(self, adoption: Adoption, *, is_new: bool = False) -> Adopted | None:
        """Return the session that lives under one of the keys."""
        for key in adoption.keys:
            if (row := self._living(key)) is not None:
                return Adopted(key, self._entry(row), is_new)
        return None


def _user(user_id: str) -> User:
    """Return a user who has signed in long ago: at the beginning of 1970, as far as is known."""
    return User(checked_user_id(user_id), 1, time.monotonic() - time.time())
