"""The sessions in the table, counted: for ``pgsession stats`` and ``pgsession revoke``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from psycopg.errors import QueryCanceled
from psycopg.rows import class_row, scalar_row

from pgsession.core.adoption import MARKER
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.connections.statement import Statement
from pgsession.postgres.statements.reading import past
from pgsession.postgres.statements.text import IS_BOUND, Wording
from pgsession.postgres.table_name import catalog_cursor

# The marker of an adopted session is none.
_IS_SESSION: Final = "coalesce(s.verifier, '') OPERATOR(pg_catalog.<>) '{marker}'"

_COUNT: Final = """
SELECT pg_catalog.count(*)
FROM {table} AS s
WHERE {living}
  AND {is_session}
"""

_COUNTS: Final = """
SELECT
    count(*) FILTER (WHERE is_living) AS living,
    count(*) FILTER (WHERE is_living AND user_id IS NOT NULL) AS signed_in,
    count(*) FILTER (WHERE is_living AND user_id IS NULL) AS visitors,
    count(*) FILTER (WHERE is_living AND is_bound) AS bound,
    count(*) FILTER (WHERE is_living AND login_actor IS NOT NULL) AS impersonated,
    count(DISTINCT user_id) FILTER (WHERE is_living) AS users,
    count(*) FILTER (WHERE is_session AND NOT is_living) AS expired,
    count(*) FILTER (WHERE NOT is_session) AS adopted,
    min(created_on) FILTER (WHERE is_living) AS oldest_created_at,
    min(ends_on) FILTER (WHERE is_session AND NOT is_living) AS longest_expired_at
FROM (
    SELECT
        s.user_id,
        s.login_actor,
        {created} AS created_on,
        {ended} AS ends_on,
        {is_bound} AS is_bound,
        ({living}) AND {is_session} AS is_living,
        {is_session} AS is_session
    FROM {table} AS s
) AS s
"""

_TOP: Final = """
SELECT s.user_id, count(*) AS sessions, {seen} AS last_seen_at
FROM {table} AS s
WHERE {living}
  AND {is_session}
  AND s.user_id IS NOT NULL
GROUP BY s.user_id
ORDER BY count(*) DESC, s.user_id
LIMIT %(most)s::int8
"""

_ESTIMATE: Final[LiteralString] = """
SELECT coalesce(sum(greatest(reltuples, 0)), 0)::int8
FROM pg_class
WHERE oid = ANY (%(parts)s::int8[]::oid[])
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """The sessions in the table, counted. Markers of adopted sessions are none."""

    living: int
    signed_in: int
    visitors: int
    bound: int
    impersonated: int
    users: int
    expired: int
    #: The markers: how many old sessions were taken over and are remembered.
    adopted: int
    #: When the living session that was generated or signed in to first was.
    oldest_created_at: datetime | None
    longest_expired_at: datetime | None


@dataclass(frozen=True, slots=True)
class TopUser:
    """A user, and how many living sessions they have."""

    user_id: str
    sessions: int
    last_seen_at: datetime


async def read_counts(connection: Connection, wording: Wording, *, timeout: float) -> Counts | None:
    """Count the sessions, or return None if that takes longer than `timeout` seconds."""
    statement = _written(wording, _COUNTS)
    try:
        async with catalog_cursor(connection, class_row(Counts)) as cursor:
            await cursor.execute(_LIMITED, (f"{timeout:.3f}s",))
            await cursor.execute(statement, (), prepare=False)
            [counts] = await cursor.fetchall()
    except QueryCanceled:
        return None
    return counts


async def read_top(
    connection: Connection, wording: Wording, *, most: int, timeout: float
) -> list[TopUser] | None:
    """Return the users with the `most` sessions, or None if that takes too long."""
    try:
        async with catalog_cursor(connection, class_row(TopUser)) as cursor:
            await cursor.execute(_LIMITED, (f"{timeout:.3f}s",))
            await cursor.execute(
                _written(wording, _TOP),
                {"most": most},
                prepare=False,
            )
            return await cursor.fetchall()
    except QueryCanceled:
        return None


async def count_living(
    connection: Connection, wording: Wording, parts: Sequence[int], *, timeout: float
) -> tuple[int, bool]:
    """Count the living sessions; or, if that takes too long, estimate the rows. Tell which."""
    try:
        async with catalog_cursor(connection, scalar_row) as cursor:
            await cursor.execute(_LIMITED, (f"{timeout:.3f}s",))
            await cursor.execute(_written(wording, _COUNT), (), prepare=False)
            [number] = await cursor.fetchall()
            return number, True
    except QueryCanceled:
        async with catalog_cursor(connection, scalar_row) as cursor:
            await cursor.execute(_ESTIMATE, {"parts": parts})
            [number] = await cursor.fetchall()
            return number, False


_LIMITED: Final[LiteralString] = """
SELECT set_config('statement_timeout', %s, true), set_config('TimeZone', 'UTC', true)
"""


def _written(wording: Wording, statement: str) -> Statement:
    return wording.write(
        statement,
        created=past("s.created_on"),
        ended=past(wording.end("s")),
        seen=past("max(s.seen_on)"),
        is_bound=IS_BOUND,
        is_session=_IS_SESSION,
        marker=MARKER,
    )
