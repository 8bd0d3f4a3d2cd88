"""All statements on one table."""

from __future__ import annotations

from msgspec.structs import replace

from pgsession.postgres.statements.adopting import Adopting
from pgsession.postgres.statements.binding import Binding
from pgsession.postgres.statements.clearing import Clearing
from pgsession.postgres.statements.editing import Editing
from pgsession.postgres.statements.inserting import Inserting
from pgsession.postgres.statements.listing import Listing
from pgsession.postgres.statements.numbering import Numbering
from pgsession.postgres.statements.overview import Overview
from pgsession.postgres.statements.reading import Reading
from pgsession.postgres.statements.removing import Removing
from pgsession.postgres.statements.revoking import Revoking
from pgsession.postgres.statements.signing import Signing
from pgsession.postgres.statements.text import Statements, Wording


class Table:
    """The statements, written for one table.

    Each of their methods is one statement, or a few, on a connection that is its
    own for the time of the call. It takes what many callers ask for, with digests
    and never keys, and returns an answer for each, in order. It raises what
    psycopg raises; then it has changed nothing.
    """

    def __init__(self, wording: Wording) -> None:
        self._wording = wording
        self.reading: Reading = Reading(wording)
        self.inserting: Inserting = Inserting(wording)
        self.editing: Editing = Editing(wording)
        self.numbering: Numbering = Numbering(wording)
        self.removing: Removing = Removing(wording)
        self.signing: Signing = Signing(wording)
        self.listing: Listing = Listing(wording)
        self.overview: Overview = Overview(wording)
        self.revoking: Revoking = Revoking(wording)
        self.clearing: Clearing = Clearing(wording)
        self.binding: Binding = Binding(wording)
        self.adopting: Adopting = Adopting(wording)
        self._kinds: tuple[Statements, ...] = (
            self.reading,
            self.inserting,
            self.editing,
            self.numbering,
            self.removing,
            self.signing,
            self.listing,
            self.overview,
            self.revoking,
            self.clearing,
            self.binding,
            self.adopting,
        )

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
        return self.reading.prepared

    @prepared.setter
    def prepared(self, prepared: bool) -> None:
        for kind in self._kinds:
            kind.prepared = prepared
