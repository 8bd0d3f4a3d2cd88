"""The statements that change sessions: their values, expiries and verifiers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final, TypeAlias

import psycopg
from psycopg.errors import LockNotAvailable

from pgsession.errors import SessionError, ValueTooLargeError
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.connections.failures import Verdict, judge, translated
from pgsession.postgres.locked_rows import LOCKED, Locked
from pgsession.postgres.rows import Edit, Edited
from pgsession.postgres.statements.text import SHORT_PATIENCE, Statements, Wording, batch, single

#: What became of an edit: it is done, its key is dead, its row is locked, or it is refused.
_Answer: TypeAlias = Edited | Locked | SessionError | None

# Many members are looked up in an object, as the operator would compare each with each.
_OFFERED: Final = """
WITH offered AS MATERIALIZED (
    SELECT
        e.session_key,
        e.verifier,
        e.heir,
        e.changed,
        coalesce(e.removed, '{}') AS removed,
        CASE WHEN pg_catalog.cardinality(e.removed) OPERATOR(pg_catalog.>) 100
            THEN pg_catalog.jsonb_object(e.removed, e.removed)
        END AS many_removed,
        e.replaced,
        coalesce(e.size, 0) AS size,
        e.granted,
        pg_catalog.make_interval(secs => e.own) AS period,
        e.seconds,
        e.granted IS TRUE OR e.seconds OPERATOR(pg_catalog.<=) 0::pg_catalog.float8 AS is_exact,
        pg_catalog.now() AS seen_on,
        pg_catalog.date_part('epoch', pg_catalog.now()) AS epoch
    FROM {edits}
    WHERE {patiently}
)"""

_MERGED: Final = """CASE
        WHEN o.changed IS NULL THEN s.session_data
        WHEN o.replaced THEN o.changed
        WHEN o.many_removed IS NULL THEN
            (coalesce(s.session_data, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) o.removed)
                OPERATOR(pg_catalog.||) o.changed
        ELSE (
            SELECT coalesce(pg_catalog.jsonb_object_agg(m.key, m.value), '{}'::pg_catalog.jsonb)
            FROM pg_catalog.jsonb_each(s.session_data) AS m
            WHERE NOT o.many_removed OPERATOR(pg_catalog.?) m.key
        ) OPERATOR(pg_catalog.||) o.changed
    END"""

# No fewer bytes than PostgreSQL prints of the merged value. To measure the text costs more than
# the change itself, so it is measured only where this bound exceeds the limit.
_BOUND: Final = """CASE
        WHEN o.replaced THEN o.size
        ELSE coalesce(
            s.size_bound,
            pg_catalog.octet_length(s.session_data::pg_catalog.text),
            2
        ) OPERATOR(pg_catalog.+) o.size
    END"""

_FITS: Final = """(
      o.size OPERATOR(pg_catalog.=) 0
      OR {bound} OPERATOR(pg_catalog.<=) {limit}
  )"""

_MEASURE: Final = "pg_catalog.octet_length(({merged})::pg_catalog.text)"

# A session that is above the limit, as that was lowered, takes what does not make it larger.
_FITS_MEASURED: Final = """{measure} OPERATOR(pg_catalog.<=) greatest(
      {limit},
      pg_catalog.octet_length(s.session_data::pg_catalog.text)
  )"""

# The period is the row's own, and not the one that a request has loaded: another request may
# have set it since.
_CHANGES: Final = """
SET session_data = {merged},
    expire_date = CASE
        WHEN o.seconds IS NULL THEN s.expire_date
        WHEN o.is_exact OR s.period IS NULL
            THEN pg_catalog.to_timestamp(o.epoch OPERATOR(pg_catalog.+) o.seconds)
        ELSE pg_catalog.to_timestamp(
            o.epoch OPERATOR(pg_catalog.+) pg_catalog.date_part('epoch', s.period)
        )
    END,
    seen_on = CASE WHEN o.seconds IS NULL THEN s.seen_on ELSE o.seen_on END,
    period = CASE WHEN o.granted THEN o.period ELSE s.period END,
    size_bound = {new_bound},
    verifier = coalesce(o.heir, s.verifier),
    key_number = CASE WHEN o.heir IS NULL THEN s.key_number ELSE 0 END,
    shown_on = CASE WHEN o.heir IS NULL THEN s.shown_on END"""

_MATCHING: Final = """s.session_key OPERATOR(pg_catalog.=) o.session_key
  AND coalesce(s.verifier, '') OPERATOR(pg_catalog.=) coalesce(o.verifier, '')
  AND {living}"""

_WRITTEN: Final = """
RETURNING
    s.session_key::pg_catalog.text,
    (pg_catalog.date_part('epoch', s.period)
        OPERATOR(pg_catalog.*) 1000000::pg_catalog.float8)::pg_catalog.int8,
    s.key_number::pg_catalog.int4
"""

_UPDATE: Final = """{offered}
UPDATE {table} AS s{changes}
FROM offered AS o
WHERE {matching}{direct}
  AND {fits}{written}"""

# Rows are locked in the order of the batch. Those that another transaction holds are left out.
_UPDATE_FREE: Final = """{offered}, free AS MATERIALIZED (
    SELECT s.session_key
    FROM {table} AS s
    JOIN offered AS o ON {matching}{direct}
    ORDER BY s.session_key
    FOR NO KEY UPDATE OF s SKIP LOCKED
)
UPDATE {table} AS s{changes}
FROM offered AS o
JOIN free AS f ON f.session_key OPERATOR(pg_catalog.=) o.session_key
WHERE {matching}{direct}
  AND {fits}{written}"""

# Reads what could not be changed: whether it fits.
_STANDING: Final = """{offered}
SELECT s.session_key::pg_catalog.text, {fits}, {fits_measured}
FROM {table} AS s
JOIN offered AS o ON {matching}{direct}
"""

_EDITS: Final = """pg_catalog.jsonb_to_recordset(%s::pg_catalog.jsonb) AS e (
    session_key pg_catalog.text,
    verifier pg_catalog.text,
    changed pg_catalog.jsonb,
    removed pg_catalog.text[],
    replaced pg_catalog.bool,
    size pg_catalog.int4,
    seconds pg_catalog.float8,
    granted pg_catalog.bool,
    own pg_catalog.float8,
    heir pg_catalog.text
)"""

_EDIT: Final = """(
    SELECT
        %(session_key)s::pg_catalog.text AS session_key,
        %(verifier)s::pg_catalog.text AS verifier,
        %(changed)s::pg_catalog.jsonb AS changed,
        %(removed)s::pg_catalog.text[] AS removed,
        %(replaced)s::pg_catalog.bool AS replaced,
        %(size)s::pg_catalog.int4 AS size,
        %(seconds)s::pg_catalog.float8 AS seconds,
        %(granted)s::pg_catalog.bool AS granted,
        %(own)s::pg_catalog.float8 AS own,
        %(heir)s::pg_catalog.text AS heir
) AS e"""

# A distributed table is asked on one node then.
_DIRECT: Final = """
  AND s.session_key OPERATOR(pg_catalog.=) %(session_key)s::pg_catalog.text"""


class Editing(Statements):
    """Changes rows.

    No statement has two edits that may match one row: of those with one
    selector and different verifiers only the first is sent, and the others are
    answered with `LOCKED`.
    """

    def reword(self, wording: Wording) -> None:
        super().reword(wording)
        write = partial(_write, wording)
        self._update = write(_UPDATE)
        self._update_one = write(_UPDATE, edits=_EDIT, direct=_DIRECT)
        self._update_free = write(_UPDATE_FREE, patience=SHORT_PATIENCE)
        self._update_one_free = write(
            _UPDATE_FREE, edits=_EDIT, direct=_DIRECT, patience=SHORT_PATIENCE
        )
        measuring = partial(
            write, edits=_EDIT, direct=_DIRECT, fits=_FITS_MEASURED, new_bound=_MEASURE
        )
        self._update_measured = measuring(_UPDATE)
        self._update_measured_free = measuring(_UPDATE_FREE, patience=SHORT_PATIENCE)
        self._standing = write(_STANDING)
        self._standing_one = write(_STANDING, edits=_EDIT, direct=_DIRECT)

    async def edit(
        self, connection: Connection, edits: Sequence[Edit], *, skipping: bool = False
    ) -> Sequence[_Answer]:
        """Apply edits, those of one key in order; tell of each what became of it.

        An edit that would take its session past the limit is refused alone, with
        `ValueTooLargeError` as its answer. With `skipping` rows that are locked
        are left out, and answered with `LOCKED`.
        """
        if len({edit.session_key for edit in edits}) == len(edits):  # nearly always
            written = await self._update_all(connection, edits, skipping=skipping)
            if len(written) == len(edits):
                return [written[edit.session_key] for edit in edits]
            groups = {edit.session_key: [edit] for edit in edits}
        else:
            groups = _grouped(edits)
            composed = list(map(_composed, groups.values()))
            written = await self._update_all(connection, composed, skipping=skipping)
        answers = await self._answers(connection, groups, written, skipping=skipping)
        return [
            answers[edit.session_key].popleft()
            if edit.verifier == groups[edit.session_key][0].verifier
            else LOCKED
            for edit in edits
        ]

    async def _answers(
        self,
        connection: Connection,
        groups: dict[str, list[Edit]],
        written: dict[str, Edited],
        *,
        skipping: bool,
    ) -> dict[str, deque[_Answer]]:
        """Return the answers to the edits of each selector, given those that were written."""
        left = [
            _composed(group) for group in groups.values() if group[0].session_key not in written
        ]
        asked = [edit for edit in left if skipping or edit.size]  # of the others the key is dead
        has_changed = bool(written)
        try:
            standing = await self._stand(connection, asked) if asked else {}
        except psycopg.Error:
            if not has_changed:
                raise
            standing = {edit.session_key: _UNKNOWN for edit in asked}
        answers: dict[str, deque[_Answer]] = {}
        for selector, group in groups.items():
            fits = standing.get(selector)
            if fits is None:
                answer = written.get(selector)
                answers[selector] = deque(None if late else answer for late in _late(group))
            elif fits[0]:
                answers[selector] = deque([LOCKED] * len(group))
            else:
                singly = await self._edit_singly(
                    connection, group, skipping=skipping, has_changed=has_changed
                )
                answers[selector] = deque(singly)
                has_changed = has_changed or any(isinstance(each, Edited) for each in singly)
        return answers

    async def _update_all(
        self, connection: Connection, edits: Sequence[Edit], *, skipping: bool
    ) -> dict[str, Edited]:
        if len(edits) == 1:
            statement = self._update_one_free if skipping else self._update_one
            cursor = await self._locking(connection, statement, single(edits[0]), skipping=skipping)
        else:
            statement = self._update_free if skipping else self._update
            cursor = await self._locking(connection, statement, (batch(edits),), skipping=skipping)
        rows = await cursor.fetchall()
        return {row[0]: _edited(row) for row in rows}

    async def _stand(
        self, connection: Connection, edits: Sequence[Edit]
    ) -> dict[str, tuple[bool, bool]]:
        """Return the selectors that live, each with whether its edit fits: as estimated, really."""
        if len(edits) == 1:
            rows = await self._rows(connection, self._standing_one, single(edits[0]))
        else:
            rows = await self._rows(connection, self._standing, (batch(edits),))
        return {selector: (fits, fits_measured) for selector, fits, fits_measured in rows}

    async def _edit_singly(
        self, connection: Connection, edits: Sequence[Edit], *, skipping: bool, has_changed: bool
    ) -> list[_Answer]:
        """Apply the edits of one key one by one, each measured.

        If the batch has changed anything, it raises nothing: that is committed.
        """
        answers: list[_Answer] = []
        for edit in edits:
            try:
                answers.append(await self._edit_measured(connection, edit, skipping=skipping))
            except LockNotAvailable:
                answers.append(LOCKED)
            except psycopg.Error as error:
                if judge(error) not in _UNDONE:
                    answers.append(translated(error))
                elif has_changed:
                    answers.append(LOCKED)
                else:
                    raise
            has_changed = has_changed or isinstance(answers[-1], Edited)
        return answers

    async def _edit_measured(
        self, connection: Connection, edit: Edit, *, skipping: bool
    ) -> _Answer:
        statement = self._update_measured_free if skipping else self._update_measured
        cursor = await self._locking(connection, statement, single(edit), skipping=skipping)
        if row := await cursor.fetchone():
            return _edited(row)
        fits = (await self._stand(connection, [edit])).get(edit.session_key)
        if fits is None:
            return None
        return LOCKED if fits[1] else ValueTooLargeError(_TOO_LARGE)


#: What is not known of an edit: its row is asked again, as if it was locked.
_UNKNOWN: Final = (True, True)

#: A statement that fails so was not executed. Alone in its batch it is tried again at once.
_UNDONE: Final = frozenset({Verdict.STALE, Verdict.ROLLED_BACK, Verdict.ASTRAY})

#: As `Edited._make`, but faster: it runs once for each session that is changed.
_edited: Final = partial(tuple.__new__, Edited)

_TOO_LARGE: Final = (
    "The session would be larger than value_limit, as other requests have added to it. Keep large "
    "data in a table of its own and its key in the session."
)


def _grouped(edits: Iterable[Edit]) -> dict[str, list[Edit]]:
    """Return the edits of each selector that have the verifier of its first edit, in order."""
    groups: dict[str, list[Edit]] = {}
    for edit in edits:
        group = groups.setdefault(edit.session_key, [])
        if not group or group[0].verifier == edit.verifier:
            group.append(edit)
    return groups


def _composed(group: Sequence[Edit]) -> Edit:
    """Return one edit that does what those of one key would do, up to the one that ends it."""
    composed = group[0]
    for edit in group[1:]:
        if composed.is_last:
            break
        composed = composed.then(edit)
    return composed


def _late(group: Sequence[Edit]) -> Iterable[bool]:
    """Tell of each edit whether the key was dead by then, because of one before it."""
    is_over = False
    for edit in group:
        yield is_over
        is_over = is_over or edit.is_last


def _write(
    wording: Wording,
    statement: str,
    *,
    edits: str = _EDITS,
    direct: str = "",
    fits: str = _FITS,
    new_bound: str = _BOUND,
    patience: float | None = None,
) -> bytes:
    return wording.write(
        statement,
        offered=_OFFERED,
        edits=edits,
        patiently=wording.patiently(patience),
        changes=_CHANGES,
        fits=fits,
        fits_measured=_FITS_MEASURED,
        new_bound=new_bound,
        bound=_BOUND,
        measure=_MEASURE,
        merged=_MERGED,
        matching=_MATCHING,
        direct=direct,
        written=_WRITTEN,
    )
