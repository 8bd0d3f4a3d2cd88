"""`pgsession stats`: what it counts, and what it tells of the table."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import Connection, sql
from psycopg.conninfo import make_conninfo

from tests.cli.conftest import Operate, SignIn, Terminal
from tests.cli.test_check import role, variables
from tests.cli.test_devices import ESCAPED, HOSTILE
from tests.cli.test_revoke import MARKER
from tests.postgres.sweeping.test_sweeping import partitioned

__all__ = ["partitioned", "role", "variables"]  # fixtures


@pytest.fixture
def sessions(table: Connection, sign_in: SignIn) -> None:
    """Three sessions of ann, one of bob, one of a visitor, two expired ones, and a marker."""
    for handle in ("a1", "a2", "a3"):
        sign_in(handle)
    sign_in("b1", "bob", actor="root")
    sign_in("v1", None)
    sign_in("e1", seconds=-60)
    sign_in("e2", None, seconds=-3 * 86_400)
    table.execute(MARKER)
    table.execute(
        "UPDATE session SET device_key = 'k', device_login = 1, device_proved_on = now() "
        "WHERE session_key = 'a1'"
    )
    table.execute("ANALYZE session")


@contextmanager
def holding(table: Connection, name: str) -> Iterator[None]:
    """Leave a transaction open that holds VACUUM back."""
    with psycopg.connect(table.info.dsn, application_name=name) as connection:
        connection.execute("SELECT pg_current_xact_id()")
        yield


def values(said: str) -> dict[str, str]:
    """Return the value of each line, by its section and name."""
    lines = [re.split(r" {2,}", line, maxsplit=2) for line in said.splitlines()[1:]]
    return {f"{section}: {name}": value for section, name, value in lines}


@pytest.mark.usefixtures("sessions")
def test_counts(operate: Operate) -> None:
    """Sessions are counted by their kind, and markers of adopted ones are none."""
    done = operate("stats", "--json")

    assert (done.code, done.err) == (0, "")
    counts: dict[str, Any] = done.document["counts"]
    oldest, longest = (
        datetime.fromisoformat(counts.pop(name))
        for name in ("oldest_created_at", "longest_expired_at")
    )
    assert counts == {
        "living": 5,
        "signed_in": 4,
        "visitors": 1,
        "bound": 1,
        "impersonated": 1,
        "users": 2,
        "expired": 2,
        "adopted": 1,
    }
    assert datetime.now(UTC) - oldest < timedelta(minutes=5)
    assert timedelta(days=2) < datetime.now(UTC) - longest < timedelta(days=4)
    assert [(it["user_id"], it["sessions"]) for it in done.document["top"]] == [
        ("ann", 3),
        ("bob", 1),
    ]


@pytest.mark.usefixtures("sessions")
def test_keys(operate: Operate, migrated_schema: str) -> None:
    """The JSON document has these keys, with --quick too."""
    full, quick = (operate("stats", "--json", *more).document for more in ([], ["--quick"]))

    assert (
        list(full)
        == list(quick)
        == [
            "table",
            "is_quick",
            "is_distributed",
            "counts",
            "not_counted",
            "top",
            "sizes",
            "indexes",
            "activity",
            "free_share",
            "holders",
            "sees_others",
        ]
    )
    assert full["table"] == f"{migrated_schema}.session"
    assert (full["not_counted"], full["sees_others"]) == (None, True)
    assert (quick["counts"], quick["top"], quick["not_counted"]) == (None, None, "--quick")
    sizes = full["sizes"]
    parts = sizes["rows_bytes"] + sizes["toast_bytes"] + sizes["indexes_bytes"]
    assert sizes["total_bytes"] == parts > 0
    assert len(full["indexes"]) == 4
    assert full["activity"]["estimated_rows"] == 8
    assert 0.5 < full["free_share"] < 1
    assert list(full["activity"]) == [
        "estimated_rows",
        "dead_rows",
        "updates",
        "hot_share",
        "last_autovacuum_at",
        "last_vacuum_at",
        "last_analyze_at",
        "last_autoanalyze_at",
    ]


@pytest.mark.usefixtures("sessions")
def test_plain(operate: Operate) -> None:
    """Without a terminal each fact is one line, and so is a remark on what is wrong."""
    done = operate("stats", "--top", "1")

    told = values(done.out)
    assert told["sessions: living"] == "5"
    assert told["users: ann"].startswith("3 sessions, last seen ")
    assert "users: bob" not in told
    assert "nobody sweeps" in told["sessions: remark"]
    assert told["vacuum: last VACUUM by hand"] == "never"
    assert "size: free in the rows' pages" in told
    assert done.out.isascii()


@pytest.mark.usefixtures("sessions")
def test_terminal(terminal: Terminal) -> None:
    """A terminal shows the sections with their headings."""
    shown = re.sub(r"\x1b\[[\d;?]*\w", "", terminal("stats", width=100))

    assert "Counting the sessions" in shown
    for heading in ("sessions", "users", "size", "vacuum", "held back by"):
        assert re.search(rf"^\r?{heading} *$", shown, re.MULTILINE), shown
    assert max(map(len, shown.splitlines())) <= 100


def test_hostile(operate: Operate, terminal: Terminal, sign_in: SignIn) -> None:
    """The names of users are shown, not interpreted."""
    sign_in("h1", HOSTILE)

    for said in (operate("stats").out, terminal("stats", width=160)):
        assert ESCAPED in said
        assert not re.search("\x1b\\[31m|\x07|\u202e|\x1b]8", said)


def test_holders(operate: Operate, table: Connection, migrated_schema: str) -> None:
    """An open transaction is listed, with who it is and what it does."""
    with holding(table, migrated_schema):
        held, said = operate("stats", "--quick", "--json"), operate("stats", "--quick")

    [holder] = [it for it in held.document["holders"] if it["application_name"] == migrated_schema]
    assert (holder["kind"], holder["state"]) == ("transaction", "idle in transaction")
    assert holder["pid"] > 0
    assert 0 <= holder["age_seconds"] < 300
    assert list(holder) == [
        "kind",
        "name",
        "pid",
        "user",
        "application_name",
        "state",
        "age_seconds",
        "transactions",
    ]
    assert f"{migrated_schema}, idle in transaction, for " in said.out


def test_unprivileged(
    operate: Operate, table: Connection, role: str, database_url: str, migrated_schema: str
) -> None:
    """A role without privileges is told what is not visible, and the exit code is 1."""
    url = make_conninfo(database_url, user=role)

    with holding(table, migrated_schema):
        done = operate("stats", SESSION_DATABASE_URL=url)
        quick = operate("stats", "--quick", "--json", SESSION_DATABASE_URL=url)

    assert (done.code, quick.code) == (1, 0)
    told = values(done.out)
    assert told["sessions: not counted"] == "this role may not read all rows of the table"
    assert "pg_read_all_stats" in told["held back by: remark"]
    assert "not visible" in "".join(
        text for name, text in told.items() if name.startswith("held back by: transaction")
    )
    assert quick.document["sees_others"] is False
    assert quick.document["free_share"] is None


@pytest.mark.usefixtures("sessions")
def test_row_security(operate: Operate, table: Connection, role: str, database_url: str) -> None:
    """A role from which row security hides rows counts nothing, rather than too few."""
    table.execute(sql.SQL("GRANT SELECT ON session TO {}").format(sql.Identifier(role)))
    assert operate("stats", SESSION_DATABASE_URL=make_conninfo(database_url, user=role)).code == 0

    table.execute("ALTER TABLE session ENABLE ROW LEVEL SECURITY")
    done = operate("stats", SESSION_DATABASE_URL=make_conninfo(database_url, user=role))

    assert done.code == 1
    assert "sessions     living" not in done.out


def test_timeout(operate: Operate, table: Connection) -> None:
    """If counting takes too long, the rest is printed, and the exit code is 1."""
    table.execute(
        "INSERT INTO session (session_key, expire_date) "
        "SELECT n::text, now() FROM generate_series(1, 20000) AS n"
    )

    done = operate("stats", "--timeout", "0.001", "--json")

    assert (done.code, done.document["counts"]) == (1, None)
    assert "longer than 0.001 s" in done.document["not_counted"]
    assert done.document["sizes"]["total_bytes"] > 0


@pytest.mark.usefixtures("partitioned")
def test_partitioned(operate: Operate, sign_in: SignIn) -> None:
    """The sizes of a partitioned table are those of its partitions together."""
    for number in range(20):
        sign_in(f"s{number}")

    document = operate("stats", "--json").document

    assert document["counts"]["living"] == 20
    assert document["sizes"]["rows_bytes"] >= 2 * 8192
    assert document["free_share"] is None


def test_infinite(operate: Operate, table: Connection, sign_in: SignIn) -> None:
    """Dates that an application has set to infinity are no obstacle."""
    sign_in("i1")
    sign_in("i2")
    table.execute("UPDATE session SET seen_on = 'infinity', created_on = '-infinity'")
    table.execute("UPDATE session SET expire_date = '-infinity' WHERE session_key = 'i2'")

    done = operate("stats", "--json")

    assert (done.code, done.document["counts"]["expired"]) == (0, 1)


def test_no_table(operate: Operate) -> None:
    """A missing table is an error that says what to run."""
    done = operate("stats", "--table", "other")

    assert done.code == 1
    assert "run `pgsession migrate`" in done.err


@pytest.mark.parametrize("date", ["infinity", "-infinity", "20000-01-01", "294276-12-31"])
def test_odd_dates(operate: Operate, table: Connection, date: str) -> None:
    """Dates that Python does not have do not keep it from counting."""
    table.execute(
        "INSERT INTO session (session_key, expire_date, user_id, created_on, seen_on) "
        "VALUES ('a', now() + interval '1 day', 'ann', %(date)s, %(date)s), "
        "('b', now() - interval '1 day', NULL, %(date)s, %(date)s)",
        {"date": date},
    )

    done = operate("stats", "--json", SESSION_MAX_LIFETIME="36500d")

    assert done.code == 0
    assert [user["user_id"] for user in done.document["top"]] == (
        [] if date == "-infinity" else ["ann"]
    )
