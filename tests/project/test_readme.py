"""README.md is short, and its programs run as written."""

import tomllib
from datetime import timedelta
from subprocess import check_output

import pytest

from pgsession import SessionSettings
from pgsession.cli.findings import _OLDEST
from pgsession.core.keys import SELECTOR_LENGTH
from pgsession.core.period import DEFAULT_PERIOD
from pgsession.core.secret_keys import MIN_SECRET_BYTES
from pgsession.core.value import DEFAULT_VALUE_LIMIT
from pgsession.postgres.connections.deadline import GRACE
from pgsession.postgres.connections.runner import DEFAULT_TIMEOUT
from pgsession.postgres.embedded import _binaries
from tests.guides.figures import PINS, missing, word, words
from tests.programs import Visitor, served
from tests.project.conftest import Program
from tests.project.documents import README, ROOT, Document

STARLETTE, FASTAPI = README.programs

TOML = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = TOML["project"]
(OLDEST_STARLETTE,) = (
    each.partition(">=")[2] for each in PROJECT["dependencies"] if each.startswith("starlette>=")
)


def test_length() -> None:
    """It has fewer than 200 lines, so it can be read in a few minutes."""
    assert len(README.text.splitlines()) < 200


@pytest.mark.parametrize("text", [STARLETTE, FASTAPI], ids=["starlette", "fastapi"])
def test_short(text: str) -> None:
    """A program has at most twenty lines."""
    assert len(text.splitlines()) <= 20


def test_starlette(program: Program, variables: dict[str, str]) -> None:
    """The program for Starlette counts when it is served unchanged."""
    with served(program(STARLETTE), **variables) as address:
        visitor = Visitor(address)
        assert [visitor.get().text for _ in range(2)] == ["Visit number 1\n", "Visit number 2\n"]


def test_fastapi(program: Program, variables: dict[str, str]) -> None:
    """The program for FastAPI counts when it is served unchanged."""
    with served(program(FASTAPI), **variables) as address:
        visitor = Visitor(address)
        assert [visitor.get().json() for _ in range(2)] == [{"visits": 1}, {"visits": 2}]


def test_device_binding(program: Program, variables: dict[str, str]) -> None:
    """The program is served with the setting that binds sessions to devices."""
    [line] = [line for line in README.commands if "SESSION_DEVICE_BINDING" in line]
    name, _, value = line.removeprefix("export ").partition("=")
    more = {**variables, name: value}
    with served(program(STARLETTE), **more) as address:
        assert Visitor(address).get().text == "Visit number 1\n"
    assert SessionSettings.from_env(more).device_binding == timedelta(minutes=10)


def test_settings() -> None:
    """It lists five settings, with the variables and defaults of docs/reference/settings.md.

    A default that the reference has in words is a dash here.
    """
    assert len(README.settings) == 5
    assert set(README.settings) <= {
        (name, variable, default if default.startswith("`") else "\N{EN DASH}")
        for name, variable, default in Document("docs/reference/settings.md").settings
    }


def test_contributing() -> None:
    """The page for contributors names the limits of the tests and the number of the lock files."""
    tools = TOML["tool"]
    locks = list((ROOT / "requirements").glob("*.txt"))
    minutes = tools["pytest"]["ini_options"]["timeout"] / 60
    phrases = [
        f"fails under {tools['coverage']['report']['fail_under']} %",
        f"A test that takes {word(minutes)} minutes fails",
        f"commit all {word(len(locks))} files",
        f"You need Python {PROJECT['requires-python'].removeprefix('>=')} or later and `make`",
    ]

    assert missing("CONTRIBUTING.md", phrases) == []


@pytest.mark.parametrize("page", ["README.md", "docs/install.md"])
def test_requirements(page: str) -> None:
    """The README and the page about the installation name the oldest versions that are accepted."""
    python = PROJECT["requires-python"].removeprefix(">=")
    parts = f"Starlette {OLDEST_STARLETTE} or later and PostgreSQL {_OLDEST // 10_000} or later"

    assert missing(page, [f"Python {python} or later, {parts}"]) == []


def test_embedded() -> None:
    """The embedded server is of the version that the pages name."""
    said = check_output([_binaries() / "postgres", "--version"], text=True)
    version = said.partition("(PostgreSQL) ")[2].partition(".")[0]
    named = f"[PostgreSQL {version} for demos and tests]"

    assert missing("README.md", [named]) == missing("docs/install.md", [named]) == []


def test_figures() -> None:
    """Each figure in its prose is that of the code."""
    phrases = [
        f"Size limit | {DEFAULT_VALUE_LIMIT // 1_000_000} MB by default",
        f"Starlette {PINS['starlette']}, starsessions {PINS['starsessions']} and Django",
        f"Django {PINS['django']}.",
        f"`timeout` ({DEFAULT_TIMEOUT:g} s) and {word(2 * GRACE)} second more",
        f"{MIN_SECRET_BYTES} bytes or more. Required",
        f"after its last use; {words(DEFAULT_PERIOD)} if not set",
        f"a random key of {6 * SELECTOR_LENGTH} bits",
    ]

    assert missing("README.md", phrases) == []
