"""The statements that take over sessions from before a switch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec
from psycopg.errors import InternalError_, UniqueViolation

from pgsession.core.adoption import MARKER
from pgsession.core.keys import KeyDigest
from pgsession.errors import StoreUnavailableError
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.connections.statement import Statement
from pgsession.postgres.rows import Row
from pgsession.postgres.statements.reading import Reading
from pgsession.postgres.statements.text import SHORT_PATIENCE, Statements, Wording, dropped

# Both rows or none: where the marker is there, the key of the marker is a duplicate. No limit of a
# session's age or inactivity counts for the marker, and no sweep removes it before its time. When
# the user has signed in is not known, so it counts as long ago.
_INSERT: Final = """
INSERT INTO {table} (
    session_key,
    verifier,
    session_data,
    expire_date,
    created_on,
    seen_on,
    size_bound,
    user_id,
    login_on,
    login_number
)
VALUES """

_VALUES: Final = """(
    %s::pg_catalog.text,
    %s::pg_catalog.text,
    NULL::pg_catalog.jsonb,
    {later},
    {later},
    {later},
    0::pg_catalog.int8,
    NULL::pg_catalog.text,
    NULL::timestamp with time zone,
    CASE WHEN {patiently} THEN 0 END
), (
    %s::pg_catalog.text,
    NULL::pg_catalog.text,
    %s::pg_catalog.jsonb,
    {later},
    pg_catalog.now(),
    pg_catalog.now(),
    %s::pg_catalog.int8,
    %s::pg_catalog.text,
    CASE WHEN %s::pg_catalog.bool
        THEN '1970-01-01 00:00:00+00'::timestamp with time zone
    END,
    CASE WHEN %s::pg_catalog.bool THEN 1 ELSE 0 END
)"""

# Whether they have expired or not.
_COUNT: Final = """
SELECT pg_catalog.count(*)
FROM {table} AS s
WHERE s.session_key OPERATOR(pg_catalog.=) ANY (%s::pg_catalog.text[])"""

_LATER: Final = """pg_catalog.now() OPERATOR(pg_catalog.+)
        pg_catalog.make_interval(secs => %s::pg_catalog.float8)"""

#: Rows for each old session: the new one, and its marker.
_ROWS: Final = 2


class Heir(msgspec.Struct, frozen=True, gc=False):
    """The row that is to take over an old session, as digests. The repr shows nothing of it."""

    marker: str
    #: The digest of the key that it gets, and those of all keys that it may have.
    session_key: str
    keys: tuple[KeyDigest, ...]
    session_data: msgspec.Raw
    seconds: float
    #: No fewer bytes than PostgreSQL prints of the value.
    size: int
    #: How many seconds the marker lives.
    remembered: float
    user_id: str | None = None

    def __repr__(self) -> str:
        return "<Heir>"

    def parameters(self) -> Sequence[object]:
        """Return the parameters of its two rows."""
        has_user = self.user_id is not None
        return [
            self.marker,
            MARKER,
            *[self.remembered] * 3,
            self.session_key,
            bytes(self.session_data).decode("utf-8"),
            self.seconds,
            self.size,
            self.user_id,
            has_user,
            has_user,
        ]


class Taken(NamedTuple):
    """The row that has taken over an old session, or None, and whether this call has made it."""

    row: Row | None
    is_new: bool


class Adopting(Statements):
    """Takes over old sessions."""

    def reword(self, wording: Wording) -> None:
        super().reword(wording)
        self._reading = Reading(wording)
        self._insert = wording.write(_INSERT)
        self._count = wording.write(_COUNT)
        write = partial(wording.write, _VALUES, later=_LATER)
        self._values = write(patiently=wording.patiently())
        self._values_briefly = write(patiently=wording.patiently(SHORT_PATIENCE))

    async def adopt(
        self, connection: Connection, heirs: Sequence[Heir], *, skipping: bool = False
    ) -> Sequence[Taken]:
        """Return the row that has taken over each old session, and make it if there was none.

        It is None if it was there and has ended or was renewed. If others make one of several
        meanwhile, nothing is changed, and the error is psycopg's: then send each alone.
        """
        found = await self._found(connection, heirs)
        new = {
            heir.marker: heir
            for heir, (row, is_marked) in zip(heirs, found, strict=True)
            if row is None and not is_marked
        }
        is_made = False
        if new:
            is_made = await self._make(connection, list(new.values()), skipping=skipping)
            found = await self._found(connection, heirs)
        return [
            Taken(row, is_made and heir.marker in new)
            for heir, (row, _) in zip(heirs, found, strict=True)
        ]

    async def _found(
        self, connection: Connection, heirs: Sequence[Heir]
    ) -> Sequence[tuple[Row | None, bool]]:
        """Return the row of each that is there, and whether its marker is."""
        self._reading.prepared = self.prepared
        wanted = [key for heir in heirs for key in ((heir.marker, MARKER), *heir.keys)]
        rows = iter(await self._reading.fetch(connection, wanted))
        found: list[tuple[Row | None, bool]] = []
        for heir in heirs:
            marker, *living = islice(rows, 1 + len(heir.keys))
            found.append((next(filter(None, living), None), marker is not None))
        return found

    async def _make(self, connection: Connection, heirs: Sequence[Heir], *, skipping: bool) -> bool:
        """Make rows and their markers. Return False for one that is there: it is left as it is."""
        values = self._values_briefly if skipping else self._values
        ordered = sorted(heirs, key=attrgetter("marker"))
        statement = Statement(self._insert + b", ".join([values] * len(ordered)))
        arguments = [it for heir in ordered for it in heir.parameters()]
        is_alone = len(ordered) == 1
        try:
            answer = await self._locking(
                connection, statement, arguments, skipping=skipping, is_kept=is_alone
            )
        except (UniqueViolation, InternalError_) as error:
            if not is_alone:
                raise
            if not connection.autocommit:
                await connection.rollback()
            # Citus reports a duplicate as an internal error.
            if isinstance(error, InternalError_) and not await self._is_there(connection, *ordered):
                raise StoreUnavailableError(
                    "The database has failed to take over a session (SQLSTATE XX000). Try again."
                ) from error
            return False
        if answer.rowcount != _ROWS * len(ordered):
            raise dropped()
        return True

    async def _is_there(self, connection: Connection, heir: Heir) -> bool:
        """Return whether there is a row that an INSERT meets, if only one that has expired."""
        [[count]] = await self._rows(connection, self._count, ([heir.marker, heir.session_key],))
        return bool(count)
