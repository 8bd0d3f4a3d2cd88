"""Prints what Sentry would send of a site, as JSON: for each way of recording, its events.

It is a program of its own, as Sentry patches classes of the process for good.
"""

import json
import re
import sys
from typing import Any, Final

import sentry_sdk
from fastapi import FastAPI, Request, WebSocket
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.fastapi import FastApiIntegration
from sentry_sdk.integrations.starlette import StarletteIntegration
from sentry_sdk.transport import Transport
from starlette.responses import StreamingResponse
from starlette.testclient import TestClient

from pgsession import MemoryStore, PostgresStore, Session, SessionMiddleware
from tests.hostile.secret import PASSWORD, SECRET, VALUE
from tests.pages import NAME
from tests.project.documents import Document

PAGE, FILTERED = Document("docs/how-to/sentry.md").programs

#: The call of the page.
(WITHOUT_VARIABLES,) = re.findall(r"^sentry_sdk\.init\(.*?^\)", PAGE, re.DOTALL | re.MULTILINE)

#: How Sentry is set up: its defaults, as the page says, and with all that can be recorded.
WAYS: Final = {
    "default": "sentry_sdk.init(dsn='https://key@sentry.example/1')",
    "filtered": FILTERED,
    "without variables": WITHOUT_VARIABLES,
    "filtered, with all else": FILTERED.replace("init(", "init(data_collection={}, "),
}

sent: list[dict[str, Any]] = []


class Kept(Transport):
    """Keeps what would be sent."""

    def capture_envelope(self, envelope: Envelope) -> None:
        sent.extend(item.payload.json for item in envelope.items if item.payload.json)


def initialise(**options: Any) -> None:
    """Set Sentry up as a program of the page does, without a network."""
    always = {
        "transport": Kept(),
        "traces_sample_rate": 1.0,
        "integrations": [
            StarletteIntegration(middleware_spans=True),
            FastApiIntegration(middleware_spans=True),
        ],
    }
    init(**(options | always))


def site(store: MemoryStore | PostgresStore) -> FastAPI:
    """Return an application with pages that fill the session, read it and fail."""
    app = FastAPI()

    @app.get("/fill")
    async def fill(request: Request) -> None:
        session_of(request).login("ann")
        request.session["secret"] = VALUE

    @app.get("/read")
    async def read(request: Request) -> StreamingResponse:
        size = len(request.session["secret"])
        return StreamingResponse(str(part) for part in (size, size))

    @app.get("/fail")
    async def fail(request: Request) -> None:
        session = session_of(request)
        session["more"] = 1
        raise LookupError

    @app.get("/odd")
    async def odd(request: Request) -> None:
        request.session["odd"] = [VALUE, object()]

    @app.websocket("/talk")
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(len(websocket.session["secret"]))
        await websocket.close()

    app.add_middleware(SessionMiddleware, store=store, secret_key=SECRET)
    return app


def session_of(request: Request) -> Session:
    session = request.session
    assert isinstance(session, Session)
    return session


def visit(app: FastAPI) -> str:
    """Visit all pages; return the cookie."""
    address = "https://testserver"
    with TestClient(app, base_url=address, raise_server_exceptions=False) as browser:
        assert browser.get("/fill").status_code == 200
        assert browser.get("/read").text == 2 * str(len(VALUE))
        assert browser.get("/fail").status_code == 500
        assert browser.get("/odd").status_code == 500
        with browser.websocket_connect("wss://testserver/talk") as socket:
            assert socket.receive_json() == len(VALUE)
        return browser.cookies[NAME]


def visit_in_outage(cookie: str) -> None:
    """Visit a site whose database is away."""
    store = PostgresStore(f"postgresql://ann:{PASSWORD}@127.0.0.1:1/app", timeout=0.1)
    with TestClient(site(store), base_url="https://testserver") as browser:
        browser.cookies[NAME] = cookie
        assert browser.get("/read").status_code == 503


def record(program: str) -> dict[str, Any]:
    sent.clear()
    exec(program, {"sentry_sdk": sentry_sdk})  # noqa: S102 - the project's own page
    cookie = visit(site(MemoryStore()))
    visit_in_outage(cookie)
    sentry_sdk.flush()
    return {"cookie": cookie, "sent": list(sent)}


def visit_page() -> list[dict[str, Any]]:
    """Run the program of the page, and visit it; return what is sent."""
    sent.clear()
    names: dict[str, Any] = {}
    exec(PAGE, names)  # noqa: S102 - the project's own page
    address = "https://testserver"
    with TestClient(names["app"], base_url=address, raise_server_exceptions=False) as browser:
        assert [browser.get("/").json() for _ in range(2)] == [1, 2]
        assert browser.get("/fail").status_code == 500
    sentry_sdk.flush()
    return list(sent)


init = sentry_sdk.init
setattr(sentry_sdk, "init", initialise)  # noqa: B010 - mypy takes it for a class
json.dump(
    {way: record(program) for way, program in WAYS.items()} | {"page": visit_page()}, sys.stdout
)
