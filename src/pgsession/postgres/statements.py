"""Every statement on the session table.

Each statement is keyed by ``session_key``, names its columns with casts, asks for
``expire_date > now()`` where it means a living session, and lets the database
compute expiries, in seconds. None is an upsert, none updates the key, and none
locks more than its own rows.

Functions, operators and types are named with their schema: another role may have
put some of the same name into a schema of the search_path (CVE-2018-1058).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Final

import msgspec
from psycopg import sql
from psycopg.rows import TupleRow

from pgsession.core.period import MAX_PERIOD
from pgsession.core.value import encode_text
from pgsession.errors import SchemaError
from pgsession.postgres.connections.connection import Connection, cursor_of
from pgsession.postgres.rows import Draft, Edit, Row
from pgsession.postgres.table_name import TableName

_FARTHEST: Final = str(MAX_PERIOD.total_seconds())

# Periods are read as whole microseconds: how a float is written depends on extra_float_digits.
# The expiry is limited before the subtraction, which 'infinity' does not allow.
_SELECT = """
SELECT
    session_key::pg_catalog.text,
    session_data::pg_catalog.text,
    (extract(epoch FROM
        least(
            expire_date,
            pg_catalog.now() OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => {farthest})
        ) OPERATOR(pg_catalog.-) pg_catalog.now()
    ) OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8,
    (extract(epoch FROM period) OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8,
    CASE WHEN pg_catalog.isfinite(final_date) THEN
        (extract(epoch FROM final_date OPERATOR(pg_catalog.-) pg_catalog.now())
            OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8
    END
FROM {table}
WHERE session_key {is_wanted}
  AND expire_date OPERATOR(pg_catalog.>) pg_catalog.now()
"""

# Of several sessions, the living one that was created last.
_SELECT_NEWEST = (
    _SELECT
    + """ORDER BY created_on DESC NULLS LAST, session_key
LIMIT 1
"""
)

_INSERT = """
INSERT INTO {table} (session_key, session_data, expire_date, period, final_date)
SELECT
    d.session_key,
    d.session_data,
    pg_catalog.now() OPERATOR(pg_catalog.+)
        pg_catalog.make_interval(secs => least(d.seconds, d.lifetime)),
    CASE WHEN d.granted THEN pg_catalog.make_interval(secs => d.seconds) END,
    pg_catalog.now() OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => d.lifetime)
FROM {drafts}
"""

# What an edit `o` makes of a row `s`, in an UPDATE and in a renewal alike.
_EDITED_DATA = """CASE
        WHEN o.changed IS NULL THEN s.session_data
        WHEN o.replaced THEN o.changed
        ELSE (coalesce(s.session_data, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) o.removed)
            OPERATOR(pg_catalog.||) o.changed
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
        pg_catalog.make_interval(secs => own) AS period,
        pg_catalog.now() OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => seconds)
            AS expire_date
    FROM {edits}
)"""

# Replaced in this order, as one part may contain a later one.
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
WHERE s.session_key OPERATOR(pg_catalog.=) o.session_key
  AND s.expire_date OPERATOR(pg_catalog.>) pg_catalog.now()
RETURNING s.session_key::pg_catalog.text
"""

# The row moves: DELETE waits for a writer in flight and returns what that writer left.
_RENEW = """{offered}, old AS (
    DELETE FROM {table} AS s
    USING offered AS o
    WHERE s.session_key OPERATOR(pg_catalog.=) o.session_key
      AND s.expire_date OPERATOR(pg_catalog.>) pg_catalog.now()
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
JOIN offered AS o ON o.session_key OPERATOR(pg_catalog.=) s.session_key
RETURNING session_key::pg_catalog.text
"""

# A batch is one JSON text, whose records leave out what stays as it is. A single row is passed as
# parameters: such a statement is planned once, and costs half as much as a batch of one.
_AMONG = "OPERATOR(pg_catalog.=) ANY (pg_catalog.string_to_array(%s::pg_catalog.text, ','))"
_EQUAL = "OPERATOR(pg_catalog.=) %s::pg_catalog.text"

_DRAFTS = """pg_catalog.jsonb_to_recordset(%s::pg_catalog.jsonb) AS d (
    session_key pg_catalog.text,
    session_data pg_catalog.jsonb,
    seconds pg_catalog.float8,
    granted pg_catalog.bool,
    lifetime pg_catalog.float8
)"""

_DRAFT = """(
    SELECT
        %(session_key)s::pg_catalog.text AS session_key,
        %(session_data)s::pg_catalog.jsonb AS session_data,
        %(seconds)s::pg_catalog.float8 AS seconds,
        %(granted)s::pg_catalog.bool AS granted,
        %(lifetime)s::pg_catalog.float8 AS lifetime
) AS d"""

_EDITS = """pg_catalog.jsonb_to_recordset(%s::pg_catalog.jsonb) AS e (
    session_key pg_catalog.text,
    heir pg_catalog.text,
    changed pg_catalog.jsonb,
    removed pg_catalog.text[],
    replaced pg_catalog.bool,
    seconds pg_catalog.float8,
    granted pg_catalog.bool,
    own pg_catalog.float8
)"""

_EDIT = """(
    SELECT
        %(session_key)s::pg_catalog.text AS session_key,
        %(heir)s::pg_catalog.text AS heir,
        %(changed)s::pg_catalog.jsonb AS changed,
        %(removed)s::pg_catalog.text[] AS removed,
        %(replaced)s::pg_catalog.bool AS replaced,
        %(seconds)s::pg_catalog.float8 AS seconds,
        %(granted)s::pg_catalog.bool AS granted,
        %(own)s::pg_catalog.float8 AS own
) AS e"""

# The row is locked before it is read, so a second taker, which waits, finds the member gone.
_TAKE = """
UPDATE {table} AS s
SET session_data = s.session_data OPERATOR(pg_catalog.-) o.name
FROM (
    SELECT
        session_key,
        %(name)s::pg_catalog.text AS name,
        session_data OPERATOR(pg_catalog.->) %(name)s::pg_catalog.text AS taken
    FROM {table}
    WHERE session_key OPERATOR(pg_catalog.=) %(key)s::pg_catalog.text
      AND expire_date OPERATOR(pg_catalog.>) pg_catalog.now()
      AND session_data OPERATOR(pg_catalog.?) %(name)s::pg_catalog.text
    FOR UPDATE
) AS o
WHERE s.session_key OPERATOR(pg_catalog.=) o.session_key
  AND s.expire_date OPERATOR(pg_catalog.>) pg_catalog.now()
RETURNING o.taken::pg_catalog.text
"""

_DELETE = """
DELETE FROM {table}
WHERE session_key {is_wanted}
"""

# Rows that DELETE should have removed, and something has kept. Row security would hide them.
_KEPT = """
SELECT FROM {table}
WHERE session_key {is_wanted}
UNION ALL
SELECT WHERE pg_catalog.row_security_active({name}::pg_catalog.regclass::pg_catalog.oid)
"""

# The row is locked before it is read, so no other writer can change it in between.
_DELETE_EMPTY = """
WITH held AS MATERIALIZED (
    SELECT
        session_key,
        coalesce(session_data, '{}'::pg_catalog.jsonb)
            OPERATOR(pg_catalog.=) '{}'::pg_catalog.jsonb AS is_empty
    FROM {table}
    WHERE session_key OPERATOR(pg_catalog.=) %s::pg_catalog.text
      AND expire_date OPERATOR(pg_catalog.>) pg_catalog.now()
    FOR UPDATE
), gone AS (
    DELETE FROM {table} AS s
    USING held
    WHERE s.session_key OPERATOR(pg_catalog.=) held.session_key
      AND held.is_empty
    RETURNING s.session_key
)
SELECT is_empty, EXISTS (SELECT FROM gone)
FROM held
"""


class Table:
    """The statements, written for one table.

    Each method is one statement on a connection that is its own for the time of
    the call. It takes what many callers ask for, with digests and never keys,
    and returns an answer for each, in order. It raises what psycopg raises.

    In a transaction ``now()`` is when it began, which may be long ago: there,
    pass ``clock="statement_timestamp"``.
    """

    def __init__(self, name: TableName, *, clock: str = "now") -> None:
        write = partial(_written, table=name.identifier, clock=clock)
        #: Whether statements are prepared on connections that allow it.
        self.prepared: bool = True
        self._select = write(_SELECT, is_wanted=_AMONG)
        self._select_one = write(_SELECT, is_wanted=_EQUAL)
        self._select_newest = write(_SELECT_NEWEST, is_wanted=_AMONG)
        self._insert = write(_INSERT, drafts=_DRAFTS)
        self._insert_one = write(_INSERT, drafts=_DRAFT)
        self._update = write(_UPDATE, edits=_EDITS)
        self._update_one = write(_UPDATE, edits=_EDIT)
        self._renew = write(_RENEW, edits=_EDITS)
        self._renew_one = write(_RENEW, edits=_EDIT)
        self._take = write(_TAKE)
        self._delete = write(_DELETE, is_wanted=_AMONG)
        self._delete_one = write(_DELETE, is_wanted=_EQUAL)
        self._kept = write(_KEPT, is_wanted=_AMONG)
        self._kept_one = write(_KEPT, is_wanted=_EQUAL)
        self._delete_empty = write(_DELETE_EMPTY)

    async def fetch(self, connection: Connection, digests: Sequence[str]) -> Sequence[Row | None]:
        """Return the row of each living session. Equal digests are fetched once."""
        if len(digests) == 1:
            rows = await self._rows(connection, self._select_one, (digests[0],))
            return [_row(rows[0]) if rows else None]
        wanted = ",".join(dict.fromkeys(digests))
        rows = await self._rows(connection, self._select, (wanted,))
        found = {row[0]: _row(row) for row in rows}
        return list(map(found.get, digests))

    async def fetch_newest(
        self, connection: Connection, groups: Sequence[tuple[str, ...]]
    ) -> Sequence[Row | None]:
        """Return, of one group of digests, the row of the living session that was created last."""
        (digests,) = groups
        rows = await self._rows(connection, self._select_newest, (",".join(digests),))
        return [_row(rows[0]) if rows else None]

    async def insert(self, connection: Connection, drafts: Sequence[Draft]) -> Sequence[None]:
        """Make rows. All are made or none."""
        cursor = cursor_of(connection)
        if len(drafts) == 1:
            await cursor.execute(self._insert_one, _single(drafts[0]), prepare=self.prepared)
        else:
            await cursor.execute(self._insert, (_batch(drafts),), prepare=self.prepared)
        if cursor.rowcount != len(drafts):
            raise SchemaError(
                "A new session could not be stored: a trigger or a rule on the table keeps its row "
                "out; drop it."
            )
        return [None] * len(drafts)

    async def update(self, connection: Connection, edits: Sequence[Edit]) -> Sequence[bool]:
        """Apply edits, those of one key in order; tell of each whether its session was alive."""
        if len(edits) == 1:
            rows = await self._rows(connection, self._update_one, _single(edits[0]))
            return [bool(rows)]
        composed, in_time = _composed(edits)
        rows = await self._rows(connection, self._update, (_batch(composed),))
        alive = {digest for (digest,) in rows}
        return [
            came_in_time and edit.session_key in alive
            for came_in_time, edit in zip(in_time, edits, strict=True)
        ]

    async def renew(self, connection: Connection, edits: Sequence[Edit]) -> Sequence[bool]:
        """Move rows to their heirs' digests, edited; tell of each whether its session was alive.

        Of several renewals of one key the first gets the session; the others
        find the key dead.
        """
        if len(edits) == 1:
            rows = await self._rows(connection, self._renew_one, _single(edits[0]))
        else:
            first = {edit.session_key: edit for edit in reversed(edits)}
            rows = await self._rows(connection, self._renew, (_batch(list(first.values())),))
        heirs = {heir for (heir,) in rows}
        return [edit.heir in heirs for edit in edits]

    async def delete(self, connection: Connection, digests: Sequence[str]) -> Sequence[None]:
        """Remove the rows that are there.

        Raises `SchemaError` if a row is still there, which row security, a
        trigger or a rule may cause.
        """
        gone = ",".join(dict.fromkeys(digests))
        is_single = len(digests) == 1
        cursor = cursor_of(connection)
        statement = self._delete_one if is_single else self._delete
        await cursor.execute(statement, (gone,), prepare=self.prepared)
        if cursor.rowcount <= gone.count(","):  # fewer than asked for: some were not there
            statement = self._kept_one if is_single else self._kept
            if await self._rows(connection, statement, (gone,)):
                raise _kept()
        return [None] * len(digests)

    async def delete_together(
        self, connection: Connection, groups: Sequence[tuple[str, ...]]
    ) -> Sequence[None]:
        """Remove the rows of one group in one statement. Raises as `delete` does."""
        (digests,) = groups
        await self.delete(connection, digests)
        return [None]

    async def take(
        self, connection: Connection, members: Sequence[tuple[str, str]]
    ) -> Sequence[str | None]:
        """Remove one member, given as digest and name; return its JSON text, or None."""
        ((digest, name),) = members
        rows = await self._rows(connection, self._take, {"key": digest, "name": name})
        return [rows[0][0] if rows else None]

    async def delete_empty(
        self, connection: Connection, digests: Sequence[str]
    ) -> Sequence[bool | None]:
        """Remove one row if it holds nothing; tell whether it did, or None if none was alive.

        Raises `SchemaError` as `delete` does.
        """
        (digest,) = digests
        rows = await self._rows(connection, self._delete_empty, (digest,))
        if not rows:
            return [None]
        [(is_empty, is_gone)] = rows
        if is_empty and not is_gone:
            raise _kept()
        return [is_empty]

    async def _rows(
        self,
        connection: Connection,
        statement: bytes,
        arguments: Sequence[object] | Mapping[str, object],
    ) -> list[TupleRow]:
        cursor = cursor_of(connection)
        await cursor.execute(statement, arguments, prepare=self.prepared)
        return await cursor.fetchall()


#: As `Row._make`, but faster: it runs once for each session that is read.
_row: Final = partial(tuple.__new__, Row)


def _written(statement: str, *, table: sql.Identifier, clock: str, **rows: str) -> bytes:
    """Return a statement with its parts filled in. All of them are constants of this module."""
    for part, text in (*_PARTS, *rows.items(), ("farthest", _FARTHEST)):
        statement = statement.replace("{" + part + "}", text)
    # The name comes last, as it may hold anything, and in one pass. A % in it must not start a
    # parameter.
    statement = statement.replace("pg_catalog.now()", f"pg_catalog.{clock}()")
    name = table.as_string()
    names = {"{table}": name, "{name}": sql.Literal(name).as_string()}
    written = re.sub(
        r"\{table\}|\{name\}", lambda match: names[match[0]].replace("%", "%%"), statement
    )
    return written.encode()


def _kept() -> SchemaError:
    return SchemaError(
        "A session could not be removed: row security, a trigger or a rule on the table keeps its "
        "row; drop it."
    )


def _single(record: Draft | Edit) -> dict[str, object]:
    """Return a record as parameters. JSON is passed as text: bytes would become bytea."""
    parameters = msgspec.structs.asdict(record)
    for name, part in parameters.items():
        if isinstance(part, msgspec.Raw):
            parameters[name] = bytes(part).decode("utf-8")
        elif isinstance(part, tuple):
            parameters[name] = list(part)
    return parameters


def _composed(edits: Sequence[Edit]) -> tuple[list[Edit], list[bool]]:
    """Make one edit of those of each key; tell of each whether the session still lived then."""
    composed: dict[str, Edit] = {}
    in_time: list[bool] = []
    for edit in edits:
        earlier = composed.get(edit.session_key)
        in_time.append(earlier is None or not earlier.ends)
        if earlier is None:
            composed[edit.session_key] = edit
        elif not earlier.ends:
            composed[edit.session_key] = earlier.then(edit)
    return list(composed.values()), in_time


def _batch(records: Sequence[Draft] | Sequence[Edit]) -> str:
    """Write records as one JSON text, in key order, so that all batches lock rows alike."""
    return encode_text(sorted(records, key=attrgetter("session_key"))).decode("utf-8")
