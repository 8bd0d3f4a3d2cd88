"""A history: the calls of all clients to a store, with their times and outcomes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import count
from typing import TypeVar

from pgsession import Entry, SessionNotFoundError, StoreBusyError, StoreUnavailableError
from pgsession.core.store import Written

_T = TypeVar("_T")


class Action(Enum):
    """The kind of an operation."""

    GENERATE = "generate"
    GET = "get"
    MERGE = "merge"
    TAKE = "take"
    TOUCH = "touch"
    RENEW = "renew"
    ROTATE = "rotate"
    SHOW = "show"
    CLEAR = "clear"


class Outcome(Enum):
    """The result of an operation."""

    OK = "ok"
    #: The operation certainly had no effect.
    FAILED = "failed"
    #: The operation may have had an effect, or may have one later, or never.
    UNKNOWN = "unknown"


class Life(Enum):
    """What an operation found out about its key."""

    LIVING = "living"
    DEAD = "dead"
    UNTOLD = "untold"


@dataclass(frozen=True, slots=True)
class Key:
    """The n-th key of a session. Each renewal gives a session another key."""

    session: int
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation. Its times are ticks; all ticks are different."""

    action: Action
    key: Key
    invoked: float = 0
    #: Infinite if the outcome is unknown: the operation may take effect at any time.
    returned: float = 0
    outcome: Outcome = Outcome.OK
    life: Life = Life.UNTOLD
    #: The members that it set, and the names of the members that it removed.
    wrote: Mapping[str, str] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()
    #: The members that a read or take returned; None if it returned no information.
    saw: Mapping[str, str] | None = None
    #: The number that it raises, or that it says was shown.
    offered: int | None = None
    #: The number of the key that it returned; None if it returned none.
    number: int | None = None


class History:
    """Records operations. All clients share one process, so that ticks give the true order."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._ticks = count()

    async def record(self, draft: Operation, call: Awaitable[_T]) -> tuple[Outcome, _T | None]:
        """Await the call and record `draft` with its outcome; return the outcome and the result."""
        done = replace(
            draft, outcome=Outcome.UNKNOWN
        )  # unless it is found out below, as after a cancellation
        invoked = next(self._ticks)
        result = None
        try:
            result = await call
            done = _told(draft, result)
        except SessionNotFoundError:
            done = replace(draft, outcome=Outcome.FAILED, life=Life.DEAD)
        except StoreBusyError:  # the call never had a connection
            done = replace(draft, outcome=Outcome.FAILED)
        except StoreUnavailableError:
            pass
        finally:
            returned = math.inf if done.outcome is Outcome.UNKNOWN else next(self._ticks)
            self.operations.append(replace(done, invoked=invoked, returned=returned))
        return done.outcome, result

    def __str__(self) -> str:
        outcomes = Counter(operation.outcome for operation in self.operations)
        actions = Counter(operation.action for operation in self.operations)
        return (
            f"{len(self.operations)} operations: "
            + ", ".join(f"{outcomes[outcome]} {outcome.value}" for outcome in Outcome)
            + f" ({', '.join(f'{actions[action]} {action.value}' for action in Action)})"
        )


def _told(draft: Operation, result: object) -> Operation:
    """Add what the result of a call tells about the session."""
    match draft.action, result:
        case Action.GET, Entry() as entry:
            return replace(draft, life=Life.LIVING, saw=entry.value or {}, number=entry.number)
        case Action.GET, _:
            return replace(draft, life=Life.DEAD)
        case Action.TAKE, None:
            return replace(draft, saw={})  # the session has ended, or has no such member
        case Action.TAKE, str() as taken:
            (name,) = draft.removed
            return replace(draft, life=Life.LIVING, saw={name: taken})
        case Action.CLEAR, _:
            return replace(draft, life=Life.DEAD)
        case Action.SHOW, _:
            return draft  # it does not tell whether the session has ended
        case Action.ROTATE, int() as number:
            return replace(draft, life=Life.LIVING, number=number)
        case _, Written() as written:
            return replace(draft, life=Life.LIVING, number=written.number)
        case _:
            return replace(draft, life=Life.LIVING)
