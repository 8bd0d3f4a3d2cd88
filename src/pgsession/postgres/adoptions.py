"""How the store in PostgreSQL takes over old sessions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Raw

from pgsession import rare
from pgsession.core.keys import key_digest
from pgsession.core.limits import Limits
from pgsession.core.login import checked_user_id
from pgsession.core.period import Period
from pgsession.core.store import Entry
from pgsession.core.value import encode_value, printed_bound
from pgsession.errors import UnknownUserError
from pgsession.postgres.batching import Calls
from pgsession.postgres.connections.failures import RefusedValueError
from pgsession.postgres.dead_keys import DeadKeys
from pgsession.postgres.rows import Row

if TYPE_CHECKING:  # few applications take over old sessions
    from pgsession.postgres.statements.adopting import Heir


class Adoptions(Limits):
    """The method of an `AdoptingStore` that a `Store` does not have.

    It takes three statements to take over old sessions, and one to find that they were
    taken over. In an `exclusive` block too they are committed at once.
    """

    _entry: Callable[[Row], Entry | None]
    _dead: DeadKeys

    @abstractmethod
    def _calls(self) -> Calls: ...

    async def adopt(
        self, adoption: rare.Adoption, *, period: Period | None = None
    ) -> rare.Adopted | None:
        """Return the session that has taken over an old one; see `AdoptingStore.adopt`."""
        by_digest = {key_digest(key): key for key in adoption.keys}
        heir = self._heir(adoption, tuple(by_digest), period)
        try:
            row, is_new = await self._calls().adopt(heir)
        except RefusedValueError as error:
            raise UnknownUserError from error
        if row is None:
            return None
        self._dead.forget(row.key)
        entry = self._entry(row)
        return None if entry is None else rare.Adopted(by_digest[row.key], entry, is_new)

    def _heir(
        self,
        adoption: rare.Adoption,
        keys: tuple[tuple[str, str | None], ...],
        period: Period | None,
    ) -> Heir:
        from pgsession.postgres.statements.adopting import Heir  # noqa: PLC0415 - see above

        text, user_id = encode_value(adoption.content, limit=self.value_limit), adoption.user_id
        return Heir(
            marker=adoption.marker,
            session_key=keys[0][0],
            keys=keys,
            session_data=Raw(text),
            seconds=self._period(period).total_seconds(),
            size=printed_bound(text),
            remembered=adoption.remembered.total_seconds(),
            user_id=None if user_id is None else checked_user_id(user_id),
        )
