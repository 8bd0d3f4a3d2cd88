"""The program of docs/how-to/starlette.md does what the page says, and so does the order there."""

from typing import Any

import pytest
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from pgsession import (
    MemoryStore,
    PostgresStore,
    SessionExcludedError,
    SessionMiddleware,
    SessionMissingError,
    SessionSettings,
    SettingsError,
)
from tests.applications import SECRET
from tests.pages import NAME
from tests.project.conftest import Names
from tests.project.documents import Document

(PROGRAM,) = Document("docs/how-to/starlette.md").programs
SESAME = {"user": "ann", "password": "sesame"}


@pytest.fixture
def page(names: Names, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of the program."""
    monkeypatch.setenv("SESSION_WATCH_EVERY", "0.1s")
    return names(PROGRAM)


def test_program(page: dict[str, Any]) -> None:
    """Ann signs in, is greeted, talks over a WebSocket, and signs out for good."""
    with TestClient(page["app"], base_url="https://testserver") as visitor:
        assert [visitor.get("/").text for _ in range(2)] == ["Visit 1.", "Visit 2."]
        assert visitor.get("/members").url.path == "/sign-in"
        assert visitor.post("/sign-in", data={**SESAME, "password": "?"}).status_code == 403
        assert "Hello, ann." in visitor.post("/sign-in", data=SESAME).text
        assert "20" in visitor.get("/clock").text
        copy = visitor.cookies[NAME]
        with visitor.websocket_connect("wss://testserver/events") as socket:
            socket.send_text("hello")
            assert socket.receive_text() == "ann: hello"
            forged = {"sec-fetch-site": "cross-site"}
            assert visitor.post("/sign-out", headers=forged).status_code == 403
            visitor.post("/sign-out")
            with pytest.raises(WebSocketDisconnect) as closed:
                socket.receive_text()
            assert closed.value.code == 4401
        visitor.cookies.set(NAME, copy)
        assert visitor.get("/members").url.path == "/sign-in"
        with (
            pytest.raises(WebSocketDisconnect),
            visitor.websocket_connect("wss://testserver/events"),
        ):
            raise AssertionError
    assert page["pool"].closed


def test_plain_http(page: dict[str, Any]) -> None:
    """A test client over plain HTTP is a new visitor each time."""
    assert page["settings"].pool_size == 4
    with TestClient(page["app"]) as visitor:
        assert [visitor.get("/").text for _ in range(2)] == ["Visit 1.", "Visit 1."]


def test_missing_secret() -> None:
    """Without a secret there is the error of the page."""
    with pytest.raises(SettingsError, match="SESSION_SECRET_KEY is missing"):
        SessionSettings.from_env({})


def test_one_pool(page: dict[str, Any], variables: dict[str, str]) -> None:
    """A pool that the store has opened serves the application too, and is closed with the store."""
    pool = AsyncConnectionPool(variables["SESSION_DATABASE_URL"], open=False)

    async def clock(_request: Request) -> PlainTextResponse:
        async with pool.connection() as connection:
            await connection.execute("SELECT now()")
        return PlainTextResponse("")

    store = PostgresStore(pool, schema=variables["SESSION_SCHEMA"])
    ours = Middleware(SessionMiddleware, store=store, settings=page["settings"])
    routes = [Route("/", page["home"]), Route("/clock", clock)]
    with TestClient(Starlette(routes=routes, middleware=[ours]), base_url="https://x.test") as it:
        assert it.get("/").text == "Visit 1."
        assert it.get("/clock").status_code == 200
    assert pool.closed


async def answer(request: Request) -> PlainTextResponse:
    if request.method == "POST":
        request.session["posted"] = True
    return PlainTextResponse("")


def site(*middleware: Middleware) -> TestClient:
    """An application with these, the outermost first."""
    app = Starlette(
        routes=[Route("/{path:path}", answer, methods=["GET", "POST"])], middleware=middleware
    )
    return TestClient(app, base_url="https://testserver")


def ours(store: Any = None, **keywords: Any) -> Middleware:
    return Middleware(
        SessionMiddleware, store=store or MemoryStore(), secret_key=SECRET, **keywords
    )


def test_users_outside(page: dict[str, Any]) -> None:
    """What asks for the session outside of its middleware gets an error that says so."""
    users = Middleware(AuthenticationMiddleware, backend=page["SessionUsers"]())

    with pytest.raises(SessionMissingError, match="outside"):
        site(users, ours()).get("/")
    with pytest.raises(SessionExcludedError):
        site(ours(exclude=["/static"]), users).get("/static/logo.png")
    assert site(ours(), users).get("/").headers["vary"] == "Cookie"


@pytest.mark.parametrize("is_outside", [True, False], ids=["outside", "inside"])
def test_cors(closed_port: int, *, is_outside: bool) -> None:
    """A 503 has the headers of CORS if that middleware stands outside."""
    cors = Middleware(CORSMiddleware, allow_origins=["https://app.example.org"])
    down = ours(PostgresStore(host="127.0.0.1", port=closed_port, timeout=0.1))
    browser = site(*([cors, down] if is_outside else [down, cors]))

    response = browser.post("/", headers={"origin": "https://app.example.org"})

    assert response.status_code == 503
    assert ("access-control-allow-origin" in response.headers) == is_outside
