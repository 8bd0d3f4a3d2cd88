"""The page about the secret: its programs read it from each place, and its test rotates it."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner

from pgsession.cli.commands import command
from pgsession.core.secret_keys import MIN_SECRET_BYTES
from tests.guides.conftest import Browse
from tests.project.conftest import Names
from tests.project.documents import Document

PAGE: Final = Document("docs/how-to/secrets.md")
VARIABLE, FILE, MANAGER, ROTATION = PAGE.programs
SECRET: Final = "a secret of more than thirty-two bytes"


def test_secret() -> None:
    """`pgsession secret` prints what the page says: 48 bytes as 64 characters."""
    done = CliRunner().invoke(command, ["secret"])

    assert re.fullmatch(r"[\w-]{64}\n", done.output)
    assert f"At least {MIN_SECRET_BYTES} bytes" in PAGE.text
    assert "240 random\nbits" in PAGE.text


def test_variable(names: Names, browse: Browse) -> None:
    """The first program counts, with the secret of the environment."""
    visitor = browse(names(VARIABLE))

    assert [visitor.get("/").json() for _ in range(2)] == [1, 2]


def test_new_secret(names: Names, browse: Browse, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another secret, the count begins again."""
    visitor = browse(names(VARIABLE))
    visitor.get("/")
    monkeypatch.setenv("SESSION_SECRET_KEY", "another secret of more than thirty-two bytes")
    other = browse(names(VARIABLE))
    other.cookies = visitor.cookies

    assert other.get("/").json() == 1


def test_file(
    names: Names, browse: Browse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The secrets of a file sign and verify, one in each line."""
    file = tmp_path / "session_secret_key"
    monkeypatch.setenv("SECRETS_FILE", str(file))
    file.write_text(f"{SECRET}-1\n", encoding="utf-8")
    visitor = browse(names(FILE))
    visitor.get("/")
    file.write_text(f"{SECRET}-2\n{SECRET}-1\n", encoding="utf-8")
    other = browse(names(FILE))
    other.cookies = visitor.cookies

    assert other.get("/").json() == 2
    assert "file: ./session_secret_key.txt" in PAGE.text


def test_manager(names: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of secrets comes from a file of pydantic-settings; no repr shows them."""
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    new, old = f"{SECRET}-2", f"{SECRET}-1"
    (tmp_path / "app_session_secrets").write_text(json.dumps([new, old]), encoding="utf-8")
    (tmp_path / "app_database_url").write_text("postgresql://localhost/app", encoding="utf-8")

    settings: Any = names(MANAGER)["settings"]

    assert settings.make_cookie().secret_keys == (new, old)
    assert SECRET not in repr(settings)


def test_rotation(names: Names) -> None:
    """The test of the page passes: nobody is signed out, and the old secret opens nothing."""
    names(ROTATION)["test_rotation"]()
