"""The statements that read sessions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Final

from psycopg.rows import TupleRow

from pgsession.core.keys import KeyDigest
from pgsession.core.period import MAX_PERIOD
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.connections.lone import Question
from pgsession.postgres.rows import Row
from pgsession.postgres.statements.text import HAS_DEVICE, IS_BOUND, Statements, Wording

# Periods are read as whole microseconds: how a float is written depends on extra_float_digits.
# Dates that applications set are limited before the subtraction, which 'infinity' does not allow.
_SELECT: Final = """
SELECT
    s.session_key::pg_catalog.text AS session_key,
    s.verifier::pg_catalog.text AS verifier,
    s.session_data::pg_catalog.text AS session_data,
    {remaining} AS remaining,
    {more} AS more
FROM {table} AS s
WHERE s.session_key {is_wanted}
  AND {living}
"""

# One lookup for each key, which the hash index serves: a lookup there reads one page, where the
# primary key's index has three or four in a large table. ANY could use the hash index only through
# a bitmap. OFFSET keeps the planner from joining in another way, and costs nothing.
_SELECT_EACH: Final = """
SELECT r.session_key, r.verifier, r.session_data, r.remaining, r.more
FROM pg_catalog.unnest(
    pg_catalog.string_to_array(%s::pg_catalog.text, ',')
) AS k (key)
CROSS JOIN LATERAL ({select}OFFSET 0
) AS r
""".replace("{select}", _SELECT)

# Of several sessions, the one that was created last comes first.
_SELECT_NEWEST: Final = _SELECT + "ORDER BY s.created_on DESC NULLS LAST, s.session_key\n"

_MICROSECONDS: Final = """(pg_catalog.date_part('epoch', {interval})
        OPERATOR(pg_catalog.*) 1000000::pg_catalog.float8)::pg_catalog.int8"""

_REMAINING: Final = """least(
            s.expire_date,
            pg_catalog.now() OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => {farthest})
        ) OPERATOR(pg_catalog.-) pg_catalog.now()"""

_AGE: Final = """pg_catalog.now() OPERATOR(pg_catalog.-) least(
            pg_catalog.now(),
            greatest(
                s.created_on,
                pg_catalog.now()
                    OPERATOR(pg_catalog.-) pg_catalog.make_interval(secs => {farthest})
            )
        )"""

# All that most sessions lack, in one column that is NULL for them: each column costs a statement
# for one session half a microsecond, and each function in it a fifth.
_MORE: Final = """CASE WHEN {has_more} THEN pg_catalog.json_build_array(
        {user},
        s.key_number,
        {granted},
        {age},
        {idle},
        {shown_for}
    )::pg_catalog.text END"""

_HAS_MORE: Final = """s.user_id IS NOT NULL
        OR s.period IS NOT NULL
        OR s.shown_on IS NOT NULL
        OR s.key_number OPERATOR(pg_catalog.<>) 0"""

_USER: Final = """CASE WHEN s.user_id IS NOT NULL THEN pg_catalog.json_build_array(
            s.user_id,
            {since},
            {for},
            s.login_number,
            s.login_stamp,
            s.login_label,
            s.login_actor,
            {is_bound},
            CASE WHEN {has_device}
                THEN pg_catalog.date_part('epoch', pg_catalog.now())::pg_catalog.int8
            END
        ) END"""

# Neither Python nor a subtraction has 'infinity', and Python ends with the year 9999.
_PAST: Final = """least(
            greatest({moment}, '1970-01-01 00:00:00+00'::timestamp with time zone),
            pg_catalog.now()
        )"""

#: When the user of a row has last proved who they are. Applications may set user_id themselves.
SINCE: Final = "coalesce(s.login_on, s.created_on)"

_AMONG: Final = "OPERATOR(pg_catalog.=) ANY (pg_catalog.string_to_array(%s::pg_catalog.text, ','))"
_EQUAL: Final = "OPERATOR(pg_catalog.=) %s::pg_catalog.text"
_EACH: Final = "OPERATOR(pg_catalog.=) k.key"


class Reading(Statements):
    """Reads rows. It waits for no other transaction."""

    def reword(self, wording: Wording) -> None:
        super().reword(wording)
        has_limit = not (wording.max_lifetime is wording.max_inactivity is None)
        write = partial(
            wording.write,
            remaining=microseconds(_REMAINING),
            more=_MORE,
            has_more="true" if has_limit else _HAS_MORE,
            granted=microseconds("s.period"),
            # Ages are computed only where they are needed: each costs a tenth of the statement.
            age="NULL::pg_catalog.int8" if wording.max_lifetime is None else microseconds(_AGE),
            idle=_if_shown(_age("s.seen_on"))
            if wording.max_inactivity is None
            else _age("s.seen_on"),
            shown_for=_if_shown(_age("s.shown_on")),
            user=_USER.replace("{since}", microseconds(past(SINCE))).replace("{for}", _age(SINCE)),
            is_bound=IS_BOUND,
            has_device=HAS_DEVICE,
            farthest=str(MAX_PERIOD.total_seconds()),
        )
        # Citus sends ANY only to the nodes that have one of the keys, but a join to all.
        self._select = (
            write(_SELECT, is_wanted=_AMONG)
            if wording.is_distributed
            else write(_SELECT_EACH, is_wanted=_EACH)
        )
        self._select_one = write(_SELECT, is_wanted=_EQUAL)
        self._select_newest = write(_SELECT_NEWEST, is_wanted=_AMONG)

    async def fetch(
        self, connection: Connection, keys: Sequence[KeyDigest]
    ) -> Sequence[Row | None]:
        """Return the row of each key that is alive. Equal selectors are fetched once."""
        if len(keys) == 1:
            statement, arguments, read = self.single(keys[0])
            return [read(await self._rows(connection, statement, arguments))]
        wanted = ",".join(dict.fromkeys(selector for selector, _ in keys))
        rows = await self._rows(connection, self._select, (wanted,))
        found = {row[:2]: _row(row) for row in rows}
        return list(map(found.get, keys))

    def single(self, key: KeyDigest) -> Question[Row | None]:
        """Return the statement that fetches one row."""
        selector, verifier = key
        return Question(self._select_one, (selector,), partial(_with_verifier, verifier))

    async def fetch_newest(
        self, connection: Connection, groups: Sequence[tuple[KeyDigest, ...]]
    ) -> Sequence[Row | None]:
        """Return, of one group of keys, the row of the living session that was created last."""
        (keys,) = groups
        wanted = ",".join(selector for selector, _ in keys)
        rows = await self._rows(connection, self._select_newest, (wanted,))
        return [next(_of(keys, rows), None)]


def _with_verifier(verifier: str | None, rows: Sequence[TupleRow]) -> Row | None:
    return _row(rows[0]) if rows and rows[0][1] == verifier else None


def _of(keys: Collection[tuple[str, str | None]], rows: Iterable[TupleRow]) -> Iterator[Row]:
    return (_row(row) for row in rows if row[:2] in keys)


#: As `Row._make`, but faster: it runs once for each session that is read.
_row: Final = partial(tuple.__new__, Row)


def _age(moment: str) -> str:
    return microseconds(f"pg_catalog.now() OPERATOR(pg_catalog.-) {past(moment)}")


def _if_shown(expression: str) -> str:
    return f"CASE WHEN s.shown_on IS NOT NULL THEN {expression} END"


def past(moment: str) -> str:
    """Return the expression for a moment that is over: between 1970 and now, as near as can be.

    Applications may set any date.
    """
    return _PAST.replace("{moment}", moment)


def microseconds(interval: str) -> str:
    """Return the expression for an interval, or for a moment since 1970, in microseconds."""
    return _MICROSECONDS.replace("{interval}", interval)
