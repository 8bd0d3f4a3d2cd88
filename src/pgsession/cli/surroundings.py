"""The findings about what surrounds the table: the role's limits, other transactions, space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pgsession.cli.access import Access
from pgsession.cli.findings import Finding, Verdict
from pgsession.cli.holding import Holder
from pgsession.cli.inspection import Sample
from pgsession.cli.limits import Connections
from pgsession.printable import printable

#: A table of fewer pages (32 MB) is swept in a moment, however much of it is free.
_MANY_PAGES: Final = 4096

#: If a table is so many times as large as its rows need, warn.
_BLOATED: Final = 4.0

#: The share of a page that is filled at first, and the size of a page.
_FILLED: Final = 0.7
_PAGE: Final = 8192

#: How many seconds VACUUM FULL takes for a million rows.
_PER_MILLION: Final = 15


def check_times(times: dict[str, float], *, timeout: float) -> Finding:
    """Check the time limits against the `timeout` of the application."""
    short = {name: limit for name, limit in times.items() if limit < timeout}
    if not short:
        return Finding("time limits", Verdict.OK, f"none shorter than timeout, {timeout:g} s")
    told = ", ".join(f"{name} is {limit:g} s" for name, limit in short.items())
    return Finding(
        "time limits",
        Verdict.WARNING,
        f"{told}, shorter than timeout, {timeout:g} s: slow statements fail early, with 503",
        " ".join(f"ALTER ROLE CURRENT_USER SET {name} = '{2 * timeout:g}s';" for name in short)
        + " Or make SESSION_TIMEOUT shorter.",
    )


def check_connections(connections: Connections | None, *, pool_size: int) -> Finding:
    """Tell how many processes fit. None: a pooler stands in between."""
    if connections is None:
        text = "not visible: the pooler decides how many connections the server gets"
        return Finding("connections", Verdict.OK, text)
    most = connections.most
    text = (
        f"{most} for this role, {connections.used} in use by all; a process takes up to "
        f"{pool_size} (pool_size), and more for exclusive(): {most // pool_size} processes fit"
    )
    if most >= pool_size:
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


def check_elsewhere(name: str, schemas: Sequence[str]) -> Finding:
    """Tell that the table is not where it was looked for, but in other `schemas`."""
    return Finding(
        "table",
        Verdict.WRONG,
        f"There is no table {name}; tables of this name are in {', '.join(schemas)}",
        f"Set SESSION_SCHEMA, for example SESSION_SCHEMA={schemas[0]}, or run `pgsession migrate`.",
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
    name = _quoted(holder.name) if holder.pid is None else str(holder.pid)
    age = None if holder.age_seconds is None else f"{holder.age_seconds / 60:.0f} minutes old"
    known = (printable(each) for each in (holder.application_name, holder.state, age) if each)
    return f"{holder.kind} {printable(name)} ({', '.join(known)})"


def _ending(holder: Holder) -> str:
    match holder.kind:
        case "prepared transaction":
            return f"ROLLBACK PREPARED {printable(_quoted(holder.name))};"
        case "replication slot":
            name = printable(_quoted(holder.name))
            return f"SELECT pg_drop_replication_slot({name}); if its standby is gone."
    return f"SELECT pg_terminate_backend({holder.pid});"


def _quoted(name: str | None) -> str:
    """Return a name as a literal of SQL."""
    return "'" + (name or "").replace("'", "''") + "'"


def _megabytes(size: float) -> str:
    return f"{size / 1_000_000:.0f} MB"
