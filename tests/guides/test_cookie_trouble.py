"""Each cause of "Every request starts a new session" shows it, and its remedy ends it."""

import logging
import re
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.sessions import SessionMiddleware as StarletteSessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from pgsession import MemoryStore, SessionSettings
from tests.applications import SECRET
from tests.guides.troubled import HTTPS, NAME, PAGE, browser, is_quoted, page, read, site, visits

NEW, KEPT = ["1", "1"], ["1", "2"]

Log = pytest.LogCaptureFixture


@pytest.fixture(autouse=True)
def debugging(caplog: Log) -> None:
    """The level that the page sets."""
    caplog.set_level(logging.DEBUG, "pgsession")


def said(caplog: Log, event: str) -> str:
    """Return the only line of this name; the page quotes it."""
    (record,) = (it for it in caplog.records if getattr(it, "pgsession_event", "") == event)
    assert is_quoted(record.getMessage())
    return record.getMessage()


def test_headers() -> None:
    """One response sets the cookie, as the page shows it, and the next one does not."""
    client = browser(site())
    first, second = client.get("/"), client.get("/")

    shown = re.search(r"^< set-cookie: (\S+?…)(; .*)$", PAGE.text, re.MULTILINE)
    assert shown is not None
    assert first.headers["set-cookie"].startswith(f"{NAME}=")
    assert first.headers["set-cookie"].endswith(shown[2])
    assert second.request.headers["cookie"].startswith(f"{NAME}=")
    assert "set-cookie" not in second.headers


def test_plain_http(caplog: Log) -> None:
    """Over plain HTTP each request begins a session, and the log says so once."""
    assert visits(browser(site(), base_url="http://testserver")) == NEW
    said(caplog, "cookie_plain_http")

    assert visits(browser(site())) == KEPT
    assert visits(browser(site(https_only=False), base_url="http://testserver")) == KEPT


async def talk(websocket: WebSocket) -> None:
    """Say how many visits the session has."""
    await websocket.accept()
    await websocket.send_json(websocket.session.get("visits"))
    await websocket.close()


@pytest.mark.parametrize(
    ("address", "found"),
    [("ws://testserver/talk", None), ("/talk", None), ("wss://testserver/talk", 1)],
)
def test_websocket(address: str, found: int | None) -> None:
    """A WebSocket of the test client has the session with `wss://` only."""
    client = browser(site(WebSocketRoute("/talk", talk)))
    client.get("/")

    with client.websocket_connect(address) as socket:
        assert socket.receive_json() == found


def test_no_jar() -> None:
    """A client that keeps no cookies begins a session, and a row, with each request."""
    app = site()

    assert [*visits(browser(app), "/"), *visits(browser(app), "/")] == NEW
    assert visits(browser(app)) == KEPT


@pytest.mark.parametrize(
    ("origin", "credentials", "is_allowed"),
    [
        pytest.param("http://localhost:3000", False, False, id="without-credentials"),
        pytest.param("http://localhost:3000", True, True, id="named"),
        pytest.param("http://localhost:4000", True, False, id="another"),
    ],
)
def test_cors(origin: str, *, credentials: bool, is_allowed: bool) -> None:
    """A browser may use the response to `credentials: "include"` if it allows both."""
    cors = Middleware(
        CORSMiddleware, allow_origins=["http://localhost:3000"], allow_credentials=credentials
    )
    headers = browser(site(outside=(cors,))).get("/", headers={"origin": origin}).headers
    allowed = (
        headers.get("access-control-allow-origin"),
        headers.get("access-control-allow-credentials"),
    )

    assert (allowed == (origin, "true")) is is_allowed


def test_other_host() -> None:
    """Two names of one machine have a cookie each."""
    client = browser(site())

    assert visits(client, "https://localhost/", "https://127.0.0.1/") == NEW
    assert visits(client, "https://localhost/") == ["2"]


def test_other_domain(caplog: Log) -> None:
    """A cookie for a domain that is not the host's is dropped, and the log says so."""
    assert visits(browser(site(domain="shop.example"))) == NEW
    said(caplog, "cookie_other_domain")

    assert visits(browser(site(domain="shop.example"), base_url="https://shop.example")) == KEPT


def test_other_path() -> None:
    """A cookie for a path is not sent to the paths above it."""
    app = site(Mount("/app", site(path="/app")), path="/app")

    assert visits(browser(app)) == NEW
    assert visits(browser(app), "/app/", "/app/") == KEPT


def test_other_site(caplog: Log) -> None:
    """What a form of another site stores is dropped, and the log says so."""
    client = browser(site())
    response = client.post("/", headers={"sec-fetch-site": "cross-site"})

    assert "set-cookie" not in response.headers
    said(caplog, "cross_site_dropped")
    assert client.post("/", headers={"sec-fetch-site": "same-origin"}).headers["set-cookie"]


def in_turns(apps: Sequence[Starlette], number: int) -> list[str]:
    """Return what a browser sees that each of these workers answers in turn."""
    clients = [browser(app) for app in apps]
    seen = []
    for turn in range(number):
        client = clients[turn % len(clients)]
        seen.append(client.get("/").text)
        for each in clients:
            each.cookies = client.cookies
    return seen


def test_different_secrets(caplog: Log) -> None:
    """Workers with secrets of their own reject each other's cookies, and the log says so."""
    store = MemoryStore()
    others = [site(store=store, secret_key=f"{number}: {SECRET}") for number in range(2)]

    assert in_turns(others, 4) == ["1"] * 4
    assert is_quoted(
        next(it.message for it in caplog.records if "none of the secrets" in it.message)
    )
    assert in_turns([site(store=store), site(store=store)], 4) == ["1", "2", "3", "4"]


def test_memory_of_each_worker(caplog: Log) -> None:
    """Workers with a `MemoryStore` each do not know each other's sessions; nothing is logged."""
    assert in_turns([site(), site()], 4) == ["1"] * 4
    assert {it.levelname for it in caplog.records} == {"DEBUG"}
    assert not any("secrets" in it.message for it in caplog.records)


async def store_something(request: Request) -> Response:
    request.session["inner"] = True
    return Response()


def test_same_name(caplog: Log) -> None:
    """Another session middleware with the same cookie ends the session, and the log says so."""
    theirs = Middleware(StarletteSessionMiddleware, secret_key=SECRET)
    admin = Mount("/admin", Starlette(routes=[Route("/", store_something)], middleware=[theirs]))
    paths = ("/", "/admin/", "/")

    client = browser(site(admin, https_only=False))
    assert visits(client, *paths) == ["1", "", "1"]
    said(caplog, "cookie_name_shared")
    client = browser(site(admin, https_only=False, session_cookie="shop"))
    assert visits(client, *paths) == ["1", "", "2"]


def test_no_cookie() -> None:
    """No cookie comes for an empty session, nor if the browser has it already."""
    client = browser(site(page("/sign-in", lambda session: session.login("ann"))))

    assert [
        "set-cookie" in client.get(path).headers for path in ("/read", "/", "/", "/sign-in")
    ] == [False, True, False, True]


@pytest.mark.parametrize(("status", "is_saved"), [(404, True), (499, True), (500, False)])
def test_statuses(status: int, *, is_saved: bool) -> None:
    """A response with the status 500 or above saves nothing, and sets no cookie."""

    async def answer(request: Request) -> Response:
        request.session["visits"] = 7
        return PlainTextResponse(status_code=status)

    client = browser(site(Route("/answer", answer)))
    assert ("set-cookie" in client.get("/answer").headers) is is_saved
    assert visits(client, "/") == ["8" if is_saved else "1"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param({}, {"https_only": False}, id="https_only"),
        pytest.param({}, {"path": "/shop"}, id="path"),
        pytest.param({}, {"domain": "shop.example"}, id="domain"),
    ],
)
def test_changed_name(before: dict[str, Any], after: dict[str, Any]) -> None:
    """A change of the cookie's settings changes its default name, and a fixed name stays."""
    app = site(Route("/shop", read), **before)
    again = site(**after)

    assert browser(app).get("/").headers["set-cookie"].startswith(f"{NAME}=")
    assert browser(again).get("/").headers["set-cookie"].startswith("session=")
    fixed = browser(site(session_cookie="shop", **after)).get("/").headers["set-cookie"]
    assert fixed.startswith("shop=")


def test_size() -> None:
    """The cookie is shorter than 200 bytes, whatever the session holds and however it has lived."""
    settings = SessionSettings(
        secret_key=SECRET, session_cookie="__Host-session", rotate_every=60, rotation_grace=30
    )
    fill = page("/fill", lambda session: session.update(text="x" * 100_000))
    renew = page("/renew", lambda session: session.renew())
    client = browser(site(fill, renew, settings=settings))

    visits(client, "/fill", "/renew", "/renew")

    (content,) = client.cookies.values()
    assert len(f"{NAME}={content}") < 200
    assert "shorter than 200 bytes" in PAGE.text
    assert HTTPS in PAGE.text


@pytest.mark.parametrize(
    ("path", "keywords", "number"),
    [
        pytest.param("/read", {}, 0, id="plain"),
        pytest.param("/in", {}, 3, id="login"),
        pytest.param("/read", {"touch_after": 0}, 3, id="touch"),
        pytest.param("/read", {"secret_key": [f"new: {SECRET}", SECRET]}, 1, id="secret"),
    ],
)
def test_set_cookies(path: str, keywords: dict[str, Any], number: int) -> None:
    """So many of three responses to a browser that has a cookie set it anew."""
    store, sign_in = MemoryStore(), page("/in", lambda session: session.login("ann"))
    before, client = browser(site(store=store)), browser(site(sign_in, store=store, **keywords))
    before.get("/")
    client.cookies = before.cookies

    assert sum("set-cookie" in client.get(path).headers for _ in range(3)) == number
