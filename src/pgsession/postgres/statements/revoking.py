"""The statements that end sessions of one user."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from msgspec import Struct
from psycopg import AsyncCursor
from psycopg.rows import TupleRow, tuple_row

from pgsession.postgres.connections.connection import Connection, cursor_of
from pgsession.postgres.connections.statement import Statement
from pgsession.postgres.locked_rows import LOCKED, Locked
from pgsession.postgres.revocation import Revocation
from pgsession.postgres.statements.text import OF_USER, SHORT_PATIENCE, Statements, Wording

_ONE: Final = """
  AND s.session_key OPERATOR(pg_catalog.=) %(handle)s::pg_catalog.text"""

_ALL_BUT_ONE: Final = """
  AND s.session_key OPERATOR(pg_catalog.<>) %(handle)s::pg_catalog.text"""

# Rows are locked in key order, as everywhere: a transaction that does the same is in no deadlock.
# Expired rows go too: a statement that waits for a lock may judge the expiry by the time before.
_DELETE: Final = """
DELETE FROM {table} AS s
WHERE {of_user}{which}
  AND {patiently}
  AND s.session_key OPERATOR(pg_catalog.=) ANY (ARRAY(
      SELECT s.session_key
      FROM {table} AS s
      WHERE {of_user}{which}
      ORDER BY s.session_key
      FOR UPDATE{skip_locked}
  ))
RETURNING s.session_key::pg_catalog.text, {counts}
"""

# Citus locks rows with a SELECT only if one node has them all.
_DELETE_DISTRIBUTED: Final = """
DELETE FROM {table} AS s
WHERE {of_user}{which}
RETURNING s.session_key::pg_catalog.text, true
"""

_LEFT: Final = """
SELECT s.session_key::pg_catalog.text, s.login_number::pg_catalog.int4
FROM {table} AS s
WHERE {of_user}{which}
ORDER BY s.session_key
"""

# Citus returns no result of a function that is not immutable from a DELETE, so it is asked before.
_EXPIRED: Final = """
SELECT s.session_key::pg_catalog.text
FROM {table} AS s
WHERE {of_user}{which}
  AND NOT ({living})
"""

# Of two that signed in at the same moment, the one with the greater key is the newer.
_SURPLUS: Final = """(
    SELECT s.session_key, s.login_number
    FROM {table} AS s
    WHERE {of_user}
      AND s.login_actor IS NULL
      AND s.session_key OPERATOR(pg_catalog.<>) ALL (
          pg_catalog.string_to_array(%(apart)s::pg_catalog.text, ',')
      )
      AND {living}
    ORDER BY s.login_on DESC NULLS LAST, s.session_key DESC
    OFFSET %(most)s::pg_catalog.int8
)"""

# A session that is signed in to meanwhile stays: that login ends what is too many then.
_OF_LOGIN: Final = """p.session_key OPERATOR(pg_catalog.=) s.session_key
  AND p.login_number OPERATOR(pg_catalog.=) s.login_number
  AND {of_user}"""

_DELETE_SURPLUS: Final = """
WITH surplus AS MATERIALIZED {surplus}, held AS MATERIALIZED (
    SELECT s.session_key
    FROM {table} AS s
    JOIN surplus AS p ON {of_login}
    WHERE {patiently}
    ORDER BY s.session_key
    FOR UPDATE OF s{skip_locked}
)
DELETE FROM {table} AS s
USING held AS h
WHERE s.session_key OPERATOR(pg_catalog.=) h.session_key
RETURNING s.session_key::pg_catalog.text, true
"""

_SURPLUS_LEFT: Final = """
SELECT p.session_key::pg_catalog.text, p.login_number::pg_catalog.int4
FROM {surplus} AS p
"""

_ONE_OF_SURPLUS: Final = f"""{_ONE}
  AND s.login_number OPERATOR(pg_catalog.=) %(login_number)s::pg_catalog.int4"""

# PostgreSQL treats READ UNCOMMITTED as READ COMMITTED.
_SIGHT: Final = """
SELECT
    pg_catalog.current_setting('transaction_isolation') OPERATOR(pg_catalog.=) ANY (
        '{read committed,read uncommitted}'::pg_catalog.text[]
    ),
    NOT pg_catalog.row_security_active({name}::pg_catalog.regclass::pg_catalog.oid)
"""


class _Texts(Struct, frozen=True):
    """The statements of one kind of revocation."""

    delete: Statement
    delete_free: Statement
    left: Statement
    expired: Statement


class Revoking(Statements):
    """Ends sessions of one user."""

    def reword(self, wording: Wording) -> None:
        super().reword(wording)
        self._is_distributed = wording.is_distributed
        self._sight = wording.write(_SIGHT)
        patience, brief = wording.patiently(), wording.patiently(SHORT_PATIENCE)

        def texts(delete: str, left: str, which: str, surplus: str) -> _Texts:
            write = partial(
                wording.write,
                surplus=surplus,
                which=which,
                of_login=_OF_LOGIN,
                of_user=OF_USER,
                counts="true" if wording.is_distributed else wording.living("s"),
            )
            return _Texts(
                write(delete, skip_locked="", patiently=patience),
                write(delete, skip_locked=_SKIPPING, patiently=brief),
                write(left),
                write(_EXPIRED),
            )

        delete = _DELETE_DISTRIBUTED if wording.is_distributed else _DELETE
        self._of_one = texts(_DELETE, _LEFT, _ONE, "")
        self._of_all = texts(delete, _LEFT, "", "")
        self._of_all_but_one = texts(delete, _LEFT, _ALL_BUT_ONE, "")
        self._of_surplus = texts(_DELETE_SURPLUS, _SURPLUS_LEFT, "", _SURPLUS)
        self._of_one_of_surplus = texts(_DELETE, _LEFT, _ONE_OF_SURPLUS, "")

    async def end(
        self, connection: Connection, revocations: Sequence[Revocation], *, skipping: bool = False
    ) -> Sequence[Locked | None]:
        """Remove the sessions of one revocation, and note in it which have ended.

        With `skipping` the answer is `LOCKED` if some are left whose rows are locked.
        """
        (revocation,) = revocations
        texts, parameters = self._texts(revocation), revocation.parameters
        await self._note_expired(cursor_of(connection), revocation)
        if self._ends_singly(texts, skipping=skipping):
            await self._end_singly(connection, revocation, skipping=skipping)
        else:
            # Citus commits what several nodes have deleted in two phases. A request to cancel that
            # comes between them leaves rows locked until Citus recovers, up to a minute.
            answer = await self._locking(
                connection,
                texts.delete_free if skipping else texts.delete,
                parameters,
                skipping=skipping,
                committed_apart=self._is_distributed and texts is not self._of_one,
            )
            revocation.note(answer.rows)
        # A surplus session whose row is held stays until the next login: this one does not wait.
        waits = skipping and revocation.most is None
        if waits and await self._rows(connection, texts.left, parameters):
            return [LOCKED]
        return [None]

    async def end_within(self, connection: Connection, revocation: Revocation) -> None:
        """Remove the sessions of a revocation in a transaction of the application's."""
        cursor = AsyncCursor(connection, row_factory=tuple_row)  # whatever its own makes
        statement = self._texts(revocation).delete
        await self._note_expired(cursor, revocation)
        await cursor.execute(statement, revocation.parameters, prepare=False)
        revocation.note(await cursor.fetchall())

    async def sight_of(self, connection: Connection) -> tuple[bool, bool]:
        """Tell whether a transaction sees what others commit, and all rows of the table."""
        cursor = AsyncCursor(connection, row_factory=tuple_row)
        await cursor.execute(self._sight, prepare=False)
        [(sees_changes, sees_rows)] = await cursor.fetchall()
        return sees_changes, sees_rows

    async def _end_singly(
        self, connection: Connection, revocation: Revocation, *, skipping: bool
    ) -> None:
        """Remove the sessions one by one, each in a transaction of its own."""
        texts, parameters = self._texts(revocation), revocation.parameters
        one = self._of_one_of_surplus if texts is self._of_surplus else self._of_one
        statement = one.delete_free if skipping else one.delete
        for handle, login_number in await self._rows(connection, texts.left, parameters):
            single = {**parameters, "handle": handle, "login_number": login_number}
            answer = await self._locking(connection, statement, single, skipping=skipping)
            revocation.note(answer.rows)

    async def _note_expired(self, cursor: AsyncCursor[TupleRow], revocation: Revocation) -> None:
        """Note which rows of a distributed table do not count."""
        texts = self._texts(revocation)
        if self._is_distributed and texts is not self._of_surplus:
            await cursor.execute(texts.expired, revocation.parameters, prepare=False)
            revocation.note_expired(await cursor.fetchall())

    def _ends_singly(self, texts: _Texts, *, skipping: bool) -> bool:
        """Return whether Citus has to get a statement for each session.

        It cannot skip among several, nor lock several to see whether one has signed in again.
        """
        if not self._is_distributed:
            return False
        return texts is self._of_surplus or (skipping and texts is not self._of_one)

    def _texts(self, revocation: Revocation) -> _Texts:
        if revocation.most is not None:
            return self._of_surplus
        if revocation.handle is None:
            return self._of_all
        return self._of_all_but_one if revocation.is_for_all else self._of_one


_SKIPPING: Final = " SKIP LOCKED"
