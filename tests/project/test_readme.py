"""README.md keeps its word: its programs run as written, its tables and messages are true."""

import re
import runpy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields
from datetime import timedelta
from pathlib import Path
from subprocess import PIPE, STDOUT, run
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo
from starlette.testclient import TestClient

from pgsession import SessionSettings
from pgsession.core.period import as_period, parse_period
from tests.programs import PATIENCE, Visitor, environment, served

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECRET = "a secret of more than thirty-two bytes"

#: The programs in the order in which they stand.
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
APP, LOGIN, CONCURRENCY, STORE, MEMORY = range(5)

#: What the settings' table has where there is no default.
NONE = "\N{EN DASH}"

Program = Callable[[int], Path]


@pytest.fixture
def variables(database_url: str, migrated_schema: str) -> dict[str, str]:
    return {
        "SESSION_DATABASE_URL": database_url,
        "SESSION_SCHEMA": migrated_schema,
        "SESSION_SECRET_KEY": SECRET,
    }


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Write a program of the README into a file."""

    def write(number: int) -> Path:
        path = tmp_path / "app.py"
        path.write_text(PROGRAMS[number], encoding="utf-8")
        return path

    return write


@pytest.fixture
def names(
    program: Program, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], dict[str, Any]]:
    """Run a program of the README here, and return what it defines."""
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    return lambda number: runpy.run_path(str(program(number)))


@contextmanager
def client(names: dict[str, Any]) -> Iterator[TestClient]:
    with TestClient(names["app"], base_url="https://testserver") as it:
        yield it


def test_every_program_is_tested() -> None:
    """There are as many Python blocks as programs that the tests below run."""
    assert len(PROGRAMS) == MEMORY + 1


def test_app(program: Program, variables: dict[str, str]) -> None:
    """The first program has twenty lines at most, and counts when served as it stands."""
    assert len(PROGRAMS[APP].splitlines()) <= 20
    with served(program(APP), **variables) as address:
        visitor = Visitor(address)
        assert [visitor.get().text for _ in range(2)] == ["Visit number 1\n", "Visit number 2\n"]


def test_login(names: Callable[[int], dict[str, Any]]) -> None:
    """The login gives a cookie for thirty days, a new one each time; the logout takes it."""
    with client(names(LOGIN)) as visitor:
        first = visitor.get("/login").headers["set-cookie"]
        second = visitor.get("/login").headers["set-cookie"]
        last = visitor.get("/logout").headers["set-cookie"]

    assert "Max-Age=2592000;" in first
    assert first.split(";")[0] != second.split(";")[0]
    assert "Max-Age=0;" in last


def test_concurrency(names: Callable[[int], dict[str, Any]]) -> None:
    """Credits are spent one by one, and a state that was never stored is refused."""
    with client(names(CONCURRENCY)) as visitor:
        assert [visitor.get("/spend").text for _ in range(2)] == ["9", "8"]
        assert visitor.get("/callback", params={"state": "guessed"}).status_code == 400


def test_store(program: Program, variables: dict[str, str]) -> None:
    """The program that uses a store runs to its end."""
    done = run(
        [sys.executable, program(STORE)],
        check=False,
        env=environment(variables),
        stdout=PIPE,
        stderr=STDOUT,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_memory(names: Callable[[int], dict[str, Any]]) -> None:
    """The test that uses a MemoryStore passes."""
    names(MEMORY)["test_count"]()


def written(default: object) -> str:
    """Return a setting's default as the table shows it: no default is a dash."""
    match default:
        case bool():
            return f"`{str(default).lower()}`"
        case None | () | "default":
            return NONE
        case _:
            return NONE if default is MISSING else f"`{default}`"


def test_settings_table() -> None:
    """The table lists every setting in order, with its variable and its default."""
    listed = re.findall(r"^\| `(\w+)` \| `(SESSION_\w+)` \| (\S+) \|", README, re.MULTILINE)

    assert [name for name, _, _ in listed] == [each.name for each in fields(SessionSettings)]
    for (name, variable, default), setting in zip(listed, fields(SessionSettings), strict=True):
        assert variable == {"session_cookie": "SESSION_COOKIE"}.get(name, f"SESSION_{name.upper()}")
        if isinstance(setting.default, timedelta | float):
            assert parse_period(default.strip("`")) == as_period(setting.default)
        else:
            assert default == written(setting.default)


def test_every_listed_variable_is_read() -> None:
    """Each variable of the table is one that `from_env` reads."""
    for variable in re.findall(r"^\| `\w+` \| `(SESSION_\w+)` \|", README, re.MULTILINE):
        plain = SessionSettings.from_env({"SESSION_SECRET_KEY": SECRET})
        given = {"SESSION_SECRET_KEY": SECRET, variable: SAMPLES.get(variable, "9")}
        assert SessionSettings.from_env(given) != plain


SAMPLES = {
    "SESSION_SECRET_KEY": SECRET[::-1],
    "SESSION_DATABASE_URL": "postgresql:///app",
    "SESSION_ASSURANCE_LEVEL": "3",
    "SESSION_PATH": "/below",
    "SESSION_SAME_SITE": "strict",
    "SESSION_HTTPS_ONLY": "no",
    "SESSION_DOMAIN": "example.com",
    "SESSION_PARTITIONED": "yes",
    "SESSION_EXCLUDE": "/static,/health",
    "SESSION_ON_UNAVAILABLE": "anonymous",
    "SESSION_PREPARED": "no",
}


def said_at_start(program: Path, variables: dict[str, str]) -> str:
    """Serve a program that cannot start; return what it says."""
    command = [sys.executable, "-m", "uvicorn", "--lifespan", "on", "--port", "0"]
    command += ["--app-dir", str(program.parent), "app:app"]
    done = run(
        command,
        check=False,
        env=environment(variables),
        stdout=PIPE,
        stderr=STDOUT,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode != 0
    return done.stdout


def assert_listed(said: str, message: str) -> None:
    """Check that this line was said, after its logger's or its class's name, and is listed."""
    assert re.search(rf"^(ERROR: +|[\w.]+Error: ){re.escape(message)}$", said, re.MULTILINE), said
    assert f"`{message}`" in README


def test_table_missing(program: Program, variables: dict[str, str], database_url: str) -> None:
    """A database without the table is one line that names the remedy."""
    bare = make_conninfo(database_url, options="-c search_path=pg_temp")
    said = said_at_start(
        program(APP), {**variables, "SESSION_DATABASE_URL": bare, "SESSION_SCHEMA": ""}
    )
    assert_listed(said, "There is no table session; run `pgsession migrate`.")


def test_server_down(program: Program, variables: dict[str, str]) -> None:
    """A server that is down at the start is one line that says where it was sought."""
    down = {**variables, "SESSION_DATABASE_URL": "postgresql://127.0.0.1:1/app"}
    said = said_at_start(program(APP), down).replace("port 1 ", "port 5432 ")
    (message,) = re.findall(r"`(PostgreSQL cannot be reached: .*?)`", README)
    assert_listed(said, message)


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        (
            "SESSION_DATABASE_URL",
            "",
            (
                "database_url is missing: give the middleware a store, or settings with a "
                "database_url (SessionSettings.from_env() reads SESSION_DATABASE_URL)."
            ),
        ),
        (
            "SESSION_SECRET_KEY",
            "",
            "SESSION_SECRET_KEY is missing: make one with `pgsession secret`.",
        ),
        (
            "SESSION_SECRET_KEY",
            "short",
            "secret_key is 5 bytes long; it needs at least 32. Make one with `pgsession secret`.",
        ),
        (
            "SESSION_DEFAULT_PERIOD",
            "7 days",
            "SESSION_DEFAULT_PERIOD: A period is written as 90, 90s, 15m, 12h, 7d or 2w.",
        ),
    ],
    ids=["no database", "no secret", "short secret", "bad period"],
)
def test_bad_setting(
    program: Program, variables: dict[str, str], variable: str, text: str, message: str
) -> None:
    """A setting that cannot work is one line that names it."""
    assert_listed(said_at_start(program(APP), {**variables, variable: text}), message)


def test_links() -> None:
    """Each link leads to a file or a heading that is there."""
    headings = {
        "#" + heading.lower().replace(" ", "-")
        for heading in re.findall(r"^##+ (.+)$", README, re.MULTILINE)
    }
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert target in headings or (ROOT / target).exists(), target
