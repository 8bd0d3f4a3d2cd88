"""The session of the request under way, for operations that the request makes on a store."""

from __future__ import annotations

from collections.abc import Collection
from contextvars import ContextVar
from typing import Final, Protocol


class CurrentSession(Protocol):
    """The session of a request, as seen here."""

    @property
    def handle(self) -> str | None:
        """The handle of its row, or None if it has none."""
        ...

    def note_ended(self) -> None:
        """Record that the session has ended, so that this request writes it no more."""
        ...


#: The session of the request under way; None outside of one.
current: Final[ContextVar[CurrentSession | None]] = ContextVar("pgsession_current", default=None)


def note_ended(handles: Collection[str]) -> None:
    """Record that these sessions have ended in a transaction that is still open.

    The request under way would otherwise wait for its own transaction, which
    may be committed only after the response.
    """
    session = current.get()
    if session is not None and session.handle in handles:
        session.note_ended()
