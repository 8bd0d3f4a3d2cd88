"""Code written for Starlette's own SessionMiddleware only changes the import.

These tests check the behaviour that Starlette documents, with the same keywords.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from pgsession import MemoryStore, SessionMiddleware, SettingsError


async def view_session(request: Request) -> Response:
    return JSONResponse({"session": request.session})


async def update_session(request: Request) -> Response:
    request.session.update(await request.json())
    return JSONResponse({"session": request.session})


async def clear_session(request: Request) -> Response:
    request.session.clear()
    return JSONResponse({"session": request.session})


async def ignore_session(_request: Request) -> Response:
    return Response("hello")


ROUTES = [
    Route("/view", view_session),
    Route("/update", update_session, methods=["POST"]),
    Route("/clear", clear_session, methods=["POST"]),
    Route("/ignore", ignore_session),
]


@pytest.fixture
def browse(secret_key: str) -> Callable[..., TestClient]:
    """Returns a client of an application whose middleware gets the given keywords."""

    def browse_with(
        *, base_url: str = "http://testserver", mount: str = "", **keywords: Any
    ) -> TestClient:
        keywords = {"https_only": False, "store": MemoryStore(), **keywords}
        middleware = [Middleware(SessionMiddleware, secret_key=secret_key, **keywords)]
        app = Starlette(routes=ROUTES, middleware=middleware)
        if mount:
            app = Starlette(routes=[Mount(mount, app)])
        return TestClient(app, base_url=base_url)

    return browse_with


def test_session(browse: Callable[..., TestClient]) -> None:
    """A session is empty at first, is updated, keeps its members, and is cleared."""
    client = browse()

    assert client.get("/view").json() == {"session": {}}
    assert client.post("/update", json={"some": "data"}).json() == {"session": {"some": "data"}}
    assert client.get("/view").json() == {"session": {"some": "data"}}
    assert client.post("/update", json={"more": 1}).json() == {
        "session": {"some": "data", "more": 1}
    }
    assert client.post("/clear").json() == {"session": {}}
    assert client.get("/view").json() == {"session": {}}


@pytest.mark.parametrize("max_age", [0, -1])
def test_session_expires(browse: Callable[..., TestClient], max_age: int) -> None:
    """A max_age with which every session expires at once is an error at the start.

    Starlette's test has max_age=-1, so that its cookie is expired in the next request. There the
    value is of use to a test only, and in production a typing error that no log shows.
    """
    with pytest.raises(SettingsError, match="max_age must be positive"):
        browse(max_age=max_age).get("/view")


def test_secure_session(browse: Callable[..., TestClient]) -> None:
    """With https_only, the cookie is Secure: it is sent over HTTPS and not over HTTP."""
    store = MemoryStore()
    secure = browse(base_url="https://testserver", https_only=True, store=store)

    response = secure.post("/update", json={"some": "data"})

    assert re.search(r"; secure(;|$)", response.headers["set-cookie"])
    assert secure.get("/view").json() == {"session": {"some": "data"}}
    assert secure.get("http://testserver/view").json() == {"session": {}}


def test_insecure_session(browse: Callable[..., TestClient]) -> None:
    """Without https_only, the cookie is not Secure and has Starlette's name."""
    cookie = browse().post("/update", json={"some": "data"}).headers["set-cookie"]

    assert cookie.startswith("session=")
    assert "secure" not in cookie


def test_session_cookie_subpath(browse: Callable[..., TestClient]) -> None:
    """The cookie of a mounted application has the given path and works below it."""
    client = browse(
        base_url="http://testserver/second_app", mount="/second_app", path="/second_app"
    )

    response = client.post("/update", json={"some": "data"})

    assert "; path=/second_app;" in response.headers["set-cookie"]
    assert client.get("/view").json() == {"session": {"some": "data"}}


def test_mounted_without_path(browse: Callable[..., TestClient]) -> None:
    """By default, the cookie of a mounted application has the path `/`."""
    client = browse(base_url="http://testserver/second_app", mount="/second_app")

    response = client.post("/update", json={"some": "data"})

    assert "; path=/;" in response.headers["set-cookie"]


@pytest.mark.parametrize(
    "cookie",
    [
        "session=invalid",
        "session=",
        "session",
        "session=eyJzb21lIjogImRhdGEifQ==.Zx0000.abcdefghijklmnopqrstuvwxyz1",
    ],
)
def test_invalid_session_cookie(browse: Callable[..., TestClient], cookie: str) -> None:
    """An invalid cookie is ignored, and so is one of Starlette's own middleware."""
    client = browse()

    response = client.get("/view", headers={"cookie": cookie})
    assert response.status_code == 200
    assert response.json() == {"session": {}}
    response = client.post("/update", json={"some": "data"}, headers={"cookie": cookie})
    assert response.json() == {"session": {"some": "data"}}


def test_session_cookie(browse: Callable[..., TestClient]) -> None:
    """With max_age=None, the cookie lasts until the browser is closed."""
    client = browse(max_age=None)

    cookie = client.post("/update", json={"some": "data"}).headers["set-cookie"]

    assert "max-age" not in cookie.lower()
    assert "expires" not in cookie.lower()
    assert client.get("/view").json() == {"session": {"some": "data"}}


def test_persistent_cookie(browse: Callable[..., TestClient]) -> None:
    """`max_age` sets the Max-Age of the cookie in seconds."""
    cookie = browse(max_age=60).post("/update", json={"some": "data"}).headers["set-cookie"]

    assert "; Max-Age=60;" in cookie


def test_domain_cookie(browse: Callable[..., TestClient]) -> None:
    """With a domain, the cookie is sent to all its hosts."""
    client = browse(domain=".example.com", base_url="http://app.example.com")

    response = client.post("/update", json={"some": "data"})

    assert "; domain=.example.com" in response.headers["set-cookie"]
    assert client.get("/view").json() == {"session": {"some": "data"}}
    assert client.get("http://other.example.com/view").json() == {"session": {"some": "data"}}


def test_same_site(browse: Callable[..., TestClient]) -> None:
    """The cookie is `samesite=lax` by default, and always HttpOnly."""
    lax = browse().post("/update", json={"a": 1}).headers["set-cookie"]
    strict = browse(same_site="strict").post("/update", json={"a": 1}).headers["set-cookie"]

    assert "; httponly; samesite=lax" in lax
    assert "; httponly; samesite=strict" in strict


def test_partitioned(browse: Callable[..., TestClient]) -> None:
    """With partitioned, the cookie has that attribute; it has to be Secure."""
    client = browse(base_url="https://testserver", https_only=True, partitioned=True)

    cookie = client.post("/update", json={"some": "data"}).headers["set-cookie"]

    assert cookie.endswith("; secure; partitioned")


def test_cookie_name(browse: Callable[..., TestClient]) -> None:
    """The cookie has the given name."""
    client = browse(session_cookie="chips")

    client.post("/update", json={"some": "data"})

    assert list(client.cookies) == ["chips"]


def test_session_cleared_on_reload(browse: Callable[..., TestClient]) -> None:
    """A cleared session stays empty until it is filled again."""
    client = browse()
    client.post("/update", json={"some": "data"})

    response = client.post("/clear")

    assert "Max-Age=0" in response.headers["set-cookie"]
    assert client.get("/view").json() == {"session": {}}
    assert client.post("/update", json={"more": 1}).json() == {"session": {"more": 1}}


def test_loads_empty(browse: Callable[..., TestClient]) -> None:
    """A request without a cookie has an empty session."""
    response = browse().get("/view")

    assert response.json() == {"session": {}}
    assert "set-cookie" not in response.headers


def test_access_sets_vary(browse: Callable[..., TestClient]) -> None:
    """A response has `Vary: Cookie` if and only if the handler looked at the session."""
    client = browse()

    assert client.get("/view").headers["vary"] == "Cookie"
    assert "vary" not in client.get("/ignore").headers


def test_modification_only(browse: Callable[..., TestClient]) -> None:
    """The cookie is set when a session begins and ends, and not by a read or another change."""
    client = browse()

    assert "set-cookie" in client.post("/update", json={"some": "data"}).headers
    assert "set-cookie" not in client.get("/view").headers
    assert "set-cookie" not in client.get("/ignore").headers
    assert "set-cookie" not in client.post("/update", json={"some": "other"}).headers
    assert "set-cookie" in client.post("/clear").headers


def test_clearing_nothing(browse: Callable[..., TestClient]) -> None:
    """Clearing an empty session without a cookie sets no cookie."""
    assert "set-cookie" not in browse().post("/clear").headers
