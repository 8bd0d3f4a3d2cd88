"""The decision table: what happens to the row and the cookie when the response starts."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum, auto
from functools import lru_cache
from typing import Final

from msgspec import Struct

_NOTHING: Final = timedelta(0)


class Change(Enum):
    """The one change that is made to a session when its response starts."""

    #: No statement and no cookie.
    NOTHING = auto()
    #: Generate a session with the value; set the cookie.
    CREATE = auto()
    #: Merge the changes; if it is due, extend the expiry too.
    MERGE = auto()
    #: Merge the removals. If the row is empty then, clear it and delete the cookie.
    DRAIN = auto()
    #: Replace the whole value; if it is due, extend the expiry too.
    REPLACE = auto()
    #: Extend the expiry; set the cookie.
    TOUCH = auto()
    #: Give the session a new key, merge the changes, extend the expiry; set the cookie.
    RENEW = auto()
    #: Clear the row; delete the cookie.
    DESTROY = auto()
    #: Bind the session to a user, under a new key, or make one that is; set the cookie.
    LOGIN = auto()
    #: Record that the user has proved who they are; as RENEW.
    CONFIRM = auto()
    #: Clear the row that was loaded, even under another key by now; delete the cookie. What is in
    #: the session begins a new one.
    LOGOUT = auto()
    #: The row does not exist any more; delete the cookie.
    FORGET = auto()


class Outcome(Struct, frozen=True):
    """What is known about a session when its response starts."""

    #: The request came with a key, and its session was found.
    live: bool = False
    #: The request came with a key that we signed, but its session was not found.
    stale: bool = False
    #: The session was found, but another request has ended it since.
    lost: bool = False
    #: The session has no members now.
    empty: bool = False
    #: The session differs from what was loaded.
    changed: bool = False
    #: The application called `session.clear()`.
    cleared: bool = False
    #: The application called `session.renew()`.
    renewed: bool = False
    #: The expiry must be extended: it is due, or the application has set another period.
    touch_due: bool = False
    #: The request came from another site, in a way in which the browser sends no cookie.
    cross_site: bool = False
    #: A user is signed in.
    has_user: bool = False
    #: The application called `session.login()`, `session.confirm()` or `session.logout()`.
    signing_in: bool = False
    confirmed: bool = False
    logged_out: bool = False


def decide(outcome: Outcome) -> Change:
    """Return the change for `outcome`. Total and pure: a test covers each outcome."""
    if outcome.signing_in:
        return Change.LOGIN
    if outcome.logged_out and (outcome.live or outcome.lost):
        return Change.LOGOUT
    if outcome.lost:
        return Change.NOTHING  # it must stay ended, and the cookie may be that of a renewed session
    if outcome.live:
        return _decide_live(outcome)
    if outcome.cross_site and not outcome.renewed:
        return Change.NOTHING  # the browser may have a cookie, which a new one would overwrite
    if not outcome.empty:
        return Change.CREATE
    if outcome.stale and outcome.cleared:
        return Change.FORGET
    return Change.NOTHING


def _decide_live(outcome: Outcome) -> Change:
    if outcome.cleared and outcome.empty:
        return Change.DESTROY
    if outcome.confirmed:
        return Change.CONFIRM
    if outcome.renewed:
        return Change.RENEW
    if outcome.cleared:
        return Change.REPLACE
    if outcome.changed:
        return Change.DRAIN if outcome.empty and not outcome.has_user else Change.MERGE
    return Change.TOUCH if outcome.touch_due else Change.NOTHING


class _Decisions(dict[tuple[bool, ...], Change]):
    """The result of `decide` for the outcomes that have come up: a lookup is cheaper than a call.

    They have neither a login, nor a confirmation, nor a logout. There are a thousand of them, and
    a process meets a few.
    """

    def __missing__(self, outcome: tuple[bool, ...]) -> Change:
        change = self[outcome] = decide(Outcome(*outcome))
        return change


DECISIONS: Final = _Decisions()


@lru_cache(maxsize=64)
def due_below(period: timedelta, touch_after: timedelta | None) -> timedelta:
    """Return the largest remaining period with which `touch_due` is True, without a `lifetime`."""
    return period - touch_after if touch_after is not None else period * 9 // 10


def touch_due(
    *,
    remaining: timedelta,
    period: timedelta,
    lifetime: timedelta | None,
    touch_after: timedelta | None,
) -> bool:
    """Return True if a touch extends the expiry by at least `touch_after`.

    None for `touch_after` means a tenth of the period. A touch that cannot
    extend the expiry, because the `lifetime` ends first, is never due.
    """
    gain = (period if lifetime is None else min(period, lifetime)) - remaining
    if touch_after is None:
        return gain * 10 >= period and gain > _NOTHING
    return gain >= touch_after and gain > _NOTHING
