"""The statements that change sessions: their values, expiries and verifiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.connections.statement import Statement
from pgsession.postgres.rows import MANY_REMOVED, Edit, Edited, are_common
from pgsession.postgres.statements.text import (
    SHORT_PATIENCE,
    Statements,
    Wording,
    batch,
    single,
)

_OFFERED: Final = """
WITH offered AS MATERIALIZED (
    SELECT
        e.session_key,
        e.verifier,
        e.changed,
        coalesce(e.removed, '{}') AS removed,
        e.replaced,
        coalesce(e.size, 0::pg_catalog.int8) AS size,
        e.seconds,
        {is_granted}e.seconds OPERATOR(pg_catalog.<=) 0::pg_catalog.float8 AS is_exact,{more}
        pg_catalog.now() AS seen_on,{bounds}
        pg_catalog.date_part('epoch', pg_catalog.now()) AS epoch
    FROM {edits}
    WHERE {patiently}
)"""

# A statement may have waited for the table, so that now() is long ago. Citus takes this time, and
# sums with it, nowhere else: the table may become a distributed one.
_PRESENT: Final = "pg_catalog.clock_timestamp()"
_BOUND_OF: Final = """
        {bound} AS {column}_bound,"""

# Many members are looked up in an object, as the operator would compare each with each.
_MORE_OFFERED: Final = """
        CASE WHEN pg_catalog.cardinality(e.removed) OPERATOR(pg_catalog.>) {many}
            THEN pg_catalog.jsonb_object(e.removed, e.removed)
        END AS many_removed,
        e.granted,
        pg_catalog.make_interval(secs => e.own) AS period,
        e.heir,
        e.login,
        e.login IS NOT NULL OR e.confirms IS TRUE AS proves,"""

_IS_GRANTED: Final = "e.granted IS TRUE OR "

_MERGED: Final = """CASE
        WHEN o.changed IS NULL THEN s.session_data
        WHEN o.replaced THEN o.changed{without_many}
        ELSE (coalesce(s.session_data, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) o.removed)
            OPERATOR(pg_catalog.||) o.changed
    END"""

_WITHOUT_MANY: Final = """
        WHEN o.many_removed IS NOT NULL THEN (
            SELECT coalesce(pg_catalog.jsonb_object_agg(m.key, m.value), '{}'::pg_catalog.jsonb)
            FROM pg_catalog.jsonb_each(s.session_data) AS m
            WHERE NOT o.many_removed OPERATOR(pg_catalog.?) m.key
        ) OPERATOR(pg_catalog.||) o.changed"""

# No fewer bytes than PostgreSQL prints of the merged value. To measure the text costs more than
# the change itself, so it is measured only where this bound exceeds the limit.
_BOUND: Final = """CASE
        WHEN o.replaced THEN o.size
        ELSE coalesce(
            s.size_bound,
            pg_catalog.octet_length(s.session_data::pg_catalog.text)::pg_catalog.int8,
            2::pg_catalog.int8
        ) OPERATOR(pg_catalog.+) o.size
    END"""

_FITS: Final = """(
      o.size OPERATOR(pg_catalog.=) 0
      OR {bound} OPERATOR(pg_catalog.<=) {limit}
  )"""

_MEASURE: Final = "pg_catalog.octet_length(({merged})::pg_catalog.text)"

# A session that is above the limit, as that was lowered, takes what does not make it larger.
_FITS_MEASURED: Final = """(
      o.size OPERATOR(pg_catalog.=) 0
      OR {measure} OPERATOR(pg_catalog.<=) greatest(
          {limit},
          pg_catalog.octet_length(s.session_data::pg_catalog.text)
      )
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
    size_bound = {new_bound}{more_changes}"""

# A login ends the binding to a device, as the number changes. A confirmation ends one that is not
# in force: the browser may not know of it, and is offered another.
_MORE_CHANGES: Final = """,
    period = CASE WHEN o.granted THEN o.period ELSE s.period END,
    verifier = coalesce(o.heir, s.verifier),
    key_number = CASE WHEN o.heir IS NULL THEN s.key_number ELSE 0 END,
    shown_on = CASE WHEN o.heir IS NULL THEN s.shown_on END,
    renewed_on = CASE WHEN o.heir IS NULL THEN s.renewed_on ELSE o.seen_on END,
    created_on = CASE WHEN o.proves THEN o.seen_on ELSE s.created_on END,
    login_on = CASE WHEN o.proves THEN o.seen_on ELSE s.login_on END,
    user_id = CASE WHEN o.login IS NULL THEN s.user_id
        ELSE o.login OPERATOR(pg_catalog.->>) 'user_id' END,
    login_stamp = CASE WHEN o.login IS NULL THEN s.login_stamp
        ELSE o.login OPERATOR(pg_catalog.->>) 'stamp' END,
    login_label = CASE WHEN o.login IS NULL THEN s.login_label
        ELSE o.login OPERATOR(pg_catalog.->>) 'label' END,
    login_actor = CASE WHEN o.login IS NULL THEN s.login_actor
        ELSE o.login OPERATOR(pg_catalog.->>) 'actor_id' END,
    login_client = CASE
        WHEN o.login IS NULL THEN s.login_client
        ELSE o.login OPERATOR(pg_catalog.->) 'client'
    END,
    login_number = CASE WHEN o.login IS NULL THEN s.login_number
        ELSE s.login_number OPERATOR(pg_catalog.+) 1 END,
    device_login = CASE
        WHEN s.device_proved_on IS NOT NULL OR o.proves IS NOT TRUE THEN s.device_login
    END"""

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

# In a transaction. The next statement has the time after the wait, and waits for nothing.
_LOCK: Final = """
SELECT
FROM {table} AS s
WHERE s.session_key OPERATOR(pg_catalog.=) %(session_key)s::pg_catalog.text
FOR NO KEY UPDATE
"""

# Reads what could not be changed: whether it fits.
_STANDING: Final = """{offered}
SELECT s.session_key::pg_catalog.text, {fits}, {fits_measured}
FROM {table} AS s
JOIN offered AS o ON {matching}{direct}
"""

_VERIFIERS: Final = """
SELECT s.session_key::pg_catalog.text, s.verifier::pg_catalog.text
FROM {table} AS s
WHERE s.session_key
    OPERATOR(pg_catalog.=) ANY (pg_catalog.string_to_array(%s::pg_catalog.text, ','))
"""

_EDITS: Final = """pg_catalog.jsonb_to_recordset(%(edits)s::pg_catalog.jsonb) AS e (
    session_key pg_catalog.text,
    verifier pg_catalog.text,
    changed pg_catalog.jsonb,
    removed pg_catalog.text[],
    replaced pg_catalog.bool,
    size pg_catalog.int8,
    seconds pg_catalog.float8{more_columns}
)"""

_MORE_COLUMNS: Final = """,
    granted pg_catalog.bool,
    own pg_catalog.float8,
    heir pg_catalog.text,
    login pg_catalog.jsonb,
    confirms pg_catalog.bool"""

_EDIT: Final = """(
    SELECT
        %(session_key)s::pg_catalog.text AS session_key,
        %(verifier)s::pg_catalog.text AS verifier,
        %(changed)s::pg_catalog.jsonb AS changed,
        %(removed)s::pg_catalog.text[] AS removed,
        %(replaced)s::pg_catalog.bool AS replaced,
        %(size)s::pg_catalog.int8 AS size,
        %(seconds)s::pg_catalog.float8 AS seconds{more_parameters}
) AS e"""

_MORE_PARAMETERS: Final = """,
        %(granted)s::pg_catalog.bool AS granted,
        %(own)s::pg_catalog.float8 AS own,
        %(heir)s::pg_catalog.text AS heir,
        %(login)s::pg_catalog.jsonb AS login,
        %(confirms)s::pg_catalog.bool AS confirms"""

# A distributed table is asked only on the nodes that have the rows then.
_DIRECT: Final = """
  AND s.session_key OPERATOR(pg_catalog.=) %(session_key)s::pg_catalog.text"""
_DIRECT_AMONG: Final = """
  AND s.session_key
      OPERATOR(pg_catalog.=) ANY (pg_catalog.string_to_array(%(keys)s::pg_catalog.text, ','))"""


class Standing(Struct, frozen=True):
    """What is known of a living row that an edit has not changed."""

    session_key: str
    #: Whether the edit fits, as far as it is estimated, and as it is measured.
    fits: bool
    fits_measured: bool


class _Form(Struct, frozen=True):
    """What the text of an UPDATE depends on, beside the table."""

    is_single: bool
    is_common: bool
    skipping: bool
    is_measured: bool = False


class Editing(Statements):
    """Changes rows.

    No call may have two edits of one session, whatever their verifiers are: a
    statement that finds two changes for one row makes only one of them.
    """

    def reword(self, wording: Wording) -> None:
        super().reword(wording)
        self._wording = wording
        self._direct = _DIRECT_AMONG if wording.is_distributed else ""
        self._updates: dict[_Form, Statement] = {}
        self._standing = _write(wording, _STANDING, direct=self._direct)
        self._standing_one = _write(wording, _STANDING, edits=_EDIT, direct=_DIRECT)
        self._verifiers = wording.write(_VERIFIERS)
        self._lock = wording.write(_LOCK)

    @property
    def skips_together(self) -> bool:
        """Whether one statement can skip the locked rows among several."""
        return not self._wording.is_distributed

    async def update(
        self, connection: Connection, edits: Sequence[Edit], *, skipping: bool = False
    ) -> Sequence[Edited | None]:
        """Make edits; None for those that are not made.

        Their keys are dead, or their sessions would become too large, as far as
        that is estimated, or with `skipping` their rows are locked, or without it
        their sessions end before the longest wait for a row could.

        In a transaction, `skipping` waits too, and then judges what lives.
        """
        if skipping:
            await self._wait_first(connection, edits)
        is_single = len(edits) == 1
        is_common = are_common(edits)
        statement = self._update(_Form(is_single, is_common, skipping))
        answer = await self._locking(
            connection,
            statement,
            single(edits[0]) if is_single else self._together(edits),
            skipping=skipping,
        )
        written = {row[0]: Edited(*row) for row in answer.rows}
        return [written.get(edit.session_key) for edit in edits]

    async def update_measured(
        self, connection: Connection, edits: Sequence[Edit], *, skipping: bool = False
    ) -> Sequence[Edited | None]:
        """Make one edit as `update` does, but measure whether it fits."""
        (edit,) = edits
        if skipping:
            await self._wait_first(connection, edits)
        statement = self._update(
            _Form(is_single=True, is_common=False, skipping=skipping, is_measured=True)
        )
        answer = await self._locking(connection, statement, single(edit), skipping=skipping)
        row = answer.first
        return [None if row is None else Edited(*row)]

    async def stand(
        self, connection: Connection, edits: Sequence[Edit]
    ) -> Sequence[Standing | None]:
        """Tell of edits that were not made whether they fit, or None for a dead key."""
        if len(edits) == 1:
            rows = await self._rows(connection, self._standing_one, single(edits[0]))
        else:
            rows = await self._rows(connection, self._standing, self._together(edits))
        found = {row[0]: Standing(*row) for row in rows}
        return [found.get(edit.session_key) for edit in edits]

    async def verifiers(
        self, connection: Connection, selectors: Sequence[str]
    ) -> Sequence[str | None]:
        """Return the verifiers of rows, or None for a row that has none or is not there."""
        rows = await self._rows(connection, self._verifiers, (",".join(selectors),))
        found: dict[str, str | None] = dict(rows)
        return list(map(found.get, selectors))

    async def _wait_first(self, connection: Connection, edits: Sequence[Edit]) -> None:
        """Lock the row of the one edit, in a transaction: a block must not skip it."""
        if not self._wording.is_patient:
            key = {"session_key": edits[0].session_key}
            await self._locking(connection, self._lock, key, skipping=False)

    def _update(self, form: _Form) -> Statement:
        """Return the UPDATE of a form, written when it is first needed."""
        statement = self._updates.get(form)
        if statement is None:
            statement = self._updates[form] = _write(
                self._wording,
                _UPDATE_FREE if form.skipping else _UPDATE,
                edits=_EDIT if form.is_single else _EDITS,
                direct=_DIRECT if form.is_single else self._direct,
                is_common=form.is_common,
                is_measured=form.is_measured,
                may_wait=not form.skipping,
                patience=SHORT_PATIENCE if form.skipping else None,
            )
        return statement

    def _together(self, edits: Sequence[Edit]) -> dict[str, str]:
        """Return the parameters for several edits."""
        parameters = {"edits": batch(edits)}
        if self._direct:
            parameters["keys"] = ",".join(edit.session_key for edit in edits)
        return parameters


def _write(
    wording: Wording,
    statement: str,
    *,
    edits: str = _EDITS,
    direct: str = "",
    is_common: bool = False,
    is_measured: bool = False,
    may_wait: bool = False,
    patience: float | None = None,
) -> Statement:
    """Write a statement. One for common edits alone leaves out what they do not need."""
    seconds = wording.longest_wait if may_wait else 0.0
    if wording.is_distributed:
        offered_bounds, bounds = "", wording.bounds(seconds=seconds)
    else:
        computed = wording.bounds(_PRESENT, seconds=seconds).items()
        offered_bounds = "".join(_BOUND_OF.format(bound=it, column=name) for name, it in computed)
        bounds = {name: f"o.{name}_bound" for name, _ in computed}
    return wording.write(
        statement,
        offered=_OFFERED,
        bounds=offered_bounds,
        is_granted="" if is_common else _IS_GRANTED,
        more="" if is_common else _MORE_OFFERED,
        many=str(MANY_REMOVED),
        edits=edits,
        more_columns="" if is_common else _MORE_COLUMNS,
        more_parameters="" if is_common else _MORE_PARAMETERS,
        patiently=wording.patiently(patience),
        changes=_CHANGES,
        more_changes="" if is_common else _MORE_CHANGES,
        fits=_FITS_MEASURED if is_measured else _FITS,
        fits_measured=_FITS_MEASURED,
        new_bound=_MEASURE if is_measured else _BOUND,
        bound=_BOUND,
        measure=_MEASURE,
        merged=_MERGED,
        without_many="" if is_common else _WITHOUT_MANY,
        matching=_MATCHING,
        living=wording.later("s", bounds),
        direct=direct,
        written=_WRITTEN,
    )
