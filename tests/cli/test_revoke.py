"""`pgsession revoke`: it ends what was named, after a question, and nothing else."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import psycopg
import pytest
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from pgsession import SessionSettings
from tests.cli.conftest import Operate, SignIn, Terminal
from tests.programs import environment, eventually

A, B, C = "aa" + 38 * "1", "ab" + 38 * "2", "c" * 40
MARKER: Final = """
INSERT INTO session (session_key, verifier, expire_date)
VALUES ('marker', 'adopted', now() + interval '1 day')
"""


def left(table: Connection) -> list[str]:
    """Return the handles that are left."""
    found = table.execute("SELECT session_key FROM session ORDER BY session_key").fetchall()
    return [handle for (handle,) in found]


@contextmanager
def holding(table: Connection, handle: str) -> Iterator[None]:
    """Hold the row of a session."""
    options = table.info.get_parameters()["options"]
    with psycopg.connect(table.info.dsn, options=options) as holder:
        holder.execute("SELECT FROM session WHERE session_key = %s FOR UPDATE", (handle,))
        yield


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands wait half a second for the database."""
    make = SessionSettings.from_env
    monkeypatch.setattr(
        SessionSettings, "from_env", lambda given: replace(make(given), timeout=0.5)
    )


@pytest.fixture
def sessions(sign_in: SignIn) -> None:
    """Two sessions of ann, one of bob, one of a visitor."""
    sign_in(A)
    sign_in(B)
    sign_in(C, "bob")
    sign_in("visitor", None)


@pytest.mark.usefixtures("sessions")
def test_handles(operate: Operate, table: Connection) -> None:
    """The sessions with these handles end, and no others; a handle may be given twice."""
    done = operate("revoke", "ann", A, A, "--yes")

    assert (done.code, done.out, done.err) == (0, "Ended 1 session.\n", "")
    assert left(table) == [B, C, "visitor"]


@pytest.mark.usefixtures("sessions")
def test_beginning(operate: Operate, table: Connection) -> None:
    """The beginning of a handle is enough if it is of one session of the user."""
    done = operate("revoke", "ann", "ab", "--yes", "--json")

    assert done.code == 0
    assert {**done.document, "seconds": 0} == {"ended": 1, "ended_before": 0, "seconds": 0}
    assert left(table) == [A, C, "visitor"]


def test_dash(operate: Operate, table: Connection, sign_in: SignIn) -> None:
    """A handle that begins with a dash is given after --, as is a user."""
    sign_in("-ab" + A, "-ann")
    sign_in("-b" + A, "-ann")
    sign_in("--all", "ann")

    assert operate("revoke", "--yes", "--", "-ann", "-ab").out == "Ended 1 session.\n"
    assert operate("revoke", "ann", "--yes", "--", "--all").out == "Ended 1 session.\n"
    assert left(table) == ["-b" + A]


@pytest.mark.usefixtures("sessions")
@pytest.mark.parametrize(
    ("handles", "said"),
    [
        pytest.param([C], f"has the handle {C}", id="another's"),
        pytest.param(["visitor"], "has the handle visitor", id="visitor's"),
        pytest.param(["\x1b[31m"], r"has the handle \x1b[31m", id="escape"),
        pytest.param([A, "x", "a"], "2 sessions of this user have a handle", id="both"),
    ],
)
def test_not_found(operate: Operate, table: Connection, handles: list[str], said: str) -> None:
    """If no handle is found, or one means several sessions, nothing ends; the exit code is 1."""
    done = operate("revoke", "ann", *handles, "--yes")

    assert (done.code, done.out) == (1, "")
    assert said in done.err
    assert "Nothing was ended" in done.err
    assert len(left(table)) == 4


@pytest.mark.usefixtures("sessions")
def test_some_not_found(operate: Operate, table: Connection) -> None:
    """A handle that is not found keeps no other from ending, and the exit code is 1."""
    done = operate("revoke", "ann", C, A, "x", "--yes")

    assert (done.code, done.out) == (1, "")
    assert f"Ended 1 session. No living session of this user has the handle {C} or x." in done.err
    assert left(table) == [B, C, "visitor"]


@pytest.mark.usefixtures("sessions", "impatient")
@pytest.mark.parametrize("arguments", [[A, B], ["--all"]], ids=["handles", "all"])
def test_held(operate: Operate, table: Connection, arguments: list[str]) -> None:
    """A row that is held keeps no other from ending; the error says how many have ended."""
    with holding(table, B):
        done = operate("revoke", "ann", *arguments, "--yes")

    assert (done.code, done.out) == (1, "")
    assert "Another transaction held the session" in done.err
    assert re.search(r"\b1 session( had ended|\.)", done.err)
    assert left(table) == [B, C, "visitor"]
    assert operate("revoke", "ann", B, "--yes").code == 0


@pytest.mark.usefixtures("sessions")
@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "Interrupted"), (signal.SIGTERM, 143, "Terminated")],
    ids=["SIGINT", "SIGTERM"],
)
def test_all_interrupted(
    surroundings: dict[str, str], table: Connection, number: int, code: int, word: str
) -> None:
    """--all that is ended from outside ends at once, and says what has ended."""
    command = [sys.executable, "-m", "pgsession", "revoke", "ann", "--all", "--yes"]
    with (
        holding(table, B),
        subprocess.Popen(
            command, env=environment(surroundings), stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        assert eventually(lambda: left(table) == [B, C, "visitor"])
        process.send_signal(number)
        _, said = process.communicate()

    assert (process.returncode, said) == (
        code,
        f"Error: {word}. At least 1 session had ended by then.\n",
    )


@pytest.mark.usefixtures("sessions")
def test_read_only(operate: Operate, surroundings: dict[str, str], table: Connection) -> None:
    """A setting that makes the role read-only does not pass by itself: the exit code is 1."""
    url = make_conninfo(
        surroundings["SESSION_DATABASE_URL"], options="-c default_transaction_read_only=on"
    )
    for command in (["revoke", "ann", "--all", "--yes"], ["devices", "ann"], ["sweep"]):
        done = operate(*command, SESSION_DATABASE_URL=url)
        assert (done.code, done.out) == (1, "")
        assert "default_transaction_read_only" in done.err
    assert len(left(table)) == 4


@pytest.mark.usefixtures("sessions")
def test_all(operate: Operate, table: Connection) -> None:
    """--all ends the sessions of the user; a second run has none to end, which is no error."""
    assert operate("revoke", "ann", "--all", "--yes").out == "Ended 2 sessions.\n"
    assert operate("revoke", "ann", "--all", "--yes", "--json").document["ended"] == 0

    assert left(table) == [C, "visitor"]


@pytest.mark.usefixtures("sessions")
def test_everyone(operate: Operate, table: Connection) -> None:
    """--everyone ends all sessions, and keeps the markers of adopted ones."""
    table.execute(MARKER)

    done = operate("revoke", "--everyone", "--yes", "--json")

    assert (done.code, done.document["ended"]) == (0, 4)
    assert left(table) == ["marker"]


@pytest.mark.usefixtures("sessions")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param([], "write `pgsession revoke USER HANDLE`", id="nothing"),
        pytest.param(["ann"], "`pgsession revoke USER --all`", id="no handle"),
        pytest.param(["ann", ""], "`pgsession revoke USER --all`", id="empty handle"),
        pytest.param(["ann", A, "--all"], "not both", id="handle and all"),
        pytest.param(["ann", "--everyone"], "`pgsession revoke --everyone`", id="user"),
        pytest.param(["--everyone", "--all"], "`pgsession revoke --everyone`", id="both"),
        pytest.param(["--all"], "write `pgsession revoke USER HANDLE`", id="all of nobody"),
        pytest.param(["", "--all"], "USER must not be empty", id="empty user"),
        pytest.param(["ann", "-x"], "write -- before it", id="dash"),
        pytest.param(["ann", "-hx"], "write -- before it", id="no help"),
    ],
)
def test_usage(operate: Operate, table: Connection, arguments: list[str], said: str) -> None:
    """What makes no sense is wrong usage: the error says what to write, and nothing ends."""
    done = operate("revoke", *arguments, "--yes")

    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert len(left(table)) == 4


@pytest.mark.usefixtures("sessions")
@pytest.mark.parametrize("arguments", [["ann", A], ["ann", "--all"], ["--everyone"]], ids=str)
def test_without_terminal(operate: Operate, table: Connection, arguments: list[str]) -> None:
    """Without a terminal and --yes nothing ends, and the exit code is 2."""
    done = operate("revoke", *arguments)
    as_json = operate("revoke", *arguments, "--json")

    assert (done.code, as_json.code) == (2, 2)
    assert "add --yes" in done.err
    assert as_json.err.endswith('"exit_code": 2}\n')
    assert len(left(table)) == 4


@pytest.mark.usefixtures("sessions")
def test_question(terminal: Terminal, table: Connection) -> None:
    """On a terminal it asks, and says how many sessions it will end; without a yes none ends."""
    shown = terminal("revoke", "ann", "--all", answer="n\n", code=1)
    assert "End 2 sessions of user ann? [y/N]" in shown
    assert "Nothing was ended." in shown
    assert len(left(table)) == 4

    shown = terminal("revoke", "--everyone", answer="y\n")
    assert "End all 4 sessions, those of visitors too? [y/N]" in shown
    assert "Ending sessions  [####" in shown
    assert "Ended 4 sessions." in shown
    assert left(table) == []


@pytest.mark.usefixtures("sessions")
def test_interrupted(surroundings: dict[str, str], table: Connection) -> None:
    """Ctrl-C ends it with exit code 130, and it says what has ended."""
    command = [sys.executable, "-m", "pgsession", "revoke", "--everyone", "--yes"]
    options = table.info.get_parameters()["options"]
    with psycopg.connect(table.info.dsn, options=options) as holder:
        holder.execute("SELECT FROM session WHERE user_id = 'bob' FOR UPDATE")
        with subprocess.Popen(
            command, env=environment(surroundings), stderr=subprocess.PIPE, text=True
        ) as process:
            assert eventually(lambda: left(table) == [C])
            process.send_signal(signal.SIGINT)
            _, said = process.communicate()

    assert process.returncode == 130
    ended = "At least [03] sessions had ended; run it again for the others."  # as far as it knows
    assert re.fullmatch(f"Error: Interrupted. {ended}\n", said)
    assert left(table) == [C]
