"""The command line: its output and its errors."""

import json
import subprocess
import sys
from importlib.metadata import version

import pytest

from pgsession.__main__ import main
from pgsession.postgres.schema import migrations
from tests.cli.conftest import Operate, SignIn


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["pgsession", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SESSION_DATABASE_URL", raising=False)
    monkeypatch.delenv("SESSION_SCHEMA", raising=False)


def test_migrate(
    database_url: str,
    schema: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`migrate` prints one line for each applied migration; a second run has nothing to do."""
    arguments = "migrate", "--database-url", database_url, "--schema", schema

    assert run(monkeypatch, *arguments) == 0
    assert capsys.readouterr().out.splitlines() == [f"Applied {each.name}" for each in migrations()]
    assert run(monkeypatch, *arguments) == 0
    assert capsys.readouterr().out.startswith("Nothing to do:")


def test_migrate_by_environment(
    database_url: str,
    schema: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`migrate` takes its options from SESSION_DATABASE_URL and SESSION_SCHEMA."""
    monkeypatch.setenv("SESSION_DATABASE_URL", database_url)
    monkeypatch.setenv("SESSION_SCHEMA", schema)

    assert run(monkeypatch, "migrate") == 0
    assert "Applied 0001_session" in capsys.readouterr().out


def test_migrate_unreachable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error is one line on stderr, without the password; the exit code says if it may pass."""
    url = "postgresql://ann:hunter2@127.0.0.1:1/app"

    assert run(monkeypatch, "migrate", "--database-url", url) == 3

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("Error: PostgreSQL cannot be reached")
    assert said.err.count("\n") == 1
    assert "hunter2" not in said.err


def test_migrate_without_url(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a database URL, the usage error names the option and its variable."""
    assert run(monkeypatch, "migrate") == 2

    said = capsys.readouterr().err
    assert "--database-url" in said
    assert "SESSION_DATABASE_URL" in said


def test_secret(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`secret` prints a new secret of 64 characters each time."""
    printed = set()
    for _ in range(2):
        assert run(monkeypatch, "secret") == 0
        printed.add(capsys.readouterr().out.strip())

    assert [len(secret) for secret in printed] == [64, 64]


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints the installed version."""
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"pgsession, version {version('pgsession')}\n"


def test_module() -> None:
    """`python -m pgsession` is the same program."""
    command = [sys.executable, "-m", "pgsession", "secret"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(done.stdout.strip()) == 64


@pytest.mark.parametrize("library", ["click", "rich"])
def test_without_library(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], library: str
) -> None:
    """Without a library, one line says what to install, and the exit code is 2."""
    for name in [*sys.modules]:
        if name.startswith(("pgsession.cli", f"{library}.")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)

    assert run(monkeypatch, "secret") == 2
    said = f'The command line needs {library}: install "pgsession[cli]".\n'
    assert capsys.readouterr().err == said


def test_broken_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    """If another module is missing, the error does not mention click."""
    monkeypatch.setitem(sys.modules, "pgsession.cli.commands", None)

    with pytest.raises(ModuleNotFoundError, match=r"pgsession\.cli"):
        main()


def test_json(operate: Operate, sign_in: SignIn) -> None:
    """`migrate`, `check` and `sweep` print one JSON document with these keys."""
    sign_in("e1", seconds=-60)

    migrated, swept, checked = (operate(it, "--json") for it in ("migrate", "sweep", "check"))

    assert (migrated.code, migrated.document) == (0, {"applied": []})
    assert swept.code == 0
    assert {**swept.document, "seconds": 0} == {
        "removed": 1,
        "pages": 1,
        "seconds": 0,
        "is_whole": True,
    }
    assert checked.code == 0
    found = {it["subject"]: it for it in checked.document["findings"]}
    assert found["table"]["verdict"] == "ok"
    assert found["table"]["code"] == "table"
    assert all({*it} == {*found["table"]} for it in found.values())


def test_codes(operate: Operate) -> None:
    """With --json each finding has its code of docs/reference/check.md."""
    found = operate("check", "--json", "--table", "other").document["findings"]

    codes = {it["code"]: it["verdict"] for it in found}
    assert codes["secret.missing"] == "warning"
    assert codes["table.unfit"] == "wrong"


def test_json_error(operate: Operate) -> None:
    """With --json an error is one JSON object on stderr, with the exit code."""
    done = operate("sweep", "--json", "--table", "other")

    assert (done.code, done.out) == (1, "")
    told = json.loads(done.err)
    assert told.pop("error").endswith("to sweep; run `pgsession migrate`.")
    assert told == {"exit_code": 1}
