"""The session table: every statement on it, each for many keys and none with a lock across rows.

The rules of each statement: keyed by ``session_key``, explicit columns with
casts, ``expire_date > now()`` wherever a living session is meant, expiries
reckoned by the database in seconds, never an upsert, never an UPDATE of the
key. A distributed engine takes them as they are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from operator import itemgetter
from typing import Any, Final, LiteralString, NamedTuple

from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow, tuple_row

from pgsession.errors import InvalidValueError
from pgsession.period import MAX_PERIOD
from pgsession.schema import qualified
from pgsession.store import Entry
from pgsession.value import decode_members, decode_value, embed, encode_text

_LOGGER = logging.getLogger("pgsession")
_FARTHEST: Final = sql.Literal(MAX_PERIOD.total_seconds())

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
WHERE session_key = ANY(%s::text[])
  AND expire_date > now()
"""

_INSERT = """
INSERT INTO {table} (session_key, session_data, expire_date, period, final_date)
SELECT
    o.session_key,
    o.session_data,
    now() + make_interval(secs => least(o.seconds, o.lifetime)),
    CASE WHEN o.granted THEN make_interval(secs => o.seconds) END,
    now() + make_interval(secs => o.lifetime)
FROM jsonb_to_recordset(%s::jsonb) AS o (
    session_key text,
    session_data jsonb,
    seconds float8,
    granted boolean,
    lifetime float8
)
"""

_UPDATE = """
WITH offered AS MATERIALIZED (
    SELECT
        session_key,
        changed,
        removed,
        replaced,
        granted,
        make_interval(secs => own) AS period,
        now() + make_interval(secs => seconds) AS expire_date
    FROM jsonb_to_recordset(%s::jsonb) AS r (
        session_key text,
        changed jsonb,
        removed text[],
        replaced boolean,
        seconds float8,
        granted boolean,
        own float8
    )
)
UPDATE {table} AS s
SET session_data = CASE
        WHEN o.changed IS NULL THEN s.session_data
        WHEN o.replaced THEN o.changed
        ELSE (coalesce(s.session_data, '{{}}'::jsonb) - o.removed) || o.changed
    END,
    expire_date = CASE
        WHEN o.expire_date IS NULL THEN s.expire_date
        ELSE least(o.expire_date, s.final_date)
    END,
    period = CASE
        WHEN o.granted THEN o.period
        ELSE s.period
    END
FROM offered AS o
WHERE s.session_key = o.session_key
  AND s.expire_date > now()
RETURNING s.session_key::text
"""

# The row moves: DELETE waits for a writer under way and hands on what that one left.
_RENEW = """
WITH offered AS MATERIALIZED (
    SELECT
        session_key,
        heir,
        changed,
        removed,
        replaced,
        granted,
        make_interval(secs => own) AS period,
        now() + make_interval(secs => seconds) AS expire_date
    FROM jsonb_to_recordset(%s::jsonb) AS r (
        session_key text,
        heir text,
        changed jsonb,
        removed text[],
        replaced boolean,
        seconds float8,
        granted boolean,
        own float8
    )
), old AS (
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
    CASE
        WHEN o.changed IS NULL THEN old.session_data
        WHEN o.replaced THEN o.changed
        ELSE (coalesce(old.session_data, '{{}}'::jsonb) - o.removed) || o.changed
    END,
    CASE
        WHEN o.expire_date IS NULL THEN old.expire_date
        ELSE least(o.expire_date, old.final_date)
    END,
    old.created_on,
    CASE
        WHEN o.granted THEN o.period
        ELSE old.period
    END,
    old.final_date,
    old.user_id
FROM old
JOIN offered AS o ON o.session_key = old.session_key
RETURNING session_key::text
"""

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
WHERE session_key = ANY(%s::text[])
"""

# One row, locked before it is looked at: what others do to it is done, or waits.
_DELETE_EMPTY = """
WITH held AS MATERIALIZED (
    SELECT
        session_key,
        coalesce(session_data, '{{}}'::jsonb) = '{{}}'::jsonb AS is_empty
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A row to be made. `session_key` is a digest."""

    session_key: str
    text: bytes | None
    period: timedelta
    granted: bool
    lifetime: timedelta | None

    def document(self) -> dict[str, Any]:
        """Return the record that the INSERT reads."""
        return {
            "session_key": self.session_key,
            "session_data": None if self.text is None else embed(self.text),
            "seconds": self.period.total_seconds(),
            "granted": self.granted,
            "lifetime": None if self.lifetime is None else self.lifetime.total_seconds(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What to do to a living row. `session_key` and `heir` are digests; None leaves a thing be."""

    session_key: str
    text: bytes | None = None
    removed: Iterable[str] = ()
    replaced: bool = False
    period: timedelta | None = None
    #: Whether `own` becomes the period that the session has of its own, None for none.
    granted: bool = False
    own: timedelta | None = None
    heir: str | None = None

    def sliding(self, period: timedelta | None, *, granted: bool | None) -> Edit:
        """Return this edit with the expiry moved too, as the store's contract has it."""
        if period is None:
            return self
        own = period if granted else None
        return replace(self, period=period, granted=granted is not None, own=own)

    def then(self, later: Edit) -> Edit:
        """Return the one edit that does what this and then `later`, of the same key, would do."""
        granting = later if later.granted else self
        text, removed, replaced = self.text, frozenset(self.removed), self.replaced
        if later.text is not None:
            members = {} if text is None or later.replaced else decode_members(text)
            for name in later.removed:
                members.pop(name, None)
            added = decode_members(later.text)
            text = encode_text(members | added)
            removed = (removed | frozenset(later.removed)) - added.keys()
            replaced = replaced or later.replaced
        return replace(
            self,
            text=text,
            removed=tuple(removed),
            replaced=replaced,
            period=self.period if later.period is None else later.period,
            granted=granting.granted,
            own=granting.own,
        )

    def document(self) -> dict[str, Any]:
        """Return the record that the UPDATE or the renewal reads."""
        return {
            "session_key": self.session_key,
            "changed": None if self.text is None else embed(self.text),
            "removed": list(self.removed),
            "replaced": self.replaced,
            "seconds": None if self.period is None else self.period.total_seconds(),
            "granted": self.granted,
            "own": None if self.own is None else self.own.total_seconds(),
            "heir": self.heir,
        }


class Row(NamedTuple):
    """What is read of a living session, still as text."""

    text: str | None
    seconds: float
    granted: float | None
    lifetime: float | None

    def entry(self) -> Entry | None:
        """Return a fresh entry, or None, with a logged error, if the text cannot be read."""
        try:
            value = None if self.text is None else decode_value(self.text)
        except InvalidValueError:
            # Without the traceback: what cannot be read must not be shown either.
            _LOGGER.error(  # noqa: TRY400
                "A stored session cannot be read and counts as gone; its row is kept."
            )
            return None
        return Entry(
            value=value,
            period=timedelta(seconds=self.seconds),
            granted=None if self.granted is None else timedelta(seconds=self.granted),
            lifetime=None if self.lifetime is None else timedelta(seconds=self.lifetime),
        )


class Table:
    """The statements, written for one table in one schema.

    Methods take digests, never keys, and a connection that is theirs for the
    time of the call; each is one statement. They raise what psycopg raises.

    In a transaction `now` is when it began, which may be long ago: there,
    `clock` is "statement_timestamp()".
    """

    def __init__(
        self, *, schema: str | None, prepared: bool, clock: LiteralString = "now()"
    ) -> None:
        name = qualified(schema, "session")
        self._prepared = prepared
        self._select = _written(_SELECT, name, clock)
        self._insert = _written(_INSERT, name, clock)
        self._update = _written(_UPDATE, name, clock)
        self._renew = _written(_RENEW, name, clock)
        self._take = _written(_TAKE, name, clock)
        self._delete = _written(_DELETE, name, clock)
        self._delete_empty = _written(_DELETE_EMPTY, name, clock)

    async def fetch(
        self, connection: AsyncConnection[Any], digests: Sequence[str]
    ) -> dict[str, Row]:
        """Return the rows of the living sessions among `digests`."""
        rows = await self._rows(connection, self._select, (list(digests),))
        return {digest: Row(*row) for digest, *row in rows}

    async def insert(self, connection: AsyncConnection[Any], drafts: Sequence[Draft]) -> None:
        """Make rows. All are made or none."""
        await self._execute(connection, self._insert, (_documents(drafts),))

    async def update(self, connection: AsyncConnection[Any], edits: Sequence[Edit]) -> set[str]:
        """Apply at most one edit a key; return the digests that were alive."""
        rows = await self._rows(connection, self._update, (_documents(edits),))
        return {digest for (digest,) in rows}

    async def renew(self, connection: AsyncConnection[Any], edits: Sequence[Edit]) -> set[str]:
        """Move rows to their heirs' digests, edited; return the heirs that came to be."""
        rows = await self._rows(connection, self._renew, (_documents(edits),))
        return {digest for (digest,) in rows}

    async def take(self, connection: AsyncConnection[Any], digest: str, name: str) -> str | None:
        """Remove a member; return its JSON text, or None if there was none."""
        rows = await self._rows(connection, self._take, {"key": digest, "name": name})
        return rows[0][0] if rows else None

    async def delete(self, connection: AsyncConnection[Any], digests: Sequence[str]) -> None:
        """Remove rows, those that are there."""
        await self._execute(connection, self._delete, (list(digests),))

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
        async with connection.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(statement, arguments, prepare=self._prepared)
            return await cursor.fetchall()

    async def _execute(
        self,
        connection: AsyncConnection[Any],
        statement: bytes,
        arguments: Sequence[object] | Mapping[str, object],
    ) -> None:
        await connection.execute(statement, arguments, prepare=self._prepared)


def _written(statement: LiteralString, table: sql.Identifier, clock: LiteralString) -> bytes:
    timed = statement.replace("now()", clock)
    return sql.SQL(timed).format(table=table, farthest=_FARTHEST).as_bytes()


def _documents(records: Sequence[Draft] | Sequence[Edit]) -> str:
    """Write records as one JSON text, in key order, so that batches meet rows alike."""
    documents = [record.document() for record in records]
    return encode_text(sorted(documents, key=itemgetter("session_key"))).decode("utf-8")
