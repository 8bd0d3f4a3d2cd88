"""Checks whether a correct store could have produced a history of users.

A *stay* is what a login begins: a user in a session, under the key of the login and
those of the confirmations after it. It ends by a logout, a revocation, or the next
login to its session. Each answer is judged by what is sure from outside: one event
came before another if it had returned when the other began.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.concurrency.user_history import Act, Event


def user_violations(events: Iterable[Event], *, exact: bool = True) -> list[str]:
    """Return a sentence for each event that no correct store answers so.

    Without `exact` a revocation may count fewer sessions than it has ended, as one does
    that is sent again after its connection was lost.
    """
    return _Judge(list(events), exact=exact).faults()


@dataclass(eq=False, slots=True)
class _Stay:
    """A stay, and what ends it."""

    login: Event
    #: The names of its keys.
    keys: set[str] = field(default_factory=set)
    #: What may end it, by when it began.
    ends: list[Event] = field(default_factory=list)
    #: When it is surely over.
    over: float = math.inf

    @property
    def row(self) -> str:
        return self.login.row

    def lasts(self, event: Event) -> bool:
        """Return whether it was there all the time of an event, unless that ends it."""
        return self.login.returned < event.invoked and not any(
            end.invoked < event.returned for end in self.ends[:2] if end is not event
        )

    def may_be_met(self, event: Event) -> bool:
        """Return whether it may have been there at some time of an event."""
        return self.login.invoked < event.returned and not self.over < event.invoked


class _Judge:
    def __init__(self, events: Sequence[Event], *, exact: bool) -> None:
        self._events = events
        self._exact = exact
        self._logins = [it for it in events if it.act is Act.LOGIN and it.may_count]
        self._stays = [_Stay(it) for it in self._logins if it.is_sure]
        self._by_key = self._find_keys()
        #: The logins, confirmations and logouts with a key, and the revocations of a user.
        self._with_key: dict[str, list[Event]] = defaultdict(list)
        self._revocations: dict[str, list[Event]] = defaultdict(list)
        for event in filter(lambda event: event.may_count, events):
            if event.act in {Act.REVOKE, Act.REVOKE_ALL}:
                self._revocations[event.user].append(event)
            elif event.act is not Act.ASK:
                self._with_key[event.key].append(event)
        for stay in self._stays:
            self._find_ends(stay)
        self._gone = {(it.user, it.row): math.inf for it in self._logins if it.is_sure}
        for user, row in self._gone:
            self._gone[user, row] = self._find_gone(user, row)

    def faults(self) -> list[str]:
        """Return a sentence for each law that an event breaks."""
        found = []
        for event in self._events:
            if not event.is_sure:
                continue
            match event.act:
                case Act.ASK | Act.CONFIRM:
                    fault = self._judge_key(event)
                case Act.LIST:
                    fault = self._judge_list(event)
                case Act.REVOKE | Act.REVOKE_ALL:
                    fault = self._judge_count(event)
                case _:
                    fault = None
            if fault:
                found.append(f"{event.act.value} at {event.invoked}: {fault}")
        users = {it.user for it in self._logins}
        return found + [fault for user in sorted(users) if (fault := self._judge_sum(user))]

    def _find_keys(self) -> dict[str, _Stay]:
        """Return the stay of each key; a confirmation gives its own another key."""
        by_key = {stay.login.given: stay for stay in self._stays}
        before = {it.given: it.key for it in self._events if it.act is Act.CONFIRM and it.given}
        for given in before:
            key = given
            while key in before:
                key = before[key]
            if key in by_key:
                by_key[given] = by_key[key]
        for key, stay in by_key.items():
            stay.keys.add(key)
        return by_key

    def _find_ends(self, stay: _Stay) -> None:
        login = stay.login
        revoking = [it for it in self._revocations[login.user] if _covers(it, stay.row)]
        # A login that found the session ended has begun another one.
        replacing = [
            it
            for key in stay.keys
            for it in self._with_key[key]
            if it.act is not Act.CONFIRM and it.row == stay.row
        ]
        stay.ends = sorted(
            (it for it in [*revoking, *replacing] if it.returned > login.invoked),
            key=lambda event: event.invoked,
        )
        after = [it for it in revoking if login.returned < it.invoked]
        stay.over = min(
            (it.returned for it in [*after, *replacing] if it.is_sure), default=math.inf
        )

    def _find_gone(self, user: str, row: str) -> float:
        """Return from when on a session surely was none of a user's any more."""
        last = max(it.returned for it in self._logins if (it.user, it.row) == (user, row))
        ends = [it for it in self._revocations[user] if _covers(it, row) and last < it.invoked]
        for stay in self._stays:
            if stay.row == row:
                # After a logout the row is gone for good.
                ends += [it for it in stay.ends if it.act is Act.LOGOUT]
                if stay.login.user != user and last < stay.login.invoked:
                    ends.append(stay.login)
        return min((it.returned for it in ends if it.is_sure), default=math.inf)

    def _judge_key(self, event: Event) -> str | None:
        """A key opens its stay until that is over or another key has replaced it, and no longer."""
        stay = self._by_key.get(event.key)
        retiring = [it for it in self._with_key[event.key] if it.act is not Act.LOGOUT]
        if stay is None:
            return "a key from nowhere was found" if event.found is not None else None
        if event.act is Act.ASK and event.found is None:
            ends = [*stay.ends, *retiring]
            if not any(end.invoked < event.returned for end in ends):
                return "a user was signed out, and nobody had done so"
            return None
        if event.act is Act.ASK and event.found != stay.login.user:
            return f"a key of {stay.login.user} opened a session of {event.found}"
        if stay.over < event.invoked:
            return "a session that had ended was signed in"
        if any(it.is_sure and it.returned < event.invoked for it in retiring):
            return "a key that was retired opened a session"
        return None

    def _judge_list(self, event: Event) -> str | None:
        """What has ended is not listed, and what lasts is."""
        own = [stay for stay in self._stays if stay.login.user == event.user]
        if any(stay.row not in event.handles and stay.lasts(event) for stay in own):
            return "a session is missing that nobody has ended"
        left = [
            row
            for row in event.handles
            if self._gone.get((event.user, row), math.inf) < event.invoked
        ]
        return f"{len(left)} sessions live that had been ended" if left else None

    def _judge_count(self, event: Event) -> str | None:
        """A revocation counts what was there."""
        own = [
            stay
            for stay in self._stays
            if stay.login.user == event.user and _covers(event, stay.row)
        ]
        least = {stay.row for stay in own if stay.lasts(event)} if self._exact else set()
        most = len({stay.row for stay in own if stay.may_be_met(event)}) + sum(
            not it.is_sure and it.user == event.user and it.invoked < event.returned
            for it in self._logins
        )
        if len(least) <= event.count <= most:
            return None
        return f"{event.count} sessions were counted, not {len(least)} to {most}"

    def _judge_sum(self, user: str) -> str | None:
        """No session of a user ends twice."""
        own = [it for it in self._logins if it.user == user]
        most = len({it.row for it in own if it.is_sure}) + sum(not it.is_sure for it in own)
        counted = sum(it.count for it in self._events if it.user == user and it.is_sure)
        return f"{counted} of {most} sessions of {user} were ended" if counted > most else None


def _covers(revocation: Event, row: str) -> bool:
    """Return whether a revocation is to end a session of its user."""
    if revocation.act is Act.REVOKE:
        return revocation.handle == row
    return revocation.handle != row
