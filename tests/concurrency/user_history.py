"""A history of users: who signed in and out, by which key, and who was found signed in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pgsession.core.keys import key_digest
from tests.concurrency.history import Outcome


class Act(Enum):
    """The kind of an event."""

    LOGIN = "login"
    ASK = "ask"
    CONFIRM = "confirm"
    LOGOUT = "logout"
    REVOKE = "revoke"
    REVOKE_ALL = "revoke_all"
    LIST = "list"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One request. Its times are seconds of a clock that all processes share."""

    act: Act
    invoked: float
    #: Infinite if the outcome is unknown.
    returned: float
    outcome: Outcome = Outcome.OK
    #: The user who signs in, or whose sessions are listed or ended.
    user: str = ""
    #: The name of the key that came; empty if none came.
    key: str = ""
    #: The name of the key that a login or a confirmation gave.
    given: str = ""
    #: The session that a revocation is to end, or all but which.
    handle: str = ""
    #: Who was signed in by the key; None for a visitor.
    found: str | None = None
    #: How many sessions a revocation says it has ended.
    count: int = 0
    #: The sessions that were listed.
    handles: frozenset[str] = frozenset()

    @property
    def row(self) -> str:
        """The session that a login has bound, or may have bound if its outcome is unknown."""
        return handle_of(self.given or self.key)

    @property
    def is_sure(self) -> bool:
        """True if it took effect before it returned."""
        return self.outcome is Outcome.OK

    @property
    def may_count(self) -> bool:
        """True if it took effect, or may do so at any time."""
        return self.outcome is not Outcome.FAILED


def name_of(key: str) -> str:
    """Return a name for a key: another one for each session and for each key of it."""
    selector, verifier = key_digest(key)
    return f"{selector}.{verifier or ''}"


def handle_of(name: str) -> str:
    """Return the handle of the session to which the key with this name belongs."""
    return name.partition(".")[0]
