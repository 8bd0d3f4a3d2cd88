"""The operations of a store in PostgreSQL on users and their sessions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Any

import msgspec
from psycopg import AsyncConnection

from pgsession import rare
from pgsession.core.current import ended_within, note_ended
from pgsession.core.hidden import hidden
from pgsession.core.keys import digest, key_digest, new_key, renewed_key
from pgsession.core.limits import Limits
from pgsession.core.login import Login, checked_user_id
from pgsession.core.observer import StoreObserver, observed
from pgsession.core.paths import is_text
from pgsession.core.period import Period
from pgsession.core.store import Changes, Written
from pgsession.core.users import HasHandle, LoginState, checked_most, handle_to_keep
from pgsession.core.value import printed_bound
from pgsession.errors import SessionError, UnknownUserError
from pgsession.postgres.batching import Calls
from pgsession.postgres.connections.failures import RefusedValueError
from pgsession.postgres.connections.runner import Runner
from pgsession.postgres.revocation import Revocation
from pgsession.postgres.rows import Draft, Edit
from pgsession.postgres.statements.signing import Logout
from pgsession.postgres.statements.table import Table


class UserSessions(Limits):
    """The methods of a `UserStore` that a `Store` does not have."""

    _observer: StoreObserver | None

    @abstractmethod
    def _calls(self) -> Calls: ...

    @abstractmethod
    def _runner(self) -> Runner: ...

    @abstractmethod
    async def _apply(self, edit: Edit) -> Written: ...

    @abstractmethod
    def _batched_table(self) -> Table: ...

    @abstractmethod
    def _patience(self) -> float:
        """Return how many seconds a row may be held. Raises `SessionError` within a block."""

    @abstractmethod
    async def _located_table(self) -> Table:
        """Return statements that name the schema of the table, for a transaction that is open."""

    @abstractmethod
    def _merging(
        self,
        key: str,
        changes: Changes | None,
        period: Period | None,
        *,
        granted: bool | None,
        heir: str | None = None,
    ) -> Edit: ...

    async def login(
        self,
        key: str | None,
        login: Login,
        changes: Changes,
        *,
        period: Period | None = None,
        granted: bool = False,
    ) -> str:
        """Bind the session to a user, under a new key, and return that; see `UserStore.login`."""
        key, seconds = hidden(key), self._period(period)
        try:
            if key is None:
                return await self._login_anew(login, changes, seconds, granted=granted)
            heir = renewed_key(key)
            _, verifier = key_digest(heir)
            edit = self._merging(key, changes, seconds, granted=granted, heir=verifier)
            await self._apply(msgspec.structs.replace(edit, login=login))
        except RefusedValueError as error:
            raise UnknownUserError from error
        return heir

    async def _login_anew(
        self, login: Login, changes: Changes, period: timedelta, *, granted: bool
    ) -> str:
        """Make a session of a user; return its key."""
        key, text = new_key(), changes.encode(limit=self.value_limit)
        bound = printed_bound(text)
        await self._calls().insert_login(
            Draft(digest(key), msgspec.Raw(text), period.total_seconds(), granted, bound, login)
        )
        return key

    async def confirm(
        self,
        key: str,
        changes: Changes | None = None,
        *,
        period: Period | None = None,
        granted: bool | None = None,
    ) -> str:
        """Record that the user has proved who they are; see `UserStore.confirm`."""
        key = hidden(key)
        heir = renewed_key(key)
        _, verifier = key_digest(heir)
        edit = self._merging(key, changes, period, granted=granted, heir=verifier)
        await self._apply(msgspec.structs.replace(edit, confirms=True))
        return heir

    async def logout(self, key: str, login_number: int) -> bool:
        """Remove the session if it has this login number still; see `UserStore.logout`."""
        return await self._calls().logout(Logout(digest(hidden(key)), login_number))

    async def is_retired(self, key: str) -> bool:
        """Return True if a renewal has retired this key within the last minute."""
        return await self._calls().is_retired(key_digest(hidden(key)))

    async def devices(self, user_id: str) -> list[rare.Device]:
        """Return the living sessions of a user, those seen last first."""
        return await self._calls().devices(checked_user_id(user_id))

    async def revoke(self, user_id: str, handle: str) -> bool:
        """End one session of a user. Return whether it lived until now."""
        revocation = Revocation(checked_user_id(user_id), handle)
        if not is_text(handle):
            return False
        await self.end_sessions(revocation)
        self._count_revoked(revocation, "one")
        return revocation.ended > 0

    async def revoke_all(
        self,
        user_id: str,
        *,
        keep: HasHandle | str | None = None,
        connection: AsyncConnection[Any] | None = None,
    ) -> int:
        """End all sessions of a user, except `keep`. Return how many ended.

        `connection` is a psycopg connection of the application's, with any row
        factory and search_path. The sessions end when its transaction commits.
        Raises `SessionError` if the transaction is REPEATABLE READ or
        SERIALIZABLE, as it would not see, or could not end, sessions that were
        changed since it began; and if row security hides rows from its role.
        """
        handle = handle_to_keep(keep)
        revocation = Revocation(checked_user_id(user_id), handle, is_for_all=True)
        if connection is None:
            await self.end_sessions(revocation)
        else:
            await self._revoke_within(connection, revocation)
        self._count_revoked(revocation, "all")
        return revocation.ended

    async def end_sessions(self, revocation: Revocation) -> None:
        """Carry out a revocation, for the methods above and the command line.

        It notes what has ended, also if this is interrupted.
        """
        await self._calls().revoke(revocation)

    async def revoke_everyone(self, *, progress: Callable[[int], object] | None = None) -> int:
        """End all sessions, those of visitors too. Return how many it has ended.

        It works in batches of some milliseconds, with a pause of the same length after
        each, and calls `progress` after each with the number that have ended so far.
        A session that begins meanwhile may end or stay. If it is interrupted, what
        has ended stays ended.

        Old cookies that were taken over stay known, so none is taken over again. Those
        that have not come yet can still be taken over: remove the predecessor for that.

        Raises `SessionBusyError` if other transactions hold some rows for longer than
        an `exclusive` block may, once all others are gone, `SchemaError` if a trigger
        keeps some, and `SessionError` within such a block.
        """
        from pgsession.postgres.clearance import Clearance  # noqa: PLC0415 - rare

        patience, table = self._patience(), self._batched_table()
        clearance = Clearance(self._runner(), table.clearing, patience=patience, progress=progress)
        return await clearance.run()

    async def end_surplus(self, user_id: str, most: int) -> int:
        """End all sessions of a user but the `most` that signed in last."""
        # A session that this request has ended in an open transaction of the application's does
        # not count: its row is locked until that is committed, after the response.
        revocation = Revocation(
            checked_user_id(user_id), most=checked_most(most), apart=ended_within()
        )
        await self._calls().revoke(revocation)
        self._count_revoked(revocation, "max_sessions")
        return revocation.ended

    async def login_states(self, handles: Collection[str]) -> Mapping[str, LoginState]:
        """Return the login state of each of these sessions that lives.

        It is one statement of its own, beside the batches.
        """
        if not handles:
            return {}
        table = await self._located_table()
        asked = self._runner().run(table.listing.login_states, ",".join(handles))
        if self._observer is None:
            return await asked
        return await observed(asked, self._observer.of_statement("login_states"), [None])

    def _count_revoked(self, revocation: Revocation, reason: str) -> None:
        if self._observer is not None:
            self._observer.revoke(revocation.ended, reason)

    async def _revoke_within(
        self, connection: AsyncConnection[Any], revocation: Revocation
    ) -> None:
        if not isinstance(connection, AsyncConnection):
            raise TypeError(
                "connection must be a psycopg AsyncConnection. SQLAlchemy's has it as "
                "(await connection.get_raw_connection()).driver_connection. For another driver "
                "docs/how-to/passwords.md has the statement."
            )
        table = await self._located_table()
        sees_changes, sees_rows = await table.revoking.sight_of(connection)
        if not sees_changes:
            raise SessionError(
                "The transaction is REPEATABLE READ or SERIALIZABLE: it would miss sessions that "
                "have changed since it began. End the sessions in one that is READ COMMITTED."
            )
        if not sees_rows:
            raise SessionError(
                "Row security hides sessions from the role of this connection, so they could not "
                "be ended: use a role that owns the table or bypasses it."
            )
        await table.revoking.end_within(connection, revocation)
        note_ended(revocation.gone)
