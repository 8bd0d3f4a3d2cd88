"""What a store lists of the sessions of a user, and what an application is told of a sign-in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One session of a user, for a page that lists them. The repr shows only the times."""

    #: Names the session for `UserStore.revoke`. It opens nothing, and stays the same for the
    #: session's whole life.
    handle: str = field(repr=False)
    #: When the session was generated, by the database's clock, with a time zone, as all times here.
    #: A login or `confirm` begins it anew.
    created_at: datetime
    #: When the session was last extended: uses in between are not recorded, so it may be earlier
    #: than the last use by `SessionSettings.touch_after`, a tenth of the period by default.
    last_seen_at: datetime
    #: When the session expires if nothing extends it.
    expires_at: datetime
    #: When the user last proved who they are in it: at a `login` or `confirm`.
    authenticated_at: datetime
    #: True for the session that asks.
    is_current: bool = False
    #: The name of the device that the last login was given, or None.
    label: str | None = field(default=None, repr=False)
    #: The administrator who has signed in as this user.
    actor_id: str | None = field(default=None, repr=False)
    #: The address of the last sign-in, where `record_client` is on, else None.
    address: str | None = field(default=None, repr=False)
    #: The user agent of the last sign-in, at most 256 characters, where `record_client` is on.
    agent: str | None = field(default=None, repr=False)
    #: The session is bound to its device: a copy of its cookie is soon worth nothing.
    is_bound: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDevice:
    """A sign-in of a browser that had no session of this user. The repr shows nothing of it."""

    #: The user who has signed in.
    user_id: str = field(repr=False)
    #: Names the new session, as `Device.handle`.
    handle: str = field(repr=False)
    #: The name of the device that the login was given, or None.
    label: str | None = field(default=None, repr=False)
    #: The address of the client, also where `record_client` is off. None if the server names none.
    address: str | None = field(default=None, repr=False)
    #: The user agent of the client, at most 256 characters, also where `record_client` is off.
    agent: str | None = field(default=None, repr=False)


def in_listing_order(devices: Iterable[Device], *, current: str | None) -> list[Device]:
    """Return devices with the current one first, and marked."""
    marked = [replace(it, is_current=it.handle == current) for it in devices]
    return sorted(marked, key=lambda it: not it.is_current)
