"""Sessions that are bound to a device: what a store keeps of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NamedTuple, Protocol, cast

from pgsession.core.store import Store
from pgsession.core.users import UserStore
from pgsession.errors import SessionError

#: How long after a sign-in a browser can register its key.
REGISTERED_WITHIN: Final = timedelta(seconds=60)


class Bound(NamedTuple):
    """A session as its last login has begun it: this is what is bound to a device."""

    #: The row's handle, which is the digest of its selector.
    handle: str
    #: How many logins the session has had.
    login_number: int


class BoundDevice(NamedTuple):
    """What a store knows of the device of a living session."""

    #: The key as a JSON Web Key, in the form of RFC 7638.
    public_key: str
    #: The database's time, in whole seconds since 1970.
    now: int
    #: The browser has shown the bound cookie or a proof. From then on the session is not loaded
    #: without them.
    is_in_force: bool


class BindingStore(UserStore, Protocol):
    """A store that can bind sessions to devices. `PostgresStore` and `MemoryStore` can.

    A login ends the binding, and a confirmation one that is not in force. A renewal and a
    rotation keep it.
    """

    async def bind(self, bound: Bound, verifier: str | None, public_key: str) -> int | None:
        """Register the key of a device for a session whose user has just signed in.

        `verifier` is the digest of the verifier of the key that the sign-in made.
        The binding is not in force before `enforce`. Return the database's time in
        whole seconds since 1970; or None, and change nothing, if the session is dead
        or of another login, has another verifier or another device's key, or if its
        user signed in, or confirmed it, more than 60 seconds ago. To register
        the same key again is fine.
        """
        ...

    async def bound_device(self, bound: Bound) -> BoundDevice | None:
        """Return the device of a session; None for a dead one, another login, or without a key."""
        ...

    async def enforce(self, bound: Bound) -> bool:
        """Put the binding in force, if there is one: its browser has shown that it has the key.

        Return whether this call has done so. It may be left as it is while another
        transaction holds the session's row: a later request does it.
        """
        ...


def as_binding_store(store: Store) -> BindingStore:
    """Return `store` as one that binds sessions. Raises `SessionError` if it does not."""
    if not binds(store):
        raise SessionError(
            f"{type(store).__name__} binds no sessions to devices: give it the methods of "
            "pgsession.BindingStore, or use PostgresStore."
        )
    return cast("BindingStore", store)


def binds(store: Store) -> bool:
    """Tell whether a store has the methods of `BindingStore`."""
    return all(hasattr(store, name) for name in ("bind", "bound_device", "enforce"))
