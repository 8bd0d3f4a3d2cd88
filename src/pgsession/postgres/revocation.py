"""The sessions of a user that are to end, and which have ended so far."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgspec import Struct, field


class Revocation(Struct):
    """Some sessions of a user that are to end, and how many have ended so far.

    Those whose rows are locked are tried again, so it may take several statements.
    """

    user_id: str
    #: One session alone, or all but that one.
    handle: str | None = None
    is_for_all: bool = False
    #: How many that signed in last stay, or None if all are to end.
    most: int | None = None
    #: The handles of sessions that do not count then, and stay.
    apart: Collection[str] = ()
    #: The handles of those whose rows are gone, and whether each was alive until then.
    gone: dict[str, bool] = field(default_factory=dict)
    #: The handles of those that were found expired before, if the statement cannot tell.
    expired: set[str] = field(default_factory=set)

    def __repr__(self) -> str:
        return f"<Revocation ended={self.ended}>"

    @property
    def ended(self) -> int:
        """How many living sessions have ended."""
        return sum(self.gone.values())

    def note(self, rows: Iterable[tuple[str | bytes, bool]]) -> None:
        """Note rows that are gone now."""
        for handle, was_alive in rows:
            name = _text(handle)
            self.gone[name] = was_alive and name not in self.expired

    def note_expired(self, rows: Iterable[tuple[str | bytes]]) -> None:
        """Note rows that are there and have expired: they will not count."""
        self.expired.update(_text(handle) for (handle,) in rows)

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters of the statements."""
        apart = ",".join(self.apart)
        return {"user_id": self.user_id, "handle": self.handle, "most": self.most, "apart": apart}


def _text(handle: str | bytes) -> str:
    """Return a handle as text: with the encoding SQL_ASCII psycopg returns bytes."""
    return handle.decode() if isinstance(handle, bytes) else handle
