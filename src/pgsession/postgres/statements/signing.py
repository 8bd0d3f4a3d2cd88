"""The statements of signing in and out, beside those that edit sessions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from msgspec import Struct
from msgspec.structs import asdict
from psycopg.errors import UniqueViolation

from pgsession.core.keys import KeyDigest
from pgsession.core.users import RETIRED_FOR
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.locked_rows import LOCKED, Locked
from pgsession.postgres.rows import Draft
from pgsession.postgres.statements.text import (
    SHORT_PATIENCE,
    Statements,
    Wording,
    dropped,
    kept,
    single,
)

# VALUES, as Citus refuses a SELECT of parameters.
_INSERT: Final = """
INSERT INTO {table} (
    session_key,
    session_data,
    expire_date,
    period,
    size_bound,
    user_id,
    login_stamp,
    login_label,
    login_actor,
    login_client,
    login_on,
    login_number
)
VALUES (
    %(session_key)s::pg_catalog.text,
    %(session_data)s::pg_catalog.jsonb,
    pg_catalog.now() OPERATOR(pg_catalog.+)
        pg_catalog.make_interval(secs => %(seconds)s::pg_catalog.float8),
    CASE WHEN %(granted)s::pg_catalog.bool
        THEN pg_catalog.make_interval(secs => %(seconds)s::pg_catalog.float8)
    END,
    %(size)s::pg_catalog.int8,
    %(login)s::pg_catalog.jsonb OPERATOR(pg_catalog.->>) 'user_id',
    %(login)s::pg_catalog.jsonb OPERATOR(pg_catalog.->>) 'stamp',
    %(login)s::pg_catalog.jsonb OPERATOR(pg_catalog.->>) 'label',
    %(login)s::pg_catalog.jsonb OPERATOR(pg_catalog.->>) 'actor_id',
    %(login)s::pg_catalog.jsonb OPERATOR(pg_catalog.->) 'client',
    pg_catalog.now(),
    CASE WHEN {patiently} THEN 1 END
)
"""

_IS_THERE: Final = """
SELECT
FROM {table} AS s
WHERE s.session_key OPERATOR(pg_catalog.=) %(session_key)s::pg_catalog.text
"""

_LOGOUT: Final = """
DELETE FROM {table} AS s
WHERE s.session_key OPERATOR(pg_catalog.=) %(session_key)s::pg_catalog.text
  AND s.login_number OPERATOR(pg_catalog.=) %(login_number)s::pg_catalog.int4
  AND {patiently}{free}
"""

_FREE: Final = """
  AND s.session_key OPERATOR(pg_catalog.=) ANY (
      SELECT s.session_key
      FROM {table} AS s
      WHERE s.session_key OPERATOR(pg_catalog.=) %(session_key)s::pg_catalog.text
      FOR UPDATE SKIP LOCKED
  )"""

_LOGIN_NUMBER: Final = """
SELECT s.login_number::pg_catalog.int4
FROM {table} AS s
WHERE s.session_key OPERATOR(pg_catalog.=) %(session_key)s::pg_catalog.text
"""

# The verifiers are compared afterwards: the old ones are no longer known.
_RENEWED: Final = """
SELECT s.session_key::pg_catalog.text, s.verifier::pg_catalog.text
FROM {table} AS s
WHERE s.session_key
    OPERATOR(pg_catalog.=) ANY (pg_catalog.string_to_array(%s::pg_catalog.text, ','))
  AND s.renewed_on OPERATOR(pg_catalog.>) (
      pg_catalog.now() OPERATOR(pg_catalog.-) pg_catalog.make_interval(secs => {retired_for})
  )
  AND {living}
"""


class Logout(Struct, frozen=True):
    """The session to end, if it has this login number still."""

    session_key: str
    login_number: int


class Signing(Statements):
    """Signs in to new sessions and out of sessions, one at a time."""

    def reword(self, wording: Wording) -> None:
        super().reword(wording)
        write = partial(wording.write, free="", patiently=wording.patiently())
        free = partial(wording.write, free=_FREE, patiently=wording.patiently(SHORT_PATIENCE))
        self._insert, self._insert_briefly = write(_INSERT), free(_INSERT)
        self._logout, self._logout_free = write(_LOGOUT), free(_LOGOUT)
        self._is_there = wording.write(_IS_THERE)
        self._login_number = wording.write(_LOGIN_NUMBER)
        seconds = repr(RETIRED_FOR.total_seconds())
        self._renewed = wording.write(_RENEWED, retired_for=seconds)

    async def insert(
        self, connection: Connection, drafts: Sequence[Draft], *, skipping: bool = False
    ) -> Sequence[None]:
        """Make one row with a user, once, however often it is tried.

        A foreign key of the table's may make it wait for another transaction.
        """
        (draft,) = drafts
        statement = self._insert_briefly if skipping else self._insert
        parameters = single(draft)
        for is_last in (False, True):
            try:
                answer = await self._locking(connection, statement, parameters, skipping=skipping)
            except UniqueViolation:  # an earlier attempt may have made it: keys are random
                if not connection.autocommit:
                    await connection.rollback()
                if await self._rows(connection, self._is_there, parameters):
                    break
                if is_last:
                    raise
            else:
                if answer.rowcount != 1:
                    raise dropped()
                break
            # Newer logins may have ended it since, at the limit for each user.
        return [None]

    async def logout(
        self, connection: Connection, logouts: Sequence[Logout], *, skipping: bool = False
    ) -> Sequence[bool | Locked]:
        """Remove one session; tell whether it is gone. False if it has another login number."""
        (logout,) = logouts
        parameters = asdict(logout)
        statement = self._logout_free if skipping else self._logout
        answer = await self._locking(connection, statement, parameters, skipping=skipping)
        if answer.rowcount > 0:
            return [True]
        rows = await self._rows(connection, self._login_number, parameters)
        if not rows:
            return [True]
        if rows[0][0] != logout.login_number:
            return [False]
        if skipping:
            return [LOCKED]
        raise kept()

    async def is_retired(self, connection: Connection, keys: Sequence[KeyDigest]) -> Sequence[bool]:
        """Tell of each key whether a renewal has retired it not long ago."""
        selectors = ",".join({selector for selector, _ in keys})
        rows = await self._rows(connection, self._renewed, (selectors,))
        current: dict[str, str | None] = dict(rows)
        return [
            selector in current and current[selector] != verifier for selector, verifier in keys
        ]
