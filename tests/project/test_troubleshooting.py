"""docs/troubleshooting.md quotes the errors of programs that cannot start."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE, STDOUT, run

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.programs import TIMEOUT, unmeasured
from tests.project.conftest import Program
from tests.project.documents import README, ROOT, Document

PAGE = Document("docs/troubleshooting.md")

#: The section whose table has the messages.
_, _, STARTING = PAGE.text.partition("\n## The application does not start\n")

#: The messages of the table, in order.
MESSAGES = [
    text.strip()
    for _, text in re.findall(r"^\| (`+)(.+?)\1 \|", STARTING.partition("\n## ")[0], re.MULTILINE)
]
(
    NO_TABLE,
    OLD_TABLE,
    SERVER_DOWN,
    NO_DATABASE,
    NO_SECRET,
    SHORT_SECRET,
    BAD_PERIOD,
    NO_CLICK,
) = MESSAGES

#: The first program of the README.
APP = README.programs[0]

Start = Callable[..., str]


def said_by(command: list[str], variables: dict[str, str]) -> str:
    """Run a program that cannot start; return its output."""
    done = run(
        [sys.executable, *command],
        check=False,
        env=unmeasured(variables),
        stdout=PIPE,
        stderr=STDOUT,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode != 0
    return done.stdout


@pytest.fixture
def start(program: Program, variables: dict[str, str]) -> Start:
    """Serves the README's program with some variables changed; returns its output."""
    command = ["-m", "uvicorn", "--lifespan", "on", "--port", "0"]
    command += ["--app-dir", str(program(APP).parent), "app:app"]
    return lambda **changed: said_by(command, {**variables, **changed})


def assert_said(said: str, message: str) -> None:
    """Check that this line was printed, after the name of its logger or class."""
    assert re.search(rf"^(ERROR: +|[\w.]+Error: ){re.escape(message)}$", said, re.MULTILINE), said


def test_table_missing(start: Start, database_url: str) -> None:
    """A database without the table gives one line that names the remedy."""
    bare = make_conninfo(database_url, options="-c search_path=pg_temp")
    assert_said(start(SESSION_DATABASE_URL=bare, SESSION_SCHEMA=""), NO_TABLE)


def test_table_old(start: Start, database_url: str, migrated_schema: str) -> None:
    """A table of an existing application gives one line that names the remedy."""
    old = make_conninfo(database_url, options=f"-c search_path={migrated_schema}")
    with psycopg.connect(old, autocommit=True) as connection:
        connection.execute("DROP TABLE session, session_migration")
        connection.execute((ROOT / "migrations/0001_session.sql").read_bytes())
    assert_said(start(SESSION_DATABASE_URL=old, SESSION_SCHEMA=""), OLD_TABLE)


def test_server_down(start: Start) -> None:
    """A server that is down at startup gives one line that names its address."""
    said = start(SESSION_DATABASE_URL="postgresql://127.0.0.1:1/app", SESSION_STRICT_START="true")
    assert_said(said.replace("port 1 ", "port 5432 "), SERVER_DOWN)


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        pytest.param("SESSION_DATABASE_URL", "", NO_DATABASE, id="no-database"),
        pytest.param("SESSION_SECRET_KEY", "", NO_SECRET, id="no-secret"),
        pytest.param("SESSION_SECRET_KEY", "short", SHORT_SECRET, id="short-secret"),
        pytest.param("SESSION_DEFAULT_PERIOD", "7 days", BAD_PERIOD, id="bad-period"),
    ],
)
def test_bad_setting(start: Start, variable: str, text: str, message: str) -> None:
    """A setting that cannot work gives one line that names it."""
    assert_said(start(**{variable: text}), message)


def test_no_click(tmp_path: Path) -> None:
    """The command line without its extra gives one line that names the extra."""
    (tmp_path / "click.py").write_text("raise ModuleNotFoundError(name='click')")
    said = said_by(["-m", "pgsession", "check"], {"PYTHONPATH": str(tmp_path)})
    assert said == f"{NO_CLICK}\n"
