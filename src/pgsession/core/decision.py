"""The decision table: what one request's end means for the row and for the cookie."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum, auto
from itertools import product
from typing import Final, NamedTuple

_NOTHING: Final = timedelta(0)


class Change(Enum):
    """The one thing to be done about a session when its response starts."""

    #: Neither a statement nor a cookie.
    NOTHING = auto()
    #: Generate a session with this value; set the cookie.
    CREATE = auto()
    #: Merge the changes, slide the period; set the cookie.
    MERGE = auto()
    #: Merge the removals; clear the row if they left nothing, and then the cookie.
    DRAIN = auto()
    #: Set the whole value; set the cookie.
    REPLACE = auto()
    #: Slide the period; set the cookie.
    TOUCH = auto()
    #: Give the session a new key, with the changes; set the cookie.
    RENEW = auto()
    #: Clear the row; delete the cookie.
    DESTROY = auto()
    #: There is no row any more; delete the cookie.
    FORGET = auto()


class Outcome(NamedTuple):
    """What is known of a session when its response starts."""

    #: The request came with the key of a living session.
    live: bool = False
    #: The request came with a key that we signed, though its session is dead.
    stale: bool = False
    #: The session lived when the request came, and has ended since by another's hand.
    lost: bool = False
    #: Nothing is in the session now.
    empty: bool = False
    #: It differs from what was loaded.
    changed: bool = False
    #: The application called `session.clear()`.
    cleared: bool = False
    #: The application called `session.renew()`.
    renewed: bool = False
    #: The period is to slide: it is due, or the application set another one.
    touch_due: bool = False


def decide(outcome: Outcome) -> Change:
    """Name the one change that `outcome` asks for. Total and pure: see the tests for each row."""
    if outcome.lost:
        return Change.NOTHING  # what was logged out stays so, and its heir's cookie is not ours
    if outcome.live:
        return _decide_live(outcome)
    if not outcome.empty:
        return Change.CREATE
    if outcome.stale and outcome.cleared:
        return Change.FORGET
    return Change.NOTHING


def _decide_live(outcome: Outcome) -> Change:
    if outcome.cleared and outcome.empty:
        return Change.DESTROY
    if outcome.renewed:
        return Change.RENEW
    if outcome.cleared:
        return Change.REPLACE
    if outcome.changed:
        return Change.DRAIN if outcome.empty else Change.MERGE
    return Change.TOUCH if outcome.touch_due else Change.NOTHING


#: What `decide` says of every outcome: to look it up costs less than to ask.
DECISIONS: Final = {
    outcome: decide(Outcome(*outcome))
    for outcome in product((False, True), repeat=len(Outcome._fields))
}


def touch_due(
    *,
    remaining: timedelta,
    period: timedelta,
    lifetime: timedelta | None,
    touch_after: timedelta | None,
) -> bool:
    """Tell whether sliding would gain at least `touch_after` (None: a tenth of the period).

    Near the end of an absolute `lifetime` there is nothing left to gain, so no
    request pays for a touch in vain.
    """
    gain = (period if lifetime is None else min(period, lifetime)) - remaining
    if touch_after is None:
        return gain * 10 >= period and gain > _NOTHING
    return gain >= touch_after and gain > _NOTHING
