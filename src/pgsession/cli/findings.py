"""What a checkup finds: how each fact is judged, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from pgsession.cli.inspection import Relation, Sample, Server

#: The oldest version with TID range scans, as its `server_version_num`.
_OLDEST: Final = 140_000

#: From here on a BRIN index does not keep updates from being HOT.
_BRIN_IS_HOT: Final = 160_000

#: The fill factor that the migration sets, and the one from which on there is too little room.
_FILL_FACTOR: Final = 70
_TOO_FULL: Final = 90

#: Seconds by which two clocks may differ before it is worth a word.
_SKEW: Final = 5.0

#: The share of long expired rows that a working sweep never leaves, and rows enough to judge by.
_NEGLECTED: Final = 0.10
_ENOUGH: Final = 1000


class Verdict(Enum):
    """How bad it is. Only what is wrong needs to be remedied."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a checkup."""

    subject: str
    verdict: Verdict
    #: What was found.
    text: str
    #: What to do about it; empty if there is nothing to do.
    remedy: str = ""


def judge_server(server: Server) -> Iterator[Finding]:
    """Judge what the server says of itself."""
    if server.version < _OLDEST:
        remedy = "Upgrade it to 14 or later."
        yield Finding("server", Verdict.WRONG, f"PostgreSQL {server.version_text}", remedy)
    else:
        yield Finding("server", Verdict.OK, f"PostgreSQL {server.version_text}")
    if server.is_read_only:
        yield Finding(
            "primary",
            Verdict.WRONG,
            "a standby, or read-only",
            "Connect to the primary: name all hosts, with target_session_attrs=read-write.",
        )
    else:
        yield Finding("primary", Verdict.OK, "takes writes")
    if server.encoding == "UTF8":
        yield Finding("encoding", Verdict.OK, "UTF8")
    else:
        yield Finding(
            "encoding",
            Verdict.WARNING,
            f"{server.encoding}, which not all text fits in",
            "Keep sessions in a database that was created with ENCODING 'UTF8'.",
        )
    yield _judge_clock(server.ahead)
    if server.synchronous_commit == "off":
        yield Finding(
            "durability",
            Verdict.WARNING,
            "synchronous_commit is off: a crash may undo a logout",
            "Set it on for the role: ALTER ROLE … SET synchronous_commit = on.",
        )
    else:
        yield Finding(
            "durability", Verdict.OK, f"synchronous_commit is {server.synchronous_commit}"
        )


def judge_record(record: set[str] | None, known: set[str]) -> Finding:
    """Judge which migrations are recorded. None: this role cannot tell."""
    if record is None:
        return Finding("table", Verdict.OK, "as this version needs it")
    if newer := record - known:
        remedy = "Install the newer version of pgsession."
        return Finding("table", Verdict.WRONG, f"has the migration {max(newer)}", remedy)
    if lacking := known - record:
        text = f"lacks the migration {min(lacking)}"
        return Finding("table", Verdict.WRONG, text, "Run `pgsession migrate`.")
    return Finding("table", Verdict.OK, f"as this version needs it, {max(record)}")


def judge_relation(relation: Relation, server: Server) -> Iterator[Finding]:
    """Judge what the catalog says of the table."""
    if relation.lacking:
        lacking = ", ".join(relation.lacking)
        remedy = f"GRANT {lacking} ON {relation.name} TO this role."
        yield Finding("privileges", Verdict.WRONG, f"this role lacks {lacking}", remedy)
    else:
        yield Finding("privileges", Verdict.OK, "SELECT, INSERT, UPDATE, DELETE")
    if relation.has_pages:
        yield _judge_fill_factor(relation)
    harmful = relation.others + (relation.brin if server.version < _BRIN_IS_HOT else [])
    if harmful:
        yield Finding(
            "indexes",
            Verdict.WRONG,
            f"{', '.join(harmful)} on expire_date: no renewal of a session can be HOT",
            " ".join(f"DROP INDEX CONCURRENTLY {name};" for name in harmful),
        )
    else:
        yield Finding("indexes", Verdict.OK, "none that hinders HOT updates")
    yield _judge_vacuum(relation, server)


def judge_sample(sample: Sample, *, is_scheduled: bool) -> Finding:
    """Judge whether expired rows are removed.

    `is_scheduled` tells whether the settings have the application sweep.
    """
    share = sample.neglected / sample.rows if sample.rows else 0.0
    if sample.rows >= _ENOUGH and share > _NEGLECTED:
        text = f"{share:.0%} of the rows expired more than a day ago"
        remedy = "Run `pgsession sweep` from cron, or leave sweep_every on in the application."
        return Finding("sweeping", Verdict.WRONG, text, remedy)
    text = f"{share:.1%} of the rows expired more than a day ago"
    if sample.rows < _ENOUGH:
        text = f"{sample.rows} rows are too few to judge"
    if not is_scheduled:
        text += "; sweep_every is none, so cron is to run `pgsession sweep`"
    return Finding("sweeping", Verdict.OK, text)


def _judge_clock(ahead: float) -> Finding:
    text = f"the database's is {abs(ahead):.1f} s {'ahead' if ahead > 0 else 'behind'}"
    if abs(ahead) <= _SKEW:
        return Finding("clock", Verdict.OK, text)
    remedy = "Sessions go by the database's alone; run NTP on both, for your logs to agree."
    return Finding("clock", Verdict.WARNING, text, remedy)


def _judge_fill_factor(relation: Relation) -> Finding:
    if relation.fill_factor <= _TOO_FULL:
        return Finding("fill factor", Verdict.OK, str(relation.fill_factor))
    return Finding(
        "fill factor",
        Verdict.WRONG,
        f"{relation.fill_factor}, which leaves updates no room in their page",
        f"ALTER TABLE {relation.name} SET (fillfactor = {_FILL_FACTOR});",
    )


def _judge_vacuum(relation: Relation, server: Server) -> Finding:
    if not server.has_autovacuum:
        remedy = "Set autovacuum = on in postgresql.conf: removed rows keep their room without it."
        return Finding("autovacuum", Verdict.WRONG, "off on this server", remedy)
    if not relation.has_autovacuum:
        remedy = f"ALTER TABLE {relation.name} RESET (autovacuum_enabled);"
        return Finding("autovacuum", Verdict.WRONG, "off for this table", remedy)
    return Finding("autovacuum", Verdict.OK, "on")
