"""`signed_in` of a store in PostgreSQL."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection

from pgsession import rare
from pgsession.postgres.batching import Calls


class SignedInUsers:
    """The method that a `UserStore` need not have: no request calls it."""

    @abstractmethod
    def _calls(self) -> Calls: ...

    async def signed_in(
        self,
        *,
        most: int = 100,
        skip: int = 0,
        by: rare.Order = "sessions",
        among: Collection[str] | None = None,
    ) -> list[rare.SignedInUser]:
        """Return the users who have living sessions.

        The users with most sessions come first, or, by "seen", those who were seen last. There
        are `most` at most, after the first `skip`; ask for one more to know whether that is
        all. With `among`, the answer has only users of this collection: those that a search
        in the application's own table has found, say.

        It is one SELECT, which waits for no row that others have locked. With `among` an index
        finds the rows. Without it the whole table is read: for a million small sessions in
        PostgreSQL's memory that takes half a second to one second, and longer from disk. Meanwhile
        it holds a connection of the pool. A process runs one at a time, and other calls of this
        method wait for it. So call it for administrators, not in each request.

        Raises `StoreUnavailableError` if it takes longer than the store's timeout,
        `SettingsError` unless `most` is from 1 to 10,000, `skip` at least 0 and `by` one of the
        two, and `TypeError` or `ValueError` for what cannot be a user id.
        """
        question = rare.asked(most=most, skip=skip, by=by, among=among)
        return await self._calls().signed_in(question) if question.among != () else []
