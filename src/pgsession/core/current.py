"""The request under way, for operations on a store that it makes by itself."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Set as AbstractSet
from contextvars import ContextVar
from typing import Final, Protocol


class CurrentRequest(Protocol):
    """A request and its session, as seen here."""

    #: The handles of sessions that have ended in transactions of the application's. These may be
    #: open still.
    ended_within: AbstractSet[str]

    def note_ended(self, handles: Collection[str]) -> None:
        """Add to `ended_within`. If the request's own session is among them, it has ended."""
        ...


class Current:
    """The request under way, as a context has it: nothing once the request is over.

    Tasks and timers keep the context in which they began. With the request itself
    in it, the timer with which a server waits for the next request of a
    connection would keep the last one, and its session, in memory.
    """

    __slots__ = ("outer", "request")

    def __init__(self, request: CurrentRequest) -> None:
        self.request: CurrentRequest | None = request
        #: The same request as a middleware outside sees it, if there is one.
        self.outer: Current | None = current.get()
        current.set(self)

    def end(self) -> None:
        """Forget the request, which is over."""
        current.set(self.outer)
        self.request = None


#: The request under way; None outside of one.
current: Final[ContextVar[Current | None]] = ContextVar("pgsession_current", default=None)


def note_ended(handles: Collection[str]) -> None:
    """Record that sessions have ended in a transaction of the application's.

    It may be committed only after the response. The request under way would
    wait for itself if it waited for one of their rows.
    """
    here = current.get()
    while here is not None:
        if here.request is not None:
            here.request.note_ended(handles)
        here = here.outer


def ended_within() -> AbstractSet[str]:
    """Return the handles of the sessions that `note_ended` was told of in this request."""
    here = current.get()
    while here is not None and here.request is None:
        here = here.outer
    return frozenset() if here is None or here.request is None else here.request.ended_within
