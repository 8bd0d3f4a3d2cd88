"""The page about tests of an application: its tests pass."""

import sys
from pathlib import Path
from subprocess import PIPE, STDOUT, run

from starlette.testclient import TestClient

from pgsession import MemoryStore
from tests.programs import STRICTLY, environment
from tests.project.conftest import Names
from tests.project.documents import Document

MAKE_APP = Document("docs/how-to/testing.md").programs[1]


def test_testing(tmp_path: Path, variables: dict[str, str]) -> None:
    """The tests of the page pass; each program has the name of its file in its first line."""
    for text in Document("docs/how-to/testing.md").programs:
        name = text.partition("\n")[0].removeprefix("# ")
        (tmp_path / name).write_text(text, encoding="utf-8")
    plugins = ["-p", "_pgsession_pytest", "-p", "anyio"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        *STRICTLY,
        *plugins,
        f"--rootdir={tmp_path}",
    ]
    done = run(
        command,
        check=False,
        cwd=tmp_path,
        env={**environment(variables), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=PIPE,
        stderr=STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "11 passed" in done.stdout


def test_forgotten(names: Names) -> None:
    """A client over plain HTTP, and a new one, are visitors; a login that redirects is kept."""
    make_app = names(MAKE_APP)["make_app"]
    app = make_app(MemoryStore())
    login = {"user": "ann", "password": "secret"}
    plain, secure = TestClient(app), TestClient(app, base_url="https://testserver")
    for client in (plain, secure):
        client.post("/sign-in", json=login).raise_for_status()
        assert client.cookies

    assert plain.get("/basket").status_code == 401
    assert secure.get("/basket").status_code == 200
    assert TestClient(app, base_url="https://testserver").get("/basket").status_code == 401
