"""The rows of `MemoryStore` as an `exclusive` block sees them, until it commits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import TypeVar

from pgsession.core.store import BLOCK_IS_OVER, TAKEN_TOO_LATE
from pgsession.errors import SessionError, SessionNotFoundError

RowT = TypeVar("RowT")


class Uncommitted(MutableMapping[str, RowT]):
    """Rows by digest: what the block wrote, and for the rest what is `stored` now.

    What others store in a row that the block has written is not seen, and not
    lost: `commit` calls ``rebased(row, before, now)`` for what the row becomes,
    where `before` is what the block has found and `now` what is stored.
    """

    def __init__(
        self,
        stored: Callable[[], MutableMapping[str, RowT]],
        rebased: Callable[[RowT, RowT, RowT], RowT],
    ) -> None:
        self._stored = stored
        self._rebased = rebased
        #: The rows that were written, as they are and as they were found; None: there is none.
        self._written: dict[str, RowT | None] = {}
        self._found: dict[str, RowT | None] = {}
        self._is_over = False

    def __getitem__(self, digest: str) -> RowT:
        self.check()
        if digest not in self._written:
            return self._stored()[digest]
        row = self._written[digest]
        if row is None:
            raise KeyError(digest)
        return row

    def __setitem__(self, digest: str, row: RowT) -> None:
        self._note(digest)
        self._written[digest] = row

    def __delitem__(self, digest: str) -> None:
        self[digest]  # as a dict does, for what is not there
        self._note(digest)
        self._written[digest] = None

    def __iter__(self) -> Iterator[str]:
        return (digest for digest in {**self._stored(), **self._written} if digest in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def check(self) -> None:
        """Raise `SessionError` if the block is over."""
        if self._is_over:
            raise SessionError(BLOCK_IS_OVER)

    def check_unwritten(self, digest: str) -> None:
        """Raise `SessionError` if the block has written this row, or is over."""
        self.check()
        if digest in self._written:
            raise SessionError(TAKEN_TOO_LATE)

    def end(self) -> None:
        """Reject all further use."""
        self._is_over = True

    def commit(self) -> None:
        """Store what the block wrote, all of it or nothing.

        Raises `SessionNotFoundError` if another has ended a session that the
        block has changed.
        """
        stored, rows = self._stored(), dict[str, RowT]()
        for digest, row in self._written.items():
            found, now = self._found[digest], stored.get(digest)
            if row is None:
                continue
            if found is None or now is found:
                rows[digest] = row
            elif now is None:
                raise SessionNotFoundError
            else:
                rows[digest] = self._rebased(row, found, now)
        for digest in self._written:
            stored.pop(digest, None)
        stored.update(rows)

    def _note(self, digest: str) -> None:
        self.check()
        if digest not in self._found:
            self._found[digest] = self._stored().get(digest)
