"""`pgsession devices`: the sessions of a user, for people and for programs."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from psycopg import Connection, sql
from psycopg.conninfo import make_conninfo

from tests.cli.conftest import Operate, SignIn, Terminal
from tests.cli.test_check import role, variables

__all__ = ["role", "variables"]  # fixtures

#: Texts that a terminal, or rich, would interpret.
HOSTILE: Final = "[red]\x1b[31mx\x07\u202e[/red] [link=http://evil]"
ESCAPED: Final = r"[red]\x1b[31mx\x07\u202e[/red] [link=http://evil]"

HEADINGS: Final = (
    "HANDLE",
    "SIGNED_IN",
    "LAST_SEEN",
    "EXPIRES",
    "BOUND",
    "ACTOR",
    "ADDRESS",
    "LABEL",
    "USER_AGENT",
)

A, B = "a" * 40, "aaaaaaaaaa" + "b" * 30


def test_plain(operate: Operate, sign_in: SignIn) -> None:
    """Without a terminal each session is one line with the whole handle and exact times."""
    sign_in(A, label="laptop", address="192.0.2.1", agent="Firefox " + 200 * "x")
    sign_in(B, actor="root")
    sign_in("c" * 40, "bob")
    sign_in("d" * 40, seconds=-1)

    done = operate("devices", "ann")

    assert (done.code, done.err) == (0, "")
    heading, *lines = done.out.splitlines()
    assert heading.split() == [*HEADINGS]
    cells = {line.split()[0]: line.split()[4:] for line in lines}
    assert cells == {
        A: ["no", "-", "192.0.2.1", "laptop", "Firefox", 200 * "x"],
        B: ["no", "root", "-", "-", "-"],
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", lines[0].split()[1])
    assert "\x1b" not in done.out
    assert done.out.isascii()


def test_json(operate: Operate, sign_in: SignIn) -> None:
    """The JSON document has these keys, and times in UTC; it is ASCII."""
    sign_in(A, label=HOSTILE, actor="root", address="192.0.2.1", agent="Firefox 💻")

    done = operate("devices", "ann", "--json")

    assert done.out.isascii()
    [session] = done.document.pop("sessions")
    assert done.document["user_id"] == "ann"
    times = [
        datetime.fromisoformat(session.pop(name))
        for name in ("signed_in_at", "created_at", "last_seen_at", "expires_at")
    ]
    assert {at.utcoffset() for at in times} == {timedelta(0)}
    assert times[3] - datetime.now(UTC) > timedelta(minutes=50)
    assert session == {
        "handle": A,
        "label": HOSTILE,
        "actor_id": "root",
        "address": "192.0.2.1",
        "user_agent": "Firefox 💻",
        "is_bound": False,
    }


@pytest.mark.parametrize("width", [80, 140])
def test_terminal(terminal: Terminal, sign_in: SignIn, width: int) -> None:
    """A terminal shows a table that fits, with handles as long as it takes to tell them apart."""
    sign_in(A, label="laptop", address="192.0.2.1", agent="Mozilla/5.0 " + 30 * "words ")
    sign_in(B)

    shown = terminal("devices", "ann", width=width, NO_COLOR="1")

    plain = re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert max(map(len, plain.splitlines())) <= width
    assert re.search(r"^a{11} ", plain, re.MULTILINE)
    assert re.search(r"^a{10}b ", plain, re.MULTILINE)
    assert plain.count("words") == 30
    assert re.search(r"in (59|60) min", plain)
    assert "2 sessions of user ann." in plain
    assert not re.search(r"\x1b\[[\d;]*3\dm", shown)


def test_hostile(operate: Operate, terminal: Terminal, sign_in: SignIn) -> None:
    """Escape sequences, markup and marks for the direction of text are shown, not interpreted."""
    sign_in(A, HOSTILE, label=HOSTILE, actor=HOSTILE, address=HOSTILE, agent=HOSTILE)

    plain = operate("devices", HOSTILE).out
    shown = terminal("devices", HOSTILE, width=200)

    assert plain.count(ESCAPED) == 4
    assert shown.count(ESCAPED) == 5
    for said in (plain, shown):
        assert not re.search("\x1b\\[31m|\x07|\u202e|\x1b]8", said)


def test_nobody(operate: Operate, terminal: Terminal) -> None:
    """A user without sessions is no error."""
    assert operate("devices", "nobody").out.splitlines()[1:] == []
    assert operate("devices", "nobody", "--json").document == {"user_id": "nobody", "sessions": []}
    assert "User nobody has no living session." in terminal("devices", "nobody")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param([], "Missing argument 'USER'", id="missing"),
        pytest.param([""], "USER must not be empty", id="empty"),
        pytest.param(["a" * 256], "at most 255", id="long"),
        pytest.param(["\udcff"], "cannot store", id="no text"),
        pytest.param(["-ann"], "write -- before it", id="dash"),
    ],
)
def test_usage(operate: Operate, arguments: list[str], said: str) -> None:
    """What cannot be a user's id is wrong usage, and the error says what to write."""
    done = operate("devices", *arguments)

    assert (done.code, done.out) == (2, "")
    assert said in done.err


@pytest.mark.parametrize("user", ["-ann", "--all", " ", "'; --", "%s", "🖥"])
def test_users(operate: Operate, sign_in: SignIn, user: str) -> None:
    """Any other text names a user, after -- also one that begins with a dash."""
    sign_in(A, user)

    done = operate("devices", "--json", "--", user)

    assert [each["handle"] for each in done.document["sessions"]] == [A]


def test_limits(operate: Operate, table: Connection, sign_in: SignIn) -> None:
    """The limits in the environment say which sessions are alive."""
    sign_in(A)
    table.execute("UPDATE session SET created_on = now() - interval '2 days'")

    listed = operate("devices", "ann", "--json", SESSION_MAX_LIFETIME="1d").document

    assert listed["sessions"] == []


def test_unreachable(operate: Operate, closed_port: int) -> None:
    """If the database cannot be reached, the exit code is 3, and with --json the error is JSON."""
    url = f"postgresql://ann:hunter2@127.0.0.1:{closed_port}/app"

    done = operate("devices", "ann", SESSION_DATABASE_URL=url)
    as_json = operate("devices", "ann", "--json", SESSION_DATABASE_URL=url)

    assert (done.code, as_json.code) == (3, 3)
    assert done.err.startswith("Error: PostgreSQL cannot be reached")
    assert "hunter2" not in done.err + as_json.err
    assert as_json.out == ""
    assert as_json.err.startswith('{"error": "PostgreSQL cannot be reached')
    assert as_json.err.endswith('"exit_code": 3}\n')


def test_privileges(operate: Operate, table: Connection, role: str, database_url: str) -> None:
    """A role without the privileges is told which it needs."""
    url = make_conninfo(database_url, user=role)
    table.execute(sql.SQL("GRANT SELECT ON session TO {}").format(sql.Identifier(role)))

    done = operate("devices", "ann", SESSION_DATABASE_URL=url)

    assert done.code == 1
    assert "GRANT" in done.err
