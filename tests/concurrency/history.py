"""A history: what each client asked of a store, from when to when, and how it ended."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import count
from typing import TypeVar

from pgsession import Entry, SessionNotFoundError, StoreBusyError, StoreUnavailableError

_T = TypeVar("_T")


class Action(Enum):
    """What a client did."""

    GENERATE = "generate"
    GET = "get"
    MERGE = "merge"
    TAKE = "take"
    TOUCH = "touch"
    RENEW = "renew"
    CLEAR = "clear"


class Outcome(Enum):
    """How an operation ended."""

    OK = "ok"
    #: It was certainly not done.
    FAILED = "failed"
    #: It may have been done, or may yet be, or never.
    UNKNOWN = "unknown"


class Life(Enum):
    """What an operation learned about its key."""

    LIVING = "living"
    DEAD = "dead"
    UNTOLD = "untold"


@dataclass(frozen=True, slots=True)
class Key:
    """A key by its place: the n-th of a session, which has another after each renewal."""

    session: int
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation. Its times are ticks; no two are equal."""

    action: Action
    key: Key
    invoked: float = 0
    #: Infinite for an unknown one: it may take effect at any time.
    returned: float = 0
    outcome: Outcome = Outcome.OK
    life: Life = Life.UNTOLD
    #: The members that it set, and the names of those that it removed.
    wrote: Mapping[str, str] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()
    #: The members that a read found, or that a take got; None if it told nothing of them.
    saw: Mapping[str, str] | None = None


class History:
    """Records operations. All clients are in one process, so that ticks order them truly."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._ticks = count()

    async def record(self, draft: Operation, call: Awaitable[_T]) -> tuple[Outcome, _T | None]:
        """Await the call; record `draft` with what became of it, which is returned."""
        done = replace(draft, outcome=Outcome.UNKNOWN)  # as for one that is cancelled
        invoked = next(self._ticks)
        result = None
        try:
            result = await call
            done = _told(draft, result)
        except SessionNotFoundError:
            done = replace(draft, outcome=Outcome.FAILED, life=Life.DEAD)
        except StoreBusyError:  # it never had a connection
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
            return replace(draft, life=Life.LIVING, saw=entry.value or {})
        case Action.GET, _:
            return replace(draft, life=Life.DEAD)
        case Action.TAKE, None:
            return replace(draft, saw={})  # the session may be dead, or hold no such member
        case Action.TAKE, str() as taken:
            (name,) = draft.removed
            return replace(draft, life=Life.LIVING, saw={name: taken})
        case Action.CLEAR, _:
            return replace(draft, life=Life.DEAD)
        case _:
            return replace(draft, life=Life.LIVING)
