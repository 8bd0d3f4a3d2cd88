"""The counter, served and counted."""

import os
import sys
from pathlib import Path

import pytest

from tests.matrix.counter import Clients
from tests.matrix.processes import ROOT
from tests.matrix.serving import SERVERS, UVICORN, WebServer, try_counter
from tests.matrix.table import Outcome, Result
from tests.programs import served

#: The same application, with a counter that forgets what others have counted meanwhile.
CARELESS = """
import asyncio, tests.matrix.app as matrix
from starlette.routing import Route

async def count(request):
    number = request.session["count"]
    await asyncio.sleep(0.01)
    request.session["count"] = number + 1
    return matrix.respond()

matrix.app.routes[:] = [
    Route("/count", count, methods=["POST"]) if route.path == "/count" else route
    for route in matrix.app.routes
]
app = matrix.app
"""


def test_counter(database_url: str, tmp_path: Path) -> None:
    """No count of parallel requests is lost behind uvicorn."""
    result = try_counter(UVICORN, Path(sys.executable), database_url, log=tmp_path / "log")

    assert result == Result(Outcome.PASSED, result.said), (tmp_path / "log").read_text()
    assert result.said.split()[0] == result.said.split()[-1]


async def test_loss(
    database_url: str, migrated_schema: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A counter that loses counts is found out."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'src'}")
    (tmp_path / "careless.py").write_text(CARELESS)
    variables = {
        "SESSION_DATABASE_URL": database_url,
        "SESSION_SCHEMA": migrated_schema,
        "SESSION_SECRET_KEY": "a secret of more than thirty-two bytes",
    }
    with (
        served(tmp_path / "careless.py", **variables) as address,
        pytest.raises(AssertionError, match="lost count"),
    ):
        await Clients(address).count(workers=1)


def test_absent_server(database_url: str, tmp_path: Path) -> None:
    """A server that does not run is a failure, with its output in the log."""
    log = tmp_path / "log"
    server = WebServer("uvicorn", 1, ("--no-such-option",))

    with pytest.raises(AssertionError, match="the server ended"):
        try_counter(server, Path(sys.executable), database_url, log=log)

    assert "--no-such-option" in log.read_text()


@pytest.mark.parametrize("server", SERVERS, ids=lambda it: f"{it.module} {it.title}")
def test_command(server: WebServer) -> None:
    """Each server listens on loopback, on the given port, with its number of workers."""
    command = " ".join(server.command(12345))

    assert "127.0.0.1" in command
    assert "12345" in command
    assert f"--workers {server.workers} tests.matrix.app:app" in command
