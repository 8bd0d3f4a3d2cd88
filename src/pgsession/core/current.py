"""The request under way, for operations on a store that it makes by itself."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Set as AbstractSet
from contextvars import ContextVar
from typing import Final, Protocol


class CurrentRequest(Protocol):
    """A request and its session, as seen here."""

    #: The same request as a middleware outside sees it, if there is one.
    outer: CurrentRequest | None

    #: The handles of sessions that have ended in transactions of the application's. These may be
    #: open still.
    ended_within: AbstractSet[str]

    def note_ended(self, handles: Collection[str]) -> None:
        """Add to `ended_within`. If the request's own session is among them, it has ended."""
        ...


#: The request under way; None outside of one.
current: Final[ContextVar[CurrentRequest | None]] = ContextVar("pgsession_current", default=None)


def note_ended(handles: Collection[str]) -> None:
    """Record that sessions have ended in a transaction of the application's.

    It may be committed only after the response. The request under way would
    wait for itself if it waited for one of their rows.
    """
    request = current.get()
    while request is not None:
        request.note_ended(handles)
        request = request.outer


def ended_within() -> AbstractSet[str]:
    """Return the handles of the sessions that `note_ended` was told of in this request."""
    request = current.get()
    return frozenset() if request is None else request.ended_within
