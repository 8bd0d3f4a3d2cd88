"""The recipes of docs/reference/logging.md, each in a process of its own, with real lines."""

import json
import re
import sys
from pathlib import Path
from subprocess import PIPE, run

import pytest

from tests.programs import STRICTLY, environment
from tests.project.documents import Document

PAGE = Document("docs/reference/logging.md")
STDLIB, JSON, STRUCTLOG, CORRELATION = PAGE.programs
UVICORN, UVICORN_JSON = re.findall(r"^```json\n(.*?)^```$", PAGE.text, re.DOTALL | re.MULTILINE)

#: Logs the beginning and the end of an outage.
OUTAGE = """
import time
from pgsession import StoreUnavailableError
from pgsession.asgi.unavailable import OutageLog
times = iter([0.0, 20.0, 20.0])
log = OutageLog(lambda: next(times))
log.record_failure(StoreUnavailableError("It is full (SQLSTATE 53100)."))
log.record_answer()
"""

REQUEST_ID = "6fb3b7a1000140008000000000000000"

#: Serves one request while the database is away.
REQUEST = """
import asyncio, httpx
from asgi_correlation_id import CorrelationIdMiddleware
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Route
from pgsession import PostgresStore, SessionMiddleware, SessionSettings
from pgsession.core.cookie import Cookie

SECRET = "a secret of the tests that is long enough for HMAC"

def page(request):
    return Response(str(dict(request.session)))

async def main():
    store = PostgresStore("postgresql://127.0.0.1:1/app", timeout=1)
    app = Starlette(routes=[Route("/", page)])
    app.add_middleware(SessionMiddleware, store=store, secret_key=SECRET)
    app.add_middleware(CorrelationIdMiddleware)
    transport = httpx.ASGITransport(app)
    cookie = Cookie(secret_keys=[SECRET]).write("k" * 40, None).decode().partition(";")[0]
    headers = {"X-Request-ID": "6fb3b7a1000140008000000000000000", "Cookie": cookie}
    async with httpx.AsyncClient(transport=transport, base_url="https://test") as client:
        assert (await client.get("/", headers=headers)).status_code == 503

asyncio.run(main())
"""


def said_by(program: str) -> list[str]:
    """Run a program; return the lines that it has logged."""
    command = [sys.executable, *STRICTLY, "-c", program]
    done = run(command, check=False, env=environment({}), stderr=PIPE, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()


def test_nothing_configured() -> None:
    """Without a configuration, an ERROR line is printed as bare text, and an INFO line is lost."""
    (line,) = said_by(f"import uvicorn\nuvicorn.Config('app:app')\n{OUTAGE}")

    assert line.startswith(
        "The store is unavailable; requests get a 503, or what on_unavailable says: "
    )


def test_stdlib() -> None:
    """The recipe for the standard library prints both lines, with their levels."""
    begun, over = said_by(STDLIB + OUTAGE)

    assert " ERROR pgsession: The store is unavailable" in begun
    assert " INFO pgsession: The store is available again" in over


def test_uvicorn(tmp_path: Path) -> None:
    """The file for uvicorn prints both lines, with their levels, and uvicorn's own too."""
    file = tmp_path / "logging.json"
    file.write_text(UVICORN)
    own, begun, over = said_by_uvicorn(file)

    assert own.endswith(" INFO uvicorn.error: up")
    assert " ERROR pgsession: The store is unavailable" in begun
    assert " INFO pgsession: The store is available again" in over


def test_uvicorn_json(tmp_path: Path) -> None:
    """The file for JSON makes each line an object, uvicorn's own too, with the fields."""
    file = tmp_path / "logging.json"
    file.write_text(UVICORN_JSON)
    own, begun, over = map(json.loads, said_by_uvicorn(file))

    assert (own["name"], own["levelname"], own["message"]) == ("uvicorn.error", "INFO", "up")
    assert (begun["name"], begun["pgsession_event"]) == ("pgsession", "store_unavailable")
    assert over["pgsession_requests"] == 1


def said_by_uvicorn(file: Path) -> list[str]:
    """Return the lines of an outage, behind one of uvicorn, which has this file."""
    begin = f"import uvicorn, logging\nuvicorn.Config('app:app', log_config={str(file)!r})\n"
    return said_by(f"{begin}logging.getLogger('uvicorn.error').info('up'){OUTAGE}")


@pytest.mark.parametrize(
    ("program", "text", "level"),
    [
        pytest.param(JSON, "message", "levelname", id="python-json-logger"),
        pytest.param(STRUCTLOG, "event", "level", id="structlog"),
    ],
)
def test_json(program: str, text: str, level: str) -> None:
    """The recipes for JSON print objects that hold the text, the level and the fields."""
    begun, over = map(json.loads, said_by(program + OUTAGE))

    assert begun[text].startswith("The store is unavailable")
    assert begun[level].lower() == "error"
    assert begun["pgsession_event"] == "store_unavailable"
    assert begun["pgsession_reason"] == "It is full (SQLSTATE 53100)."
    assert begun["pgsession_sqlstate"] == "53100"
    assert over["pgsession_event"] == "store_available"
    assert over["pgsession_requests"] == 1


def test_correlation() -> None:
    """A line that is logged within a request has the id of that request."""
    (line,) = [line for line in said_by(CORRELATION + REQUEST) if " pgsession: " in line]

    assert line.startswith(f"ERROR [{REQUEST_ID}] pgsession: The store is unavailable")
