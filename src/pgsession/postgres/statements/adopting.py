"""The statements that take over sessions from before a switch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from psycopg.errors import InternalError_, UniqueViolation

from pgsession.core.adoption import MARKER
from pgsession.core.keys import KeyDigest
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.rows import Row
from pgsession.postgres.statements.reading import Reading
from pgsession.postgres.statements.text import Statements, Wording, dropped

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
VALUES
(
    %(marker)s::pg_catalog.text,
    %(marker_verifier)s::pg_catalog.text,
    NULL::pg_catalog.jsonb,
    {remembered},
    {remembered},
    {remembered},
    0::pg_catalog.int8,
    NULL::pg_catalog.text,
    NULL::timestamp with time zone,
    CASE WHEN {patiently} THEN 0 END
),
(
    %(session_key)s::pg_catalog.text,
    NULL::pg_catalog.text,
    %(session_data)s::pg_catalog.jsonb,
    {expires},
    pg_catalog.now(),
    pg_catalog.now(),
    %(size)s::pg_catalog.int8,
    %(user_id)s::pg_catalog.text,
    CASE WHEN %(user_id)s::pg_catalog.text IS NOT NULL
        THEN '1970-01-01 00:00:00+00'::timestamp with time zone
    END,
    CASE WHEN %(user_id)s::pg_catalog.text IS NOT NULL THEN 1 ELSE 0 END
)
"""

_IN: Final = """pg_catalog.now() OPERATOR(pg_catalog.+)
        pg_catalog.make_interval(secs => %({seconds})s::pg_catalog.float8)"""


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


class Adopting(Statements):
    """Takes over one old session at a time."""

    def reword(self, wording: Wording) -> None:
        super().reword(wording)
        self._reading = Reading(wording)
        self._insert = wording.write(
            _INSERT,
            remembered=_IN.replace("{seconds}", "remembered"),
            expires=_IN.replace("{seconds}", "seconds"),
            patiently=wording.patiently(),
        )

    async def adopt(self, connection: Connection, heirs: Sequence[Heir]) -> Sequence[Row | None]:
        """Return the row that has taken over one old session, and make it if there was none.

        None if it was there and has ended or was renewed. It may wait for another
        transaction that makes the same row.
        """
        (heir,) = heirs
        marker, *rows = await self._found(connection, heir)
        if marker is None and not any(rows):
            await self._make(connection, heir)
            _, *rows = await self._found(connection, heir)
        return [next((row for row in rows if row is not None), None)]

    async def _found(self, connection: Connection, heir: Heir) -> Sequence[Row | None]:
        """Return the marker and the sessions that are there."""
        self._reading.prepared = self.prepared
        return await self._reading.fetch(connection, [(heir.marker, MARKER), *heir.keys])

    async def _make(self, connection: Connection, heir: Heir) -> None:
        """Make the row and its marker, unless the marker is there."""
        parameters = {
            "marker": heir.marker,
            "marker_verifier": MARKER,
            "remembered": heir.remembered,
            "session_key": heir.session_key,
            "session_data": bytes(heir.session_data).decode("utf-8"),
            "seconds": heir.seconds,
            "size": heir.size,
            "user_id": heir.user_id,
        }
        try:
            cursor = await self._locking(connection, self._insert, parameters, skipping=False)
        except (UniqueViolation, InternalError_):  # Citus reports a duplicate as the latter
            if not connection.autocommit:
                await connection.rollback()
        else:
            if cursor.rowcount != _ROWS:
                raise dropped()


_ROWS: Final = 2
