"""The tutorial, followed from its first line to its last."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pytest
from psycopg.conninfo import make_conninfo

from tests.guides import tutorial
from tests.guides.tutorial import Command, File, is_like, shell, shop, shown, texts, typed
from tests.programs import ADDRESS, uvicorn
from tests.project.documents import ROOT, Document

SECRET: Final = "a secret of more than thirty-two bytes"

#: Its reader installs what is current. Starlette 1.0's test client and a current anyio print a
#: warning, and have types that pyright does not know.
needs_current_starlette = pytest.mark.skipif(
    version("starlette").startswith("1.0."), reason="the tutorial shows a later Starlette"
)

#: What the reader types, and these tests do in their own way.
BESIDE: Final = (
    "mkdir shop",
    "cd shop",
    "python3 -m venv",
    ". ",
    "pip ",
    "python -m pgsession.embedded",
    "uvicorn ",
)

#: The chapters in which the reader uses the shop, with curl.
USED: Final = ["counter", "accounts", "signing-in", "cart", "devices", "forged-requests"]


class Reader:
    """Writes the files of the chapters, and types the commands."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self._folder = folder
        self._variables = {"SESSION_DATABASE_URL": database_url, "SESSION_SECRET_KEY": SECRET}
        self._server = ExitStack()
        self._host: str | None = None

    def write(self, file: File) -> None:
        """Write a file. The server starts again when it is asked the next time."""
        self.stop()
        file.write(self._folder)

    def type(self, line: str) -> str:
        """Run a line in the shell, and return its output."""
        if "localhost:8000" in line:
            line = line.replace("localhost:8000", self._started())
        return shell(line, self._folder, **self._variables)

    def stop(self) -> None:
        """Stop the server if it runs."""
        self._server.close()
        self._host = None

    def _started(self) -> str:
        if self._host is None:
            place = ["--app-dir", str(self._folder), "--port", "0"]
            arguments = ["--no-access-log", *place, "--factory", "app.main:make_app"]
            served = uvicorn(arguments, said=ADDRESS, **self._variables)
            self._host = self._server.enter_context(served).removeprefix("http://")
        return self._host


@pytest.fixture
def reader(tmp_path: Path, database_url: str, schema: str) -> Iterator[Reader]:
    """A reader in an empty folder, with an empty database."""
    it = Reader(tmp_path, make_conninfo(database_url, options=f"-csearch_path={schema}"))
    yield it
    it.stop()


def test_shop(reader: Reader) -> None:
    """A reader who writes the files and types the commands sees what the pages show."""
    assert tutorial.chapters()[: len(USED)] == USED
    for step in (step for chapter in USED for step in tutorial.steps(chapter)):
        match step:
            case File():
                reader.write(step)
            case Command(line, output) if "tea: 2 " in output:  # or "a little more"
                assert re.search(r"tea: ([2-9]|10) ", reader.type(line))
            case Command(line, _) if not line.startswith(BESIDE):
                output = reader.type(line)
                assert step.is_seen(output), f"{line}\n{output}"
            case _:
                pass

    again = shown("container")[0].partition("\n")[0]
    assert is_like(again, reader.type("pgsession migrate"))


def test_cookie() -> None:
    """The cookie that a page explains is the one that an earlier page shows."""
    (cookie,) = shown("forged-requests")
    assert cookie.strip() in "".join(it.output for it in typed("signing-in"))


@needs_current_starlette
def test_tests(tmp_path: Path, database_url: str) -> None:
    """The tests of the tutorial pass, with the output of the page."""
    command = typed("tests")[-1]
    output = shell(
        command.line,
        tutorial.write(tmp_path, before="types"),
        SESSION_DATABASE_URL=database_url,
        PYTEST_DISABLE_PLUGIN_AUTOLOAD="1",
        PYTEST_ADDOPTS="-p _pgsession_pytest -p no:cacheprovider",
    )
    assert command.is_seen(output), output


@needs_current_starlette
def test_types(tmp_path: Path) -> None:
    """The type checkers find the mistake of the page, and nothing else."""
    cache = {"MYPY_CACHE_DIR": str(ROOT / ".mypy_cache" / "shop")}
    mypy, pyright = typed("types")
    (mistake,) = shown("types")
    folder = tutorial.write(tmp_path, before="container")
    output = shell(mypy.line, folder, **cache)
    assert mypy.is_seen(output), output

    file = folder / "app" / "sign_in.py"
    file.write_text(file.read_text("utf-8").replace("str(account.id)", "account.id"), "utf-8")
    output = shell(mypy.line, folder, **cache)
    assert is_like(mistake, output), output

    tutorial.write(tmp_path)
    assert shell(mypy.line, folder, **cache).startswith("Success: ")
    output = shell(pyright.line, folder)
    assert pyright.is_seen(output), output


def test_finished(tmp_path: Path) -> None:
    """The files of the tutorial are those of `examples/shop/`, and its last page lists them."""
    folder = tutorial.write(tmp_path)
    listed = re.findall(r"\[`(\S+)`\]\(../../examples/shop/(\S+)\)", page("next"))
    (compare,) = (it.line.replace("../pgsession", str(ROOT)) for it in typed("next"))

    assert texts(folder) == shop()
    assert sorted((Path(name).name, name) for name in shop()) == sorted(listed)
    assert shell(compare, folder) == ""
    (folder / "start.sh").write_text("exit", "utf-8")
    assert "> exit" in shell(compare, folder)


def test_again() -> None:
    """What is typed in the next session is what the first chapter has its reader type."""
    _, _, table = page("index").partition("| Terminal |")
    lines = set(re.findall(r"`(.+?)`", table))

    assert lines <= {it.line for it in typed("counter")}
    assert len(lines) == 4


def page(name: str) -> str:
    """Return the text of a page of the tutorial."""
    return Document(f"{tutorial.FOLDER}/{name}.md").text
