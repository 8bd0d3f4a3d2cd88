"""The statements that make sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from psycopg.errors import InternalError_, UniqueViolation

from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.connections.statement import Statement
from pgsession.postgres.rows import Draft
from pgsession.postgres.statements.text import (
    SHORT_PATIENCE,
    Statements,
    Wording,
    batch,
    dropped,
    single,
)

_INSERT: Final = """
INSERT INTO {table} (session_key, session_data, expire_date, period, size_bound)
SELECT
    d.session_key,
    d.session_data,
    pg_catalog.now() OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => d.seconds),
    CASE WHEN d.granted THEN pg_catalog.make_interval(secs => d.seconds) END,
    coalesce(d.size, 0::pg_catalog.int8)
FROM {drafts}
WHERE {patiently}
"""

# A batch is one JSON text, whose records leave out what stays as it is. A single row is passed as
# parameters: such a statement is planned once, and costs half as much as a batch of one.
_DRAFTS: Final = """pg_catalog.jsonb_to_recordset(%s::pg_catalog.jsonb) AS d (
    session_key pg_catalog.text,
    session_data pg_catalog.jsonb,
    seconds pg_catalog.float8,
    granted pg_catalog.bool,
    size pg_catalog.int8
)"""

_DRAFT: Final = """(
    SELECT
        %(session_key)s::pg_catalog.text AS session_key,
        %(session_data)s::pg_catalog.jsonb AS session_data,
        %(seconds)s::pg_catalog.float8 AS seconds,
        %(granted)s::pg_catalog.bool AS granted,
        %(size)s::pg_catalog.int8 AS size
) AS d"""

# Citus needs 50 ms for an INSERT ... SELECT of 32 rows, and 4 ms for their values.
_INSERT_VALUES: Final = """
INSERT INTO {table} (session_key, session_data, expire_date, period, size_bound)
VALUES """

_VALUES: Final = """(
    %s::pg_catalog.text,
    %s::pg_catalog.jsonb,
    pg_catalog.now() OPERATOR(pg_catalog.+)
        pg_catalog.make_interval(secs => %s::pg_catalog.float8),
    pg_catalog.make_interval(secs => %s::pg_catalog.float8),
    %s::pg_catalog.int8
)"""


_COUNT: Final = """
SELECT pg_catalog.count(*)
FROM {table} AS s
WHERE s.session_key
    OPERATOR(pg_catalog.=) ANY (pg_catalog.string_to_array(%s::pg_catalog.text, ','))
"""


class Inserting(Statements):
    """Makes rows. A foreign key of the table's may make it wait for another transaction."""

    def reword(self, wording: Wording) -> None:
        super().reword(wording)
        patiently, briefly = wording.patiently(), wording.patiently(SHORT_PATIENCE)
        self._insert = wording.write(_INSERT, drafts=_DRAFTS, patiently=patiently)
        self._insert_one = wording.write(_INSERT, drafts=_DRAFT, patiently=patiently)
        self._insert_briefly = wording.write(_INSERT, drafts=_DRAFTS, patiently=briefly)
        self._insert_one_briefly = wording.write(_INSERT, drafts=_DRAFT, patiently=briefly)
        self._count = wording.write(_COUNT)
        self._insert_values = wording.write(_INSERT_VALUES) if wording.is_distributed else None
        self._values = wording.write(_VALUES)

    async def insert(
        self, connection: Connection, drafts: Sequence[Draft], *, skipping: bool = False
    ) -> Sequence[None]:
        """Make rows. All are made or none. With `skipping` it hardly waits for a lock."""
        if self._insert_values:
            text = self._insert_values + b", ".join([self._values] * len(drafts))
            statement = Statement(text)
            arguments: Sequence[object] | Mapping[str, object] = _listed(drafts)
        elif len(drafts) == 1:
            statement = self._insert_one_briefly if skipping else self._insert_one
            arguments = single(drafts[0])
        else:
            statement = self._insert_briefly if skipping else self._insert
            arguments = (batch(drafts),)
        is_kept = not self._insert_values or len(drafts) == 1  # else its text depends on the number
        answer = await self._locking(
            connection,
            statement,
            arguments,
            skipping=skipping,
            is_kept=is_kept,
        )
        if answer.rowcount != len(drafts):
            raise dropped()
        return [None] * len(drafts)

    async def are_there(self, connection: Connection, drafts: Sequence[Draft]) -> bool:
        """Tell whether all these rows exist."""
        selectors = ",".join(draft.session_key for draft in drafts)
        [(count,)] = await self._rows(connection, self._count, (selectors,))
        return bool(count == len(drafts))


async def insert_once(
    inserting: Inserting,
    connection: Connection,
    drafts: Sequence[Draft],
    *,
    skipping: bool = False,
) -> Sequence[None]:
    """Make rows once, however often it is tried.

    An earlier attempt may have made them, though its answer was lost. Keys are
    random, so rows that have them are these. If others have ended one since,
    they are made again.
    """
    for is_last in (False, True):
        try:
            return await inserting.insert(connection, drafts, skipping=skipping)
        except (UniqueViolation, InternalError_):  # Citus reports a batch's duplicate as the latter
            if not connection.autocommit:
                await connection.rollback()
            if await inserting.are_there(connection, drafts):
                break
            if is_last:
                raise
    return [None] * len(drafts)


def _listed(drafts: Sequence[Draft]) -> list[object]:
    """Return the parameters of some rows, one after the other."""
    return [
        parameter
        for draft in drafts
        for parameter in (
            draft.session_key,
            None if draft.session_data is None else bytes(draft.session_data).decode("utf-8"),
            draft.seconds,
            draft.seconds if draft.granted else None,
            draft.size,
        )
    ]
