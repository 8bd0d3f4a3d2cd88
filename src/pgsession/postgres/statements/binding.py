"""The statements that bind sessions to devices."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from psycopg.errors import LockNotAvailable

from pgsession.core.bound import REGISTERED_WITHIN, Bound, BoundDevice
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.statements.reading import SINCE
from pgsession.postgres.statements.text import HAS_DEVICE, SHORT_PATIENCE, Statements, Wording

_OF_LOGIN: Final = """s.session_key OPERATOR(pg_catalog.=) %(handle)s::pg_catalog.text
  AND s.login_number OPERATOR(pg_catalog.=) %(login_number)s::pg_catalog.int4
  AND {living}"""

# Citus returns no result of now() from an UPDATE, but that of a column. A difference of two times
# is the same everywhere, and so is its part.
_BIND: Final = """
UPDATE {table} AS s
SET device_key = %(public_key)s::pg_catalog.text,
    device_login = s.login_number,
    device_registered_on = pg_catalog.now(),
    device_proved_on = CASE WHEN {has_device} THEN s.device_proved_on END
WHERE {of_login}
  AND coalesce(s.verifier, '') OPERATOR(pg_catalog.=) %(verifier)s::pg_catalog.text
  AND (
      NOT {has_device}
      OR s.device_key OPERATOR(pg_catalog.=) %(public_key)s::pg_catalog.text
  )
  AND {since} OPERATOR(pg_catalog.>) (
      pg_catalog.now() OPERATOR(pg_catalog.-) pg_catalog.make_interval(secs => {within})
  )
  AND {briefly}
RETURNING pg_catalog.date_part(
    'epoch',
    s.device_registered_on OPERATOR(pg_catalog.-) '1970-01-01 00:00:00+00'::timestamp with time zone
)::pg_catalog.int8
"""

_DEVICE: Final = """
SELECT
    s.device_key::pg_catalog.text,
    pg_catalog.date_part('epoch', pg_catalog.now())::pg_catalog.int8,
    s.device_proved_on IS NOT NULL
FROM {table} AS s
WHERE {of_login}
  AND {has_device}
"""

_ENFORCE: Final = """
UPDATE {table} AS s
SET device_proved_on = pg_catalog.now()
WHERE {of_login}
  AND {has_device}
  AND s.device_proved_on IS NULL
  AND {briefly}
"""


class Registration(NamedTuple):
    """The key of a device that registers. The repr shows nothing of it."""

    bound: Bound
    #: The digest of the verifier of the key that the sign-in has made.
    verifier: str | None
    public_key: str

    def __repr__(self) -> str:
        return "<Registration>"


class Binding(Statements):
    """Binds sessions to devices. Its statements hardly wait for a row that others hold."""

    def reword(self, wording: Wording) -> None:
        super().reword(wording)
        briefly = wording.patiently(SHORT_PATIENCE)
        parts = {"of_login": _OF_LOGIN, "has_device": HAS_DEVICE, "briefly": briefly}
        within = repr(REGISTERED_WITHIN.total_seconds())
        self._bind = wording.write(_BIND, since=SINCE, within=within, **parts)
        self._device = wording.write(_DEVICE, **parts)
        self._enforce = wording.write(_ENFORCE, **parts)

    async def bind(
        self, connection: Connection, registrations: Sequence[Registration]
    ) -> Sequence[int | None]:
        """Register one key; return the time in seconds since 1970, or None if it is refused."""
        ((bound, verifier, public_key),) = registrations
        parameters = {**_named(bound), "verifier": verifier or "", "public_key": public_key}
        answer = await self._locking(connection, self._bind, parameters, skipping=False)
        row = answer.first
        return [None if row is None else row[0]]

    async def device(
        self, connection: Connection, sessions: Sequence[Bound]
    ) -> Sequence[BoundDevice | None]:
        """Return the device of one session."""
        (bound,) = sessions
        rows = await self._rows(connection, self._device, _named(bound))
        return [BoundDevice(*rows[0]) if rows else None]

    async def enforce(self, connection: Connection, sessions: Sequence[Bound]) -> Sequence[bool]:
        """Put the binding of one session in force, unless another transaction holds its row."""
        (bound,) = sessions
        with suppress(LockNotAvailable):
            answer = await self._locking(connection, self._enforce, _named(bound), skipping=False)
            return [answer.rowcount > 0]
        return [False]


def _named(bound: Bound) -> dict[str, object]:
    return {"handle": bound.handle, "login_number": bound.login_number}
