"""The sessions of one user: the protocol of a store that knows users."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, Final, NamedTuple, Protocol

from pgsession import rare
from pgsession.core.login import Login
from pgsession.core.period import Period
from pgsession.core.store import Changes, Store
from pgsession.errors import SessionError, SettingsError

_TOO_MANY: Final = 2**31

#: How long a key that a renewal has retired makes no session of its own.
RETIRED_FOR: Final = timedelta(seconds=60)


class LoginState(NamedTuple):
    """What a stream must know of its session to go on."""

    #: How many logins the session has had; 0 for a visitor's.
    login_number: int
    #: It is bound to a device, and the binding is in force.
    is_bound: bool = False


class UserStore(Store, Protocol):
    """A store that knows the user of each session. `PostgresStore` and `MemoryStore` do.

    A `user_id` is a string of 1 to 255 characters, or the methods raise
    `TypeError` or `ValueError` before anything is done. A handle that is
    unknown, or of another user, ends nothing.

    What is ended here stays ended: requests in flight cannot undo it.
    """

    @property
    def record_client(self) -> bool:
        """Whether the address and the user agent of each sign-in are kept."""
        ...

    async def login(
        self,
        key: str | None,
        login: Login,
        changes: Changes,
        *,
        period: Period | None = None,
        granted: bool = False,
    ) -> str:
        """Bind the session to a user, under a new key, and return that. The old key is dead.

        The session counts as generated now. `changes` are applied in the same
        step. Without a `key` a new session is made. Raises
        `SessionNotFoundError` for a dead key, and `UnknownUserError` if a foreign
        key of the table refuses the user; nothing is written then.
        """
        ...

    async def confirm(
        self,
        key: str,
        changes: Changes | None = None,
        *,
        period: Period | None = None,
        granted: bool | None = None,
    ) -> str:
        """Record that the user has proved again who they are; give the session a new key.

        It counts as generated now. All else is as with `Store.renew`, also the errors.
        A session without a user gets a new key only.
        """
        ...

    async def logout(self, key: str, login_number: int) -> bool:
        """Remove the session, whatever its verifier is by now, if it has this login number.

        Return whether it is gone, also if it was before; False if somebody has
        signed in to it since.
        """
        ...

    async def is_retired(self, key: str) -> bool:
        """Return True if a renewal has retired this key within the last minute.

        False if the session has ended since, and for a key that never was.
        """
        ...

    async def devices(self, user_id: str) -> list[rare.Device]:
        """Return the living sessions of a user, those seen last first.

        No `Device.is_current` is True: the store does not know which session asks.
        """
        ...

    async def revoke(self, user_id: str, handle: str) -> bool:
        """End one session of a user. Return whether it lived until now."""
        ...

    async def revoke_all(
        self,
        user_id: str,
        *,
        keep: HasHandle | str | None = None,
        connection: Any = None,  # noqa: ANN401 - a driver's
    ) -> int:
        """End all sessions of a user, except `keep`. Return how many ended.

        `keep` is a `Session` or the handle of one. A session without a row keeps
        nothing. `connection` is one of the application's, on which the store works
        within the transaction that is open there: then the sessions end when
        that commits. Raises `SessionError` if that transaction cannot see all
        sessions, and `TypeError` for a connection of another driver. `MemoryStore`
        takes none; one is a `SettingsError`.
        """
        ...

    async def end_surplus(self, user_id: str, most: int) -> int:
        """End all sessions of a user but the `most` that signed in last. Return how many ended.

        Sessions in which an administrator has signed in as this user do not
        count, and stay. Raises `SettingsError` unless `most` is at least 1 and
        below 2**31.
        """
        ...

    async def login_states(self, handles: Collection[str]) -> Mapping[str, LoginState]:
        """Return the login state of each of these sessions that lives, by its handle.

        One that has ended is left out. There may be any number of handles.
        """
        ...


class HasHandle(Protocol):
    """A session, as `UserStore.revoke_all` needs it."""

    @property
    def handle(self) -> str | None:
        """The handle of the session, or None if it has no row."""
        ...


#: The methods that tell a `UserStore` from a store without users.
_METHODS: Final = (
    "login",
    "confirm",
    "logout",
    "is_retired",
    "devices",
    "revoke",
    "revoke_all",
    "end_surplus",
    "login_states",
)


def keeps_users(store: Store) -> bool:
    """Tell whether a store knows the user of each session."""
    return all(hasattr(store, name) for name in _METHODS)


def as_user_store(store: Store) -> UserStore:
    """Return a store that knows users. Raises `SessionError` for one that does not."""
    if not keeps_users(store):
        raise SessionError(
            f"{type(store).__name__} keeps no users, so login() and what belongs to it do not "
            "work: give it the methods of pgsession.UserStore."
        )
    return store  # type: ignore[return-value] # as checked


def handle_to_keep(keep: HasHandle | str | None) -> str | None:
    """Return the handle of the session that stays, or None."""
    return keep if keep is None or isinstance(keep, str) else keep.handle


def checked_most(most: object) -> int:
    """Return how many sessions a user may have. Raises `SettingsError` unless it is positive."""
    if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most < _TOO_MANY:
        raise SettingsError("max_sessions must be a positive number below 2**31, or None.")
    return most
