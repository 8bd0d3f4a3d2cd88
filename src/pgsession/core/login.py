"""Signing in: whom a session is bound to, and the texts that belong to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from pgsession.core.paths import is_text

#: Characters of a user id, an actor id, a stamp or a label at most.
MAX_TEXT: Final = 255

#: Characters of an address or a user agent that are kept at most.
MAX_AGENT: Final = 256


class Client(msgspec.Struct, frozen=True, omit_defaults=True):
    """The client of a sign-in. The repr shows nothing of it."""

    #: The address that the ASGI server names.
    address: str | None = None
    #: The user agent, at most 256 characters.
    agent: str | None = None

    def __repr__(self) -> str:
        return "<Client>"


class Login(msgspec.Struct, frozen=True, omit_defaults=True):
    """A sign-in: whom a session is bound to. The repr shows nothing of it."""

    #: The user: 1 to 255 characters.
    user_id: str
    #: A short text of the application's that it compares later; see `Session.stamp`.
    stamp: str | None = None
    #: The name of the device.
    label: str | None = None
    #: The administrator who has signed in as this user.
    actor_id: str | None = None
    #: The address and the user agent of the client, where `record_client` is on.
    client: Client | None = None

    def __repr__(self) -> str:
        return "<Login>"


class SignedIn(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The user of a stored session, as of the moment it was read. The repr shows nothing of it."""

    #: The user who is signed in.
    user_id: str
    #: When the user last proved who they are, by the database's clock, in microseconds since 1970.
    since: int
    #: How long ago that was when the session was read, in microseconds.
    age: int
    #: How many logins the session has had. A stream that began with another number is over.
    login_number: int
    #: The stamp that the last login was given, or None.
    stamp: str | None = None
    #: The name of the device that the last login was given, or None.
    label: str | None = None
    #: The administrator who has signed in as this user, or None.
    actor_id: str | None = None
    #: The session is bound to a device, and the binding is in force.
    is_bound: bool = False
    #: The database's time, in whole seconds since 1970, where a device has registered its key.
    now: int | None = None

    def __repr__(self) -> str:
        return "<SignedIn>"

    @property
    def authenticated_at(self) -> datetime:
        """When the user last proved who they are, by the database's clock."""
        return moment(self.since)

    @property
    def authenticated_for(self) -> timedelta:
        """How long ago that was when the session was read."""
        return timedelta(0, 0, self.age)


class Signing(msgspec.Struct, frozen=True):
    """What a handler asks for that is not done yet, and how often it has asked."""

    login: Login | None = None
    #: How often `clear()` had been called at the login.
    cleared_before: int = 0
    is_confirmed: bool = False
    is_logout: bool = False
    calls: int = 0


#: Nothing is asked for.
NO_SIGNING: Final = Signing()


def checked_user_id(given: object, *, named: str = "user_id") -> str:
    """Return a user id. Raises `TypeError` or `ValueError` for what cannot be one."""
    if isinstance(given, int | UUID) and not isinstance(given, bool):
        raise TypeError(f"{named} must be a str: pass str({named}).")
    if not isinstance(given, str):
        raise TypeError(f"{named} must be a str, not {type(given).__name__}.")
    if not given:
        raise ValueError(f"{named} must not be empty.")
    return _checked_text(given, named=named)


def checked_optional(given: object, *, named: str) -> str | None:
    """Return a stamp or a label, or None. Raises `TypeError` or `ValueError` otherwise."""
    if given is None:
        return None
    if not isinstance(given, str):
        raise TypeError(f"{named} must be a str or None, not {type(given).__name__}.")
    return _checked_text(given, named=named)


def _checked_text(given: str, *, named: str) -> str:
    given = str.__str__(given)  # an enum's own __str__ may say something else
    if len(given) > MAX_TEXT:
        raise ValueError(f"{named} must have at most {MAX_TEXT} characters.")
    if not is_text(given):
        raise ValueError(f"{named} has characters that PostgreSQL cannot store.")
    return given


def printable(text: str) -> str:
    """Return an address or a user agent as it is kept: at most 256 printable characters."""
    return "".join(filter(str.isprintable, text))[:MAX_AGENT]


def moment(microseconds: int) -> datetime:
    """Return the moment so many microseconds after 1970 began."""
    return _EPOCH + timedelta(0, 0, microseconds)


def microseconds(moment: datetime) -> int:
    """Return how many microseconds after 1970 began a moment is."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
