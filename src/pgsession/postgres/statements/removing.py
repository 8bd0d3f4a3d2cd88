"""The statements that remove sessions, and single members of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from pgsession.core.keys import KeyDigest
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.locked_rows import LOCKED, Locked
from pgsession.postgres.statements.text import SHORT_PATIENCE, Statements, Wording, kept

# A key as one text, as a row has it: its selector, a dot, and its verifier, if it has one.
_WHOLE_KEY: Final = """(
      s.session_key OPERATOR(pg_catalog.||) '.'
          OPERATOR(pg_catalog.||) coalesce(s.verifier, '')
  )"""

_WANTED: Final = """s.session_key
      OPERATOR(pg_catalog.=) ANY (pg_catalog.string_to_array(%(selectors)s::pg_catalog.text, ','))
  AND {whole_key}
      OPERATOR(pg_catalog.=) ANY (pg_catalog.string_to_array(%(keys)s::pg_catalog.text, ','))"""

# Faster, where no wanted key has a verifier: each row of the above is compared with each key.
_WANTED_UNRENEWED: Final = """s.session_key
      OPERATOR(pg_catalog.=) ANY (pg_catalog.string_to_array(%(selectors)s::pg_catalog.text, ','))
  AND s.verifier IS NULL"""

_WANTED_ONE: Final = """s.session_key OPERATOR(pg_catalog.=) %(selectors)s::pg_catalog.text
  AND {whole_key} OPERATOR(pg_catalog.=) %(keys)s::pg_catalog.text"""

_DELETE: Final = """
DELETE FROM {table} AS s
WHERE {wanted}
  AND {patiently}
"""

# Several rows are locked in the order of their keys, as edits lock them, whatever the plan is: in a
# caller's pool it may be a bitmap. Citus refuses this; there a deadlock is retried.
_DELETE_IN_ORDER: Final = """
DELETE FROM {table} AS s
WHERE {wanted}
  AND s.session_key OPERATOR(pg_catalog.=) ANY (
      SELECT s.session_key
      FROM {table} AS s
      WHERE {wanted}
        AND {patiently}
      ORDER BY s.session_key
      FOR UPDATE{skip_locked}
  )
"""

# Rows that DELETE should have removed, and something has kept. Row security would hide them.
_KEPT: Final = """
SELECT s.session_key::pg_catalog.text
FROM {table} AS s
WHERE {wanted}
UNION ALL
SELECT NULL
WHERE pg_catalog.row_security_active({name}::pg_catalog.regclass::pg_catalog.oid)
"""

# The row is locked before it is read, so no other writer can change it in between.
_DELETE_EMPTY: Final = """
WITH held AS MATERIALIZED (
    SELECT
        s.session_key,
        coalesce(s.session_data, '{}'::pg_catalog.jsonb)
            OPERATOR(pg_catalog.=) '{}'::pg_catalog.jsonb
            AND s.user_id IS NULL AS is_empty
    FROM {table} AS s
    WHERE {wanted}
      AND {living}
      AND {patiently}
    FOR UPDATE{skip_locked}
), gone AS (
    DELETE FROM {table} AS s
    USING held
    WHERE s.session_key OPERATOR(pg_catalog.=) held.session_key
      AND s.session_key OPERATOR(pg_catalog.=) %(selectors)s::pg_catalog.text
      AND held.is_empty
    RETURNING s.session_key
)
SELECT is_empty, EXISTS (SELECT FROM gone)
FROM held
"""

# The row is locked before it is read, so a second taker, which waits, finds the member gone.
_TAKE: Final = """
UPDATE {table} AS s
SET session_data = s.session_data OPERATOR(pg_catalog.-) o.name
FROM (
    SELECT
        s.session_key,
        %(name)s::pg_catalog.text AS name,
        s.session_data OPERATOR(pg_catalog.->) %(name)s::pg_catalog.text AS taken
    FROM {table} AS s
    WHERE {wanted}
      AND {living}
      AND s.session_data OPERATOR(pg_catalog.?) %(name)s::pg_catalog.text
      AND {patiently}
    FOR NO KEY UPDATE{skip_locked}
) AS o
WHERE s.session_key OPERATOR(pg_catalog.=) o.session_key
  AND {wanted}
  AND {living}
RETURNING o.taken::pg_catalog.text
"""

_LIVES: Final = """
SELECT s.session_data OPERATOR(pg_catalog.?) %(name)s::pg_catalog.text
FROM {table} AS s
WHERE {wanted}
  AND {living}
"""

_SKIPPING: Final = " SKIP LOCKED"


class Removing(Statements):
    """Removes rows, and single members of them."""

    def reword(self, wording: Wording) -> None:
        super().reword(wording)
        write = partial(wording.write, skip_locked="", patiently=wording.patiently())
        free = partial(
            wording.write, skip_locked=_SKIPPING, patiently=wording.patiently(SHORT_PATIENCE)
        )
        many = {"wanted": _WANTED, "whole_key": _WHOLE_KEY}
        one = {"wanted": _WANTED_ONE, "whole_key": _WHOLE_KEY}
        several = _DELETE if wording.is_distributed else _DELETE_IN_ORDER
        self._delete, self._delete_free = write(several, **many), free(_DELETE_IN_ORDER, **many)
        self._delete_unrenewed = write(several, wanted=_WANTED_UNRENEWED)
        self._delete_one, self._delete_one_free = (
            write(_DELETE, **one),
            free(_DELETE_IN_ORDER, **one),
        )
        self._kept, self._kept_one = write(_KEPT, **many), write(_KEPT, **one)
        self._delete_empty = write(_DELETE_EMPTY, **one)
        self._delete_empty_free = free(_DELETE_EMPTY, **one)
        self._take, self._take_free = write(_TAKE, **one), free(_TAKE, **one)
        self._lives = write(_LIVES, **one)

    async def delete(
        self, connection: Connection, keys: Sequence[KeyDigest], *, skipping: bool = False
    ) -> Sequence[Locked | None]:
        """Remove the rows that are there and have these verifiers.

        With `skipping` rows that are locked are left out, and answered with
        `LOCKED`. Otherwise raises `SchemaError` if a row is still there, which
        row security, a trigger or a rule may cause.
        """
        wanted, is_single = _wanted(keys), len(keys) == 1
        if skipping:
            statement = self._delete_one_free if is_single else self._delete_free
        elif is_single:
            statement = self._delete_one
        else:
            is_renewed = any(verifier for _, verifier in keys)
            statement = self._delete if is_renewed else self._delete_unrenewed
        answer = await self._locking(connection, statement, wanted, skipping=skipping)
        if answer.rowcount == len(set(keys)):
            return [None] * len(keys)
        statement = self._kept_one if is_single else self._kept  # some were not there
        left = {selector for (selector,) in await self._rows(connection, statement, wanted)}
        if left and (not skipping or None in left):
            raise kept()
        return [LOCKED if selector in left else None for selector, _ in keys]

    async def delete_together(
        self,
        connection: Connection,
        groups: Sequence[tuple[KeyDigest, ...]],
        *,
        skipping: bool = False,
    ) -> Sequence[Locked | None]:
        """Remove the rows of one group in one statement. Answers and raises as `delete` does."""
        (keys,) = groups
        answers = await self.delete(connection, keys, skipping=skipping)
        return [LOCKED if LOCKED in answers else None]

    async def delete_empty(
        self, connection: Connection, keys: Sequence[KeyDigest], *, skipping: bool = False
    ) -> Sequence[bool | Locked | None]:
        """Remove one row if it holds nothing; tell whether it did, or None if none was alive.

        Answers and raises as `delete` does.
        """
        wanted = _wanted(keys)
        statement = self._delete_empty_free if skipping else self._delete_empty
        answer = await self._locking(connection, statement, wanted, skipping=skipping)
        row = answer.first
        if row is None:
            return [await self._absence(connection, {**wanted, "name": ""}, skipping=skipping)]
        is_empty, is_gone = row
        if is_empty and not is_gone:
            raise kept()
        return [is_empty]

    async def take(
        self,
        connection: Connection,
        members: Sequence[tuple[KeyDigest, str]],
        *,
        skipping: bool = False,
    ) -> Sequence[str | Locked | None]:
        """Remove one member, given as key and name; return its JSON text, or None.

        With `skipping` the answer for a row that is locked is `LOCKED`.
        """
        ((key, name),) = members
        wanted = {**_wanted([key]), "name": name}
        statement = self._take_free if skipping else self._take
        answer = await self._locking(connection, statement, wanted, skipping=skipping)
        if row := answer.first:
            return [row[0]]
        if skipping and (held := await self._rows(connection, self._lives, wanted)):
            return [LOCKED if held[0][0] else None]
        return [None]

    async def _absence(
        self, connection: Connection, wanted: dict[str, str], *, skipping: bool
    ) -> Locked | None:
        """Tell why a row was not found: it is locked, or its key is dead."""
        if skipping and await self._rows(connection, self._lives, wanted):
            return LOCKED
        return None


def _wanted(keys: Sequence[KeyDigest]) -> dict[str, str]:
    """Return keys as parameters, in key order."""
    ordered = sorted({(selector, verifier or "") for selector, verifier in keys})
    return {
        "selectors": ",".join(selector for selector, _ in ordered),
        "keys": ",".join(f"{selector}.{verifier}" for selector, verifier in ordered),
    }
