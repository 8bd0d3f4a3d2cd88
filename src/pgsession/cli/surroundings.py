"""The findings about what surrounds the table: the role's limits, other transactions, space."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from pgsession.cli.access import Access, Elsewhere
from pgsession.cli.findings import Finding, Verdict
from pgsession.cli.holding import Holder
from pgsession.cli.inspection import Sample
from pgsession.cli.limits import Connections
from pgsession.cli.places import Place
from pgsession.core.shown import shown
from pgsession.postgres.quoting import identifier, literal
from pgsession.postgres.table_name import TableName

#: A table of fewer pages (32 MB) is swept in a moment, however much of it is free.
_MANY_PAGES: Final = 4096

#: If a table is so many times as large as its rows need, warn.
_BLOATED: Final = 4.0

#: The share of a page that is filled at first, and the size of a page.
_FILLED: Final = 0.7
_PAGE: Final = 8192

#: How many seconds VACUUM FULL takes for a million rows.
_PER_MILLION: Final = 15


def check_times(
    times: Mapping[str, float], places: Mapping[str, Place], *, timeout: float
) -> Finding:
    """Check the time limits, which come from these places, against the application's `timeout`."""
    short = {name: limit for name, limit in times.items() if limit < timeout}
    if not short:
        return Finding("time limits", Verdict.OK, f"none shorter than timeout, {timeout:g} s")
    told = ", ".join(f"{name} is {limit:g} s" for name, limit in short.items())
    return Finding(
        "time limits",
        Verdict.WARNING,
        f"{told}, shorter than timeout, {timeout:g} s: slow statements fail early, with 503",
        " ".join(places[name].set(f"{math.ceil(2 * timeout)}s") for name in short)
        + " Or make SESSION_TIMEOUT shorter.",
    )


def check_connections(connections: Connections | None, *, pool_size: int) -> Finding:
    """Tell how many processes fit. None: a pooler stands in between."""
    if connections is None:
        text = "not visible: the pooler decides how many connections the server gets"
        return Finding("connections", Verdict.OK, text)
    most = connections.most
    process = pool_size + 1
    text = (
        f"{most} for this role, {connections.used} in use by all; a process takes up to {process} "
        f"(pool_size, and one to sweep), more for exclusive(): {most // process} processes fit"
    )
    if most >= process:
        return Finding("connections", Verdict.OK, text)
    remedy = "Make SESSION_POOL_SIZE smaller, or raise the CONNECTION LIMIT or max_connections."
    return Finding("connections", Verdict.WARNING, text, remedy)


def check_access(access: Access) -> Finding:
    """Check the privileges."""
    if not access.grants:
        return Finding("privileges", Verdict.OK, "SELECT, INSERT, UPDATE, DELETE")
    lacking = [] if access.may_enter else ["USAGE on the schema"]
    return Finding(
        "privileges",
        Verdict.WRONG,
        f"this role lacks {', '.join(lacking + access.lacking)}",
        " ".join(access.grants),
    )


def check_elsewhere(table: TableName, found: Sequence[Elsewhere]) -> Finding:
    """Tell that the table is not where it was looked for, but in other schemas.

    Anybody who may create a schema can have such a table: only one that belongs to a role that
    this role trusts anyway is advised.
    """
    names = ", ".join(identifier(each.schema) for each in found)
    trusted = [
        each.schema for each in found if each.is_trusted and shown(each.schema) == each.schema
    ]
    if trusted:
        remedy = f"or, if the sessions are there, set SESSION_SCHEMA={shlex.quote(trusted[0])}"
    else:
        remedy = (
            "or set SESSION_SCHEMA if you know that one of them is yours: anybody can make such"
        )
    return Finding(
        "table",
        Verdict.WRONG,
        f"There is no table {table}; tables of this name are in {names}",
        f"Run `pgsession migrate`, {remedy}",
        name="elsewhere",
    )


def check_holders(holders: Sequence[Holder], *, sees_others: bool) -> Finding:
    """Check that nothing old keeps dead rows."""
    if not holders:
        text = "none of more than 5 minutes"
        if not sees_others:
            text += "; those of other roles are not visible: GRANT pg_read_all_stats shows them"
        return Finding("old transactions", Verdict.OK, text)
    return Finding(
        "old transactions",
        Verdict.WARNING,
        "dead rows stay, and the table grows, because of " + ", ".join(map(_described, holders)),
        " ".join(map(_ending, holders)),
    )


def check_space(sample: Sample, name: str) -> Finding:
    """Check that the table is not much larger than its rows need."""
    rows = sample.rows * sample.factor
    needed = sample.bytes * sample.factor / _FILLED
    size = sample.pages * _PAGE
    text = f"{_megabytes(size)}, its rows need about {_megabytes(needed)}"
    if sample.pages < _MANY_PAGES or size <= _BLOATED * needed:
        return Finding("space", Verdict.OK, text)
    seconds = max(1, round(rows / 1_000_000 * _PER_MILLION))
    return Finding(
        "space",
        Verdict.WARNING,
        f"{text}: a long transaction, or a sweep that did not run, has made it grow",
        f"Find that first. Then VACUUM FULL {name}; gives the space back: it locks the table for "
        f"about {seconds} s, and requests wait. Plain VACUUM gives nothing back.",
    )


def _described(holder: Holder) -> str:
    name = literal(holder.name or "") if holder.pid is None else str(holder.pid)
    age = None if holder.age_seconds is None else f"{holder.age_seconds / 60:.0f} minutes old"
    known = (shown(each) for each in (holder.application_name, holder.state, age) if each)
    return f"{holder.kind} {name} ({', '.join(known)})"


def _ending(holder: Holder) -> str:
    match holder.kind:
        case "prepared transaction":
            return f"ROLLBACK PREPARED {literal(holder.name or '')};"
        case "replication slot":
            name = literal(holder.name or "")
            return f"SELECT pg_drop_replication_slot({name}); if its standby is gone."
        case "standby":
            return (
                f"End the query on the standby of process {holder.pid}, or set "
                "hot_standby_feedback = off there."
            )
    return f"SELECT pg_terminate_backend({holder.pid});"


def _megabytes(size: float) -> str:
    return f"{size / 1_000_000:.0f} MB"
