"""All statements on one table."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from pgsession.postgres.statements.editing import Editing
from pgsession.postgres.statements.inserting import Inserting
from pgsession.postgres.statements.reading import Reading
from pgsession.postgres.statements.removing import Removing
from pgsession.postgres.statements.revoking import Revoking
from pgsession.postgres.statements.signing import Signing
from pgsession.postgres.statements.text import Statements, Wording

if TYPE_CHECKING:  # few applications need one of them
    from pgsession.postgres.statements.adopting import Adopting
    from pgsession.postgres.statements.binding import Binding
    from pgsession.postgres.statements.clearing import Clearing
    from pgsession.postgres.statements.listing import Listing
    from pgsession.postgres.statements.numbering import Numbering
    from pgsession.postgres.statements.overview import Overview

_StatementsT = TypeVar("_StatementsT", bound=Statements)


class Table:
    """The statements, written for one table.

    Each of their methods is one statement, or a few, on a connection that is its
    own for the time of the call. It takes what many callers ask for, with digests
    and never keys, and returns an answer for each, in order. It raises what
    psycopg raises; then it has changed nothing.

    Rare statements are imported and written at their first use.
    """

    def __init__(self, wording: Wording) -> None:
        self._wording = wording
        self._prepared = True
        self._kinds: list[Statements] = []
        self.reading: Reading = self._write(Reading)
        self.inserting: Inserting = self._write(Inserting)
        self.editing: Editing = self._write(Editing)
        self.removing: Removing = self._write(Removing)
        self.signing: Signing = self._write(Signing)
        self.revoking: Revoking = self._write(Revoking)

    @cached_property
    def numbering(self) -> Numbering:
        """The statements of rotation."""
        from pgsession.postgres.statements.numbering import Numbering  # noqa: PLC0415 - rare

        return self._write(Numbering)

    @cached_property
    def listing(self) -> Listing:
        """The statements that list the sessions of a user."""
        from pgsession.postgres.statements.listing import Listing  # noqa: PLC0415 - rare

        return self._write(Listing)

    @cached_property
    def overview(self) -> Overview:
        """The statements that list the users."""
        from pgsession.postgres.statements.overview import Overview  # noqa: PLC0415 - rare

        return self._write(Overview)

    @cached_property
    def clearing(self) -> Clearing:
        """The statements that end all sessions."""
        from pgsession.postgres.statements.clearing import Clearing  # noqa: PLC0415 - rare

        return self._write(Clearing)

    @cached_property
    def binding(self) -> Binding:
        """The statements about devices."""
        from pgsession.postgres.statements.binding import Binding  # noqa: PLC0415 - rare

        return self._write(Binding)

    @cached_property
    def adopting(self) -> Adopting:
        """The statements that take over old sessions."""
        from pgsession.postgres.statements.adopting import Adopting  # noqa: PLC0415 - rare

        return self._write(Adopting)

    def complete(self) -> None:
        """Write what a block may need, so that it imports nothing in its transaction."""
        _ = self.numbering, self.listing, self.overview

    def _write(self, kind: type[_StatementsT]) -> _StatementsT:
        written = kind(self._wording)
        written.prepared = self._prepared
        self._kinds.append(written)
        return written

    @property
    def is_distributed(self) -> bool:
        """Whether the statements are written for a distributed table."""
        return self._wording.is_distributed

    @is_distributed.setter
    def is_distributed(self, is_distributed: bool) -> None:
        if is_distributed != self.is_distributed:
            self._wording = replace(self._wording, is_distributed=is_distributed)
            for kind in self._kinds:
                kind.reword(self._wording)

    @property
    def prepared(self) -> bool:
        """Whether the statements are prepared on connections that allow it."""
        return self._prepared

    @prepared.setter
    def prepared(self, prepared: bool) -> None:
        self._prepared = prepared
        for kind in self._kinds:
            kind.prepared = prepared
