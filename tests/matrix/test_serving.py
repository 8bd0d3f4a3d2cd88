"""The counter and the sockets, served and tried."""

import os
import sys
from pathlib import Path

import pytest

from pgsession import PostgresStore
from tests.matrix.counter import Clients
from tests.matrix.processes import ROOT
from tests.matrix.serving import SERVERS, UVICORN, WebServer, try_counter, try_sockets
from tests.matrix.sockets import close_all
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

#: The same application, which closes its sockets itself, with another code.
ITS_OWN = """
import os, tests.matrix.app as matrix
from starlette.routing import WebSocketRoute
from pgsession import SessionEndedError

async def wait(websocket):
    await websocket.accept()
    await websocket.send_text(str(os.getpid()))
    try:
        async with websocket.session.lasting():
            await websocket.receive()
    except SessionEndedError:
        await websocket.close()

matrix.app.routes[:] = [*matrix.app.routes[:-1], WebSocketRoute("/wait", wait)]
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


def test_sockets(database_url: str, tmp_path: Path) -> None:
    """Behind uvicorn the sockets of a session that another process ends are closed with 4401."""
    result = try_sockets(UVICORN, Path(sys.executable), database_url, log=tmp_path / "log")

    assert result == Result(Outcome.PASSED, "closed with 4401"), (tmp_path / "log").read_text()


async def test_other_code(
    postgres: PostgresStore,
    database_url: str,
    migrated_schema: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sockets that are closed with another code are found out."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'src'}")
    (tmp_path / "its_own.py").write_text(ITS_OWN)
    variables = {
        "SESSION_DATABASE_URL": database_url,
        "SESSION_SCHEMA": migrated_schema,
        "SESSION_SECRET_KEY": "a secret of more than thirty-two bytes",
    }
    with (
        served(tmp_path / "its_own.py", **variables) as address,
        pytest.raises(AssertionError, match=r"closed with \{1000\}"),
    ):
        await close_all(Clients(address), postgres, workers=1)


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
