"""Who is signed in: what an administrator asks a store, and the answer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct

from pgsession.core.login import checked_user_id
from pgsession.errors import SettingsError

#: What comes first: the users with most sessions, or those who were seen last.
Order: TypeAlias = Literal["sessions", "seen"]

#: Users in one answer at most.
MOST: Final = 10_000

_TOO_MANY: Final = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedInUser:
    """One user who is signed in. The repr does not show who."""

    #: The user, as `Session.login` was given it.
    user_id: str = field(repr=False)
    #: How many sessions are alive, also those in which an administrator has signed in as the user.
    sessions: int
    #: The last use of any of them, by the database's clock, as exact as `Device.last_seen_at`.
    last_seen_at: datetime
    #: When the user has last proved who they are, in any of them.
    authenticated_at: datetime


class Asked(Struct, frozen=True):
    """Which users are asked for: `most` at most, after the first `skip` in this order."""

    most: int
    skip: int
    by: Order
    #: Only these users; None for all.
    among: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        return f"<Asked most={self.most} skip={self.skip} by={self.by}>"


def asked(*, most: int, skip: int, by: Order, among: Collection[str] | None) -> Asked:
    """Return what is asked for. Raises `SettingsError`, or as `checked_user_id` does."""
    if not _is_number(most) or not 1 <= most <= MOST:
        raise SettingsError(f"most must be a number from 1 to {MOST}.")
    if not _is_number(skip) or not 0 <= skip < _TOO_MANY:
        raise SettingsError("skip must be a number from 0 to 2**31 - 1.")
    if by not in get_args(Order):
        raise SettingsError("by must be 'sessions' or 'seen'.")
    if isinstance(among, str):
        raise TypeError("among must be a collection of user ids, not one user id.")
    users = None if among is None else tuple(map(checked_user_id, among))
    return Asked(most, skip, by, users)


def _is_number(given: object) -> bool:
    return isinstance(given, int) and not isinstance(given, bool)
