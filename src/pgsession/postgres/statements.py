"""The session table: every statement on it, none with a lock across rows.

The rules of each statement: keyed by ``session_key``, explicit columns with
casts, ``expire_date > now()`` wherever a living session is meant, expiries
reckoned by the database in seconds, never an upsert, never an UPDATE of the
key. A distributed engine takes them as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow

from pgsession.core.period import MAX_PERIOD
from pgsession.core.value import encode_text
from pgsession.postgres.connections.connection import cursor_of
from pgsession.postgres.rows import Draft, Edit, Row
from pgsession.postgres.schema import qualified

_FARTHEST: Final = str(MAX_PERIOD.total_seconds())

# The expiry is cut before it is subtracted: 'infinity' cannot be.
_SELECT = """
SELECT
    session_key::text,
    session_data::text,
    extract(
        epoch FROM least(expire_date, now() + make_interval(secs => {farthest})) - now()
    )::float8,
    extract(epoch FROM period)::float8,
    extract(epoch FROM nullif(final_date, 'infinity') - now())::float8
FROM {table}
WHERE session_key {is_wanted}
  AND expire_date > now()
"""

_INSERT = """
INSERT INTO {table} (session_key, session_data, expire_date, period, final_date)
SELECT
    d.session_key,
    d.session_data,
    now() + make_interval(secs => least(d.seconds, d.lifetime)),
    CASE WHEN d.granted THEN make_interval(secs => d.seconds) END,
    now() + make_interval(secs => d.lifetime)
FROM {drafts}
"""

# What becomes of a row `s` by an edit `o`, in an UPDATE and in a renewal alike.
_EDITED_DATA = """CASE
        WHEN o.changed IS NULL THEN s.session_data
        WHEN o.replaced THEN o.changed
        ELSE (coalesce(s.session_data, '{}'::jsonb) - o.removed) || o.changed
    END"""

_EDITED_EXPIRY = """CASE
        WHEN o.expire_date IS NULL THEN s.expire_date
        ELSE least(o.expire_date, s.final_date)
    END"""

_EDITED_PERIOD = """CASE
        WHEN o.granted THEN o.period
        ELSE s.period
    END"""

_OFFERED = """
WITH offered AS MATERIALIZED (
    SELECT
        session_key,
        heir,
        changed,
        coalesce(removed, '{}') AS removed,
        replaced,
        granted,
        make_interval(secs => own) AS period,
        now() + make_interval(secs => seconds) AS expire_date
    FROM {edits}
)"""

# Whole before parts: `offered` stands in others.
_PARTS: Final = (
    ("offered", _OFFERED),
    ("data", _EDITED_DATA),
    ("expiry", _EDITED_EXPIRY),
    ("period", _EDITED_PERIOD),
)

_UPDATE = """{offered}
UPDATE {table} AS s
SET session_data = {data},
    expire_date = {expiry},
    period = {period}
FROM offered AS o
WHERE s.session_key = o.session_key
  AND s.expire_date > now()
RETURNING s.session_key::text
"""

# The row moves: DELETE waits for a writer under way and hands on what that one left.
_RENEW = """{offered}, old AS (
    DELETE FROM {table} AS s
    USING offered AS o
    WHERE s.session_key = o.session_key
      AND s.expire_date > now()
    RETURNING
        s.session_key, s.session_data, s.expire_date, s.created_on, s.period, s.final_date,
        s.user_id
)
INSERT INTO {table}
    (session_key, session_data, expire_date, created_on, period, final_date, user_id)
SELECT
    o.heir,
    {data},
    {expiry},
    s.created_on,
    {period},
    s.final_date,
    s.user_id
FROM old AS s
JOIN offered AS o ON o.session_key = s.session_key
RETURNING session_key::text
"""

# A batch comes as one text, in which a record leaves out what it leaves be. A single row comes
# as parameters: such a statement is planned once, and costs half of what a batch of one does.
_AMONG = "= ANY(string_to_array(%s::text, ','))"
_EQUAL = "= %s::text"

_DRAFTS = """jsonb_to_recordset(%s::jsonb) AS d (
    session_key text,
    session_data jsonb,
    seconds float8,
    granted boolean,
    lifetime float8
)"""

_DRAFT = """(
    SELECT
        %(session_key)s::text AS session_key,
        %(session_data)s::jsonb AS session_data,
        %(seconds)s::float8 AS seconds,
        %(granted)s::boolean AS granted,
        %(lifetime)s::float8 AS lifetime
) AS d"""

_EDITS = """jsonb_to_recordset(%s::jsonb) AS e (
    session_key text,
    heir text,
    changed jsonb,
    removed text[],
    replaced boolean,
    seconds float8,
    granted boolean,
    own float8
)"""

_EDIT = """(
    SELECT
        %(session_key)s::text AS session_key,
        %(heir)s::text AS heir,
        %(changed)s::jsonb AS changed,
        %(removed)s::text[] AS removed,
        %(replaced)s::boolean AS replaced,
        %(seconds)s::float8 AS seconds,
        %(granted)s::boolean AS granted,
        %(own)s::float8 AS own
) AS e"""

# One row, locked before it is read: whoever waits for the lock finds the member gone.
_TAKE = """
UPDATE {table} AS s
SET session_data = s.session_data - o.name
FROM (
    SELECT
        session_key,
        %(name)s::text AS name,
        session_data -> %(name)s::text AS taken
    FROM {table}
    WHERE session_key = %(key)s::text
      AND expire_date > now()
      AND session_data ? %(name)s::text
    FOR UPDATE
) AS o
WHERE s.session_key = o.session_key
  AND s.expire_date > now()
RETURNING o.taken::text
"""

_DELETE = """
DELETE FROM {table}
WHERE session_key {is_wanted}
"""

# One row, locked before it is looked at: what others do to it is done, or waits.
_DELETE_EMPTY = """
WITH held AS MATERIALIZED (
    SELECT
        session_key,
        coalesce(session_data, '{}'::jsonb) = '{}'::jsonb AS is_empty
    FROM {table}
    WHERE session_key = %s::text
      AND expire_date > now()
    FOR UPDATE
), gone AS (
    DELETE FROM {table} AS s
    USING held
    WHERE s.session_key = held.session_key
      AND held.is_empty
)
SELECT is_empty
FROM held
"""


class Table:
    """The statements, written for one table in one schema.

    Methods take digests, never keys, and a connection that is theirs for the
    time of the call; each is one statement. They raise what psycopg raises.

    In a transaction `now` is when it began, which may be long ago: there,
    `clock` is "statement_timestamp()".
    """

    def __init__(self, *, schema: str | None, prepared: bool, clock: str = "now()") -> None:
        write = partial(_written, table=qualified(schema, "session"), clock=clock)
        self._prepared = prepared
        self._select = write(_SELECT, is_wanted=_AMONG)
        self._select_one = write(_SELECT, is_wanted=_EQUAL)
        self._insert = write(_INSERT, drafts=_DRAFTS)
        self._insert_one = write(_INSERT, drafts=_DRAFT)
        self._update = write(_UPDATE, edits=_EDITS)
        self._update_one = write(_UPDATE, edits=_EDIT)
        self._renew = write(_RENEW, edits=_EDITS)
        self._renew_one = write(_RENEW, edits=_EDIT)
        self._take = write(_TAKE)
        self._delete = write(_DELETE, is_wanted=_AMONG)
        self._delete_one = write(_DELETE, is_wanted=_EQUAL)
        self._delete_empty = write(_DELETE_EMPTY)

    async def fetch(
        self, connection: AsyncConnection[Any], digests: Sequence[str]
    ) -> dict[str, Row]:
        """Return the rows of the living sessions among `digests`."""
        if len(digests) == 1:
            rows = await self._rows(connection, self._select_one, (digests[0],))
        else:
            rows = await self._rows(connection, self._select, (",".join(digests),))
        return {row[0]: _row(row) for row in rows}

    async def insert(self, connection: AsyncConnection[Any], drafts: Sequence[Draft]) -> None:
        """Make rows. All are made or none."""
        if len(drafts) == 1:
            await self._execute(connection, self._insert_one, _single(drafts[0]))
        else:
            await self._execute(connection, self._insert, (_batch(drafts),))

    async def update(self, connection: AsyncConnection[Any], edits: Sequence[Edit]) -> set[str]:
        """Apply at most one edit a key; return the digests that were alive."""
        if len(edits) == 1:
            rows = await self._rows(connection, self._update_one, _single(edits[0]))
        else:
            rows = await self._rows(connection, self._update, (_batch(edits),))
        return {digest for (digest,) in rows}

    async def renew(self, connection: AsyncConnection[Any], edits: Sequence[Edit]) -> set[str]:
        """Move rows to their heirs' digests, edited; return the heirs of those that were alive."""
        if len(edits) == 1:
            rows = await self._rows(connection, self._renew_one, _single(edits[0]))
        else:
            rows = await self._rows(connection, self._renew, (_batch(edits),))
        return {heir for (heir,) in rows}

    async def take(self, connection: AsyncConnection[Any], digest: str, name: str) -> str | None:
        """Remove a member; return its JSON text, or None if there was none."""
        rows = await self._rows(connection, self._take, {"key": digest, "name": name})
        return rows[0][0] if rows else None

    async def delete(self, connection: AsyncConnection[Any], digests: Sequence[str]) -> None:
        """Remove rows, those that are there."""
        if len(digests) == 1:
            await self._execute(connection, self._delete_one, (digests[0],))
        else:
            await self._execute(connection, self._delete, (",".join(digests),))

    async def delete_empty(self, connection: AsyncConnection[Any], digest: str) -> bool | None:
        """Remove a row if it holds nothing; tell whether it did, or None if none was alive."""
        rows = await self._rows(connection, self._delete_empty, (digest,))
        return rows[0][0] if rows else None

    async def _rows(
        self,
        connection: AsyncConnection[Any],
        statement: bytes,
        arguments: Sequence[object] | Mapping[str, object],
    ) -> list[TupleRow]:
        cursor = cursor_of(connection)
        await cursor.execute(statement, arguments, prepare=self._prepared)
        return await cursor.fetchall()

    async def _execute(
        self,
        connection: AsyncConnection[Any],
        statement: bytes,
        arguments: Sequence[object] | Mapping[str, object],
    ) -> None:
        await cursor_of(connection).execute(statement, arguments, prepare=self._prepared)


#: What `Row._make` does, for less: there is one for each session that is read.
_row: Final = partial(tuple.__new__, Row)


def _written(statement: str, *, table: sql.Identifier, clock: str, **rows: str) -> bytes:
    """Return a statement with its parts in place; all of them are constants of this module."""
    for part, text in (*_PARTS, *rows.items(), ("farthest", _FARTHEST)):
        statement = statement.replace("{" + part + "}", text)
    # The name comes last, whatever it holds; a % in it is no parameter.
    name = table.as_string().replace("%", "%%")
    return statement.replace("now()", clock).replace("{table}", name).encode()


def _single(record: Draft | Edit) -> dict[str, object]:
    """Return a record as parameters: JSON goes as text, bytes would be bytea."""
    parameters = msgspec.structs.asdict(record)
    for name, part in parameters.items():
        if isinstance(part, msgspec.Raw):
            parameters[name] = bytes(part).decode("utf-8")
        elif isinstance(part, tuple):
            parameters[name] = list(part)
    return parameters


def _batch(records: Sequence[Draft] | Sequence[Edit]) -> str:
    """Write records as one JSON text, in key order, so that batches meet rows alike."""
    return encode_text(sorted(records, key=attrgetter("session_key"))).decode("utf-8")
