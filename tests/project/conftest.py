"""Fixtures for the tests of the documentation: a program from a page, as a file or as names."""

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.project.documents import Document

Program = Callable[[str], Path]
Names = Callable[[str], dict[str, Any]]


@pytest.fixture
def variables(database_url: str, migrated_schema: str) -> dict[str, str]:
    """The variables that a program reads, for a schema with the table."""
    return {
        "SESSION_DATABASE_URL": database_url,
        "SESSION_SCHEMA": migrated_schema,
        "SESSION_SECRET_KEY": "a secret of more than thirty-two bytes",
    }


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Writes a program to the file app.py."""

    def write(text: str) -> Path:
        path = tmp_path / "app.py"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def names(program: Program, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Names:
    """Runs a program in this process and returns the names that it defines."""
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    return lambda text: runpy.run_path(str(program(text)))


@pytest.fixture
def accounts(database_url: str, migrated_schema: str) -> Iterator[psycopg.Connection]:
    """A connection to the database of the programs, with a table of users."""
    url = make_conninfo(database_url, options=f"-csearch_path={migrated_schema}")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(Document("docs/how-to/passwords.md").statements[0])
        connection.execute("INSERT INTO account VALUES ('ann', 'old', 1), ('bob', 'his', 1)")
        yield connection
