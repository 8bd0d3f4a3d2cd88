"""Visit an application twice with the installed pgsession: python -I tests/archives/visit.py

Uses nothing of the repository, and only what the package's extras bring, with `httpx2` for
Starlette's TestClient.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

import pgsession
from pgsession.embedded import embedded_server


def run(*arguments: str) -> str:
    """Run a command of pgsession; return what it prints."""
    command = [sys.executable, "-I", "-m", "pgsession", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


async def visits(request: Request) -> PlainTextResponse:
    """Count a visitor's visits."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return PlainTextResponse(str(request.session["visits"]))


def main() -> None:
    """Migrate a database and visit the application; exit with an error if something is wrong."""
    assert Path(pgsession.__file__).is_relative_to(sys.prefix), pgsession.__file__
    assert run("--version").endswith(pgsession.__version__)
    os.environ["SESSION_SECRET_KEY"] = run("secret")
    with tempfile.TemporaryDirectory(prefix="pgsession-") as folder, embedded_server(folder) as url:
        os.environ["SESSION_DATABASE_URL"] = url
        print(run("migrate"))
        settings = pgsession.SessionSettings.from_env()
        app = Starlette(
            routes=[Route("/", visits)],
            middleware=[Middleware(pgsession.SessionMiddleware, settings=settings)],
        )
        with TestClient(app, base_url="https://testserver") as visitor:
            assert [visitor.get("/").text for _ in range(2)] == ["1", "2"]
    print(f"pgsession {pgsession.__version__} works with Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
