"""The findings of ``pgsession check``: whether each fact is in order, and what to do if not."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from pgsession.cli.inspection import Relation, Sample, Server
from pgsession.cli.places import Place
from pgsession.cli.read_only import explain_read_only
from pgsession.core.cookie import Cookie
from pgsession.postgres.quoting import identifier
from pgsession.postgres.record import Record

#: The oldest version with TID range scans, as its `server_version_num`.
_OLDEST: Final = 140_000

#: The fill factor that the migration sets, and the largest one that leaves enough free space.
_FILL_FACTOR: Final = 70
_TOO_FULL: Final = 90

#: With a larger scale factor, autovacuum comes too rarely: PostgreSQL's default is 0.2.
_LARGEST_SCALE: Final = 0.1

#: What PostgreSQL may keep for a storage parameter that is true.
_TRUE: Final = frozenset({"true", "on", "yes", "1"})

#: If two clocks differ by more seconds than this, warn.
_SKEW: Final = 5.0

#: A working sweep leaves a smaller share of long expired rows. With fewer rows, do not judge.
_NEGLECTED: Final = 0.10
_ENOUGH: Final = 1000


class Verdict(Enum):
    """The severity of a finding. Only what is wrong must be fixed."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of ``pgsession check``."""

    subject: str
    verdict: Verdict
    #: The fact.
    text: str
    #: What to do about it. Empty if there is nothing to do.
    remedy: str = ""
    #: True if it may pass by itself: the database cannot be reached now.
    may_pass: bool = False
    #: What is wrong, for programs, if the subject alone does not say it.
    name: str = ""

    @property
    def code(self) -> str:
        """A name for programs that stays the same, such as ``primary`` or ``database.password``."""
        subject = self.subject.replace(" ", "-")
        return f"{subject}.{self.name}" if self.name else subject


def check_cookie(cookie: Cookie) -> Finding:
    """Show the cookie; it has no effect in other sites if it is partitioned and not for them."""
    secure = "Secure" if cookie.secure else "also over plain HTTP"
    text = f"{cookie.name}, {secure}, SameSite={cookie.same_site}"
    if cookie.partitioned and cookie.same_site != "none":
        return Finding(
            "cookie",
            Verdict.WARNING,
            f"{text}, partitioned: browsers drop it in other sites",
            "Set SESSION_SAME_SITE=none, or leave SESSION_PARTITIONED out.",
        )
    return Finding("cookie", Verdict.OK, text)


def check_server(server: Server, durability: Place, read_only: Place) -> Iterator[Finding]:
    """Check the server.

    `durability` is where synchronous_commit is set, and `read_only` default_transaction_read_only.
    """
    place = f"{identifier(server.database)} at {server.address}, as {identifier(server.role)}"
    yield Finding("database", Verdict.OK, place)
    if server.version < _OLDEST:
        remedy = "Upgrade it to 14 or later."
        yield Finding("server", Verdict.WRONG, f"PostgreSQL {server.version_text}", remedy)
    else:
        yield Finding("server", Verdict.OK, f"PostgreSQL {server.version_text}")
    if server.is_standby:
        yield Finding(
            "primary",
            Verdict.WRONG,
            "a standby",
            "Connect to the primary: name all hosts, with target_session_attrs=read-write.",
            may_pass=True,
            name="standby",
        )
    elif server.is_read_only:
        text, remedy = explain_read_only(read_only)
        yield Finding("primary", Verdict.WRONG, text, remedy, name="read-only")
    else:
        yield Finding("primary", Verdict.OK, "takes writes")
    if server.encoding == "UTF8":
        yield Finding("encoding", Verdict.OK, "UTF8")
    else:
        yield Finding(
            "encoding",
            Verdict.WRONG,
            f"{server.encoding}, which cannot hold all text",
            "Store sessions in a database that was created with ENCODING 'UTF8'.",
        )
    yield _check_clock(server.ahead)
    if server.synchronous_commit == "off":
        yield Finding(
            "durability",
            Verdict.WARNING,
            "synchronous_commit is off: a crash may undo a logout",
            durability.set("on"),
        )
    else:
        yield Finding(
            "durability", Verdict.OK, f"synchronous_commit is {server.synchronous_commit}"
        )


def check_link(*, is_pooled: bool, is_mixed_up: bool = False) -> Finding:
    """Tell what stands between this machine and the server.

    `is_mixed_up`: statements are to be prepared, and the pooler mixes them up.
    """
    if is_mixed_up:
        return Finding(
            "connection",
            Verdict.WRONG,
            "through a pooler that mixes up the prepared statements of its clients",
            "Leave SESSION_PREPARED out, or set max_prepared_statements (PgBouncer 1.21 or later).",
        )
    if is_pooled:
        text = "through a pooler: by default, statements are not prepared"
        return Finding("connection", Verdict.OK, text)
    return Finding("connection", Verdict.OK, "direct")


def check_schemas(names: list[str]) -> Finding:
    """Check that the role's search_path is not open to every role of the database."""
    if not names:
        return Finding("search_path", Verdict.OK, "only some roles may create in it")
    return Finding(
        "search_path",
        Verdict.WARNING,
        f"every role may create functions in {', '.join(map(identifier, names))} (CVE-2018-1058)",
        " ".join(f"REVOKE CREATE ON SCHEMA {identifier(name)} FROM PUBLIC;" for name in names)
        + " pgsession calls none of them, but other programs may.",
    )


def check_record(record: Record | None, known: Collection[str], *, table: str) -> Finding:
    """Check the recorded migrations of `table`. None: this role cannot read them."""
    if record is None:
        return Finding(
            "table",
            Verdict.OK,
            f"{table} has all that is needed; its migrations are not visible to this role",
        )
    if objection := record.objection(known):
        remedy = "Install the newer version of pgsession."
        return Finding("table", Verdict.WRONG, objection, remedy, name="newer")
    newest = record.newest_unknown(known)
    if lacking := record.lacking(known):
        remedy = f"Run `pgsession migrate`{' of the newer version' if newest else ''}."
        return Finding(
            "table",
            Verdict.WRONG,
            f"{table} lacks the migration {lacking[0]}",
            remedy,
            name="older",
        )
    if newest:
        text = f"{table} has the newer migration {newest}, and this version may run on it"
        return Finding("table", Verdict.OK, text)
    return Finding("table", Verdict.OK, f"{table} is as this version needs it, {max(known)}")


def check_relation(relation: Relation) -> Iterator[Finding]:
    """Check the properties of the table, besides its indexes and autovacuum."""
    if relation.is_unlogged:
        remedy = f"ALTER TABLE {relation.name} SET LOGGED;"
        yield Finding("storage", Verdict.WRONG, "unlogged: a crash empties the table", remedy)
    if relation.bare:
        yield _check_defaults(relation)
    if relation.has_pages:
        yield _check_fill_factor(relation)
        yield _check_storage(relation)


def _check_defaults(relation: Relation) -> Finding:
    defaults = {name: "0" if name.endswith("_number") else "now()" for name in relation.bare}
    filled = [
        f"UPDATE {relation.name} SET {name} = {default} WHERE {name} IS NULL;"  # noqa: S608 - a text
        for name, default in defaults.items()
    ]
    changes = [
        f"ALTER COLUMN {name} SET DEFAULT {default}, ALTER COLUMN {name} SET NOT NULL"
        for name, default in defaults.items()
    ]
    return Finding(
        "defaults",
        Verdict.WRONG,
        f"{', '.join(defaults)} lost the default or NOT NULL, as in a copy by CREATE TABLE AS",
        " ".join([*filled, f"ALTER TABLE {relation.name} {', '.join(changes)};"]),
    )


def _check_storage(relation: Relation) -> Finding:
    """Check the storage parameters that the migration sets, besides the fill factor."""
    lost = {}
    for prefix, options in (("", relation.options), ("toast.", relation.toast_options)):
        scale = float(options.get("autovacuum_vacuum_scale_factor", "1"))
        if scale > _LARGEST_SCALE:
            lost[f"{prefix}autovacuum_vacuum_scale_factor"] = "0.05"
        if options.get("vacuum_truncate", "true") in _TRUE:
            lost[f"{prefix}vacuum_truncate"] = "false"
    if not lost:
        return Finding("storage parameters", Verdict.OK, "as the migrations set them")
    wanted = ", ".join(f"{name} = {setting}" for name, setting in lost.items())
    return Finding(
        "storage parameters",
        Verdict.WARNING,
        f"{', '.join(lost)} not as the migrations set them: lost by a copy or a RESET",
        f"ALTER TABLE {relation.name} SET ({wanted});",
    )


def check_distribution(table: str, *, has_remains: bool) -> Finding:
    """Tell that Citus distributes the table; `has_remains` if this node has its old rows too.

    `table` is what `regclass` returns.
    """
    if has_remains:
        return Finding(
            "distribution",
            Verdict.WARNING,
            "by Citus; the rows from before are still on the coordinator",
            f"SELECT truncate_local_data_after_distributing_table({table});",
        )
    return Finding("distribution", Verdict.OK, "by Citus")


def check_sample(sample: Sample, *, is_scheduled: bool) -> Finding:
    """Check whether expired rows are removed.

    `is_scheduled` is True if the settings enable sweeping in the application.
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
        text += "; sweep_every is none, so run `pgsession sweep` from cron"
    return Finding("sweeping", Verdict.OK, text)


def _check_clock(ahead: float) -> Finding:
    text = f"the database's clock is {abs(ahead):.1f} s {'ahead' if ahead > 0 else 'behind'}"
    if abs(ahead) <= _SKEW:
        return Finding("clock", Verdict.OK, text)
    remedy = "Run NTP on both. Sessions use only the database's clock, but log times will differ."
    return Finding("clock", Verdict.WARNING, text, remedy)


def _check_fill_factor(relation: Relation) -> Finding:
    fill_factor = int(relation.options.get("fillfactor", "100"))
    if fill_factor <= _TOO_FULL:
        return Finding("fill factor", Verdict.OK, str(fill_factor))
    return Finding(
        "fill factor",
        Verdict.WRONG,
        f"{fill_factor}, which leaves too little free space in a page for updates",
        f"ALTER TABLE {relation.name} SET (fillfactor = {_FILL_FACTOR});",
    )


def check_vacuum(relation: Relation, server: Server) -> Finding:
    """Check that autovacuum works on the table."""
    if not server.has_autovacuum:
        remedy = "Set autovacuum = on in postgresql.conf: without it, the table only grows."
        return Finding("autovacuum", Verdict.WRONG, "off on this server", remedy, name="server")
    if relation.options.get("autovacuum_enabled", "on") not in _TRUE:
        remedy = f"ALTER TABLE {relation.name} RESET (autovacuum_enabled);"
        return Finding("autovacuum", Verdict.WRONG, "off for this table", remedy, name="table")
    return Finding("autovacuum", Verdict.OK, "on")
