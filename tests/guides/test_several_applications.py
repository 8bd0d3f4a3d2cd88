"""Two applications on one domain, as docs/how-to/several-applications.md shows them."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from pgsession import MemoryStore, SessionMiddleware, SessionSettings, get_session
from tests.applications import SECRET
from tests.project.conftest import Names
from tests.project.documents import Document

PROGRAM, SHARED = Document("docs/how-to/several-applications.md").programs


@pytest.fixture
def page(names: Names) -> dict[str, Any]:
    """The names of the program."""
    return names(PROGRAM)


@pytest.fixture
def visitor(page: dict[str, Any]) -> Iterator[TestClient]:
    """A browser at both applications."""
    with TestClient(page["app"], base_url="https://testserver") as client:
        yield client


def test_apart(visitor: TestClient) -> None:
    """Ann at the shop is nobody at the administration, and each is signed out alone."""
    visitor.post("/shop/sign-in", json={"user": "ann"})
    assert [visitor.get(f"/{each}/").text for each in ("shop", "admin")] == ["ann", "nobody"]
    visitor.post("/admin/sign-in", json={"user": "root"})
    assert set(visitor.cookies) == {"__Host-shop", "__Host-admin"}

    visitor.post("/admin/sign-out")

    assert [visitor.get(f"/{each}/").text for each in ("shop", "admin")] == ["ann", "nobody"]


def test_copied(visitor: TestClient) -> None:
    """The value of one cookie opens nothing under the name of the other."""
    visitor.post("/shop/sign-in", json={"user": "ann"})
    visitor.cookies.set("__Host-admin", visitor.cookies["__Host-shop"])

    assert visitor.get("/admin/").text == "nobody"


def test_by_user(visitor: TestClient, page: dict[str, Any]) -> None:
    """In one table, the end of all sessions of a user is one at both applications."""
    for each in ("shop", "admin"):
        visitor.post(f"/{each}/sign-in", json={"user": "ann"})

    assert visitor.portal is not None
    assert len(visitor.portal.call(page["store"].devices, "ann")) == 2
    assert visitor.portal.call(page["store"].revoke_all, "ann") == 2

    assert visitor.get("/shop/").text == visitor.get("/admin/").text == "nobody"


def test_shared(page: dict[str, Any]) -> None:
    """With one middleware outside of the mounts, both have the same session."""
    routes = [Route("/", page["home"]), Route("/sign-in", page["sign_in"], methods=["POST"])]
    scope: dict[str, Any] = {
        **page,
        "shop": Starlette(routes=routes),
        "administration": Starlette(routes=routes),
    }
    exec(SHARED, scope)  # noqa: S102 - the project's own page

    with TestClient(scope["app"], base_url="https://testserver") as visitor:
        visitor.post("/shop/sign-in", json={"user": "ann"})
        assert visitor.get("/admin/").text == "ann"


async def visit(request: Request) -> PlainTextResponse:
    session = get_session(request)
    session["visits"] = session.get("visits", 0) + 1
    return PlainTextResponse(str(session["visits"]))


@pytest.mark.parametrize(
    ("second", "is_one_store", "visits"),
    [
        pytest.param(SECRET, True, ["1", "2", "3"], id="same"),
        pytest.param(SECRET, False, ["1", "1", "1"], id="other-table"),
        pytest.param("another " + SECRET, True, ["1", "1", "1"], id="other-secret"),
    ],
)
def test_one_name(second: str, *, is_one_store: bool, visits: list[str]) -> None:
    """Two applications with one cookie name share the session, or take it from each other."""
    store = MemoryStore()
    stores = [store, store if is_one_store else MemoryStore()]
    browsers = [
        TestClient(
            Starlette(
                routes=[Route("/", visit)],
                middleware=[Middleware(SessionMiddleware, store=store, secret_key=secret)],
            ),
            base_url="https://testserver",
        )
        for store, secret in zip(stores, (SECRET, second), strict=True)
    ]
    found = []
    for browser in (browsers[0], browsers[1], browsers[0]):
        found.append(browser.get("/").text)
        for each in browsers:
            each.cookies = browser.cookies

    assert found == visits


def test_domain() -> None:
    """With a domain and a name, the settings of the page are accepted, and a prefix is not."""
    settings = SessionSettings.from_env(
        {"SESSION_SECRET_KEY": SECRET, "SESSION_DOMAIN": "example.org", "SESSION_COOKIE": "session"}
    )
    app = Starlette(routes=[Route("/", visit)])
    app.add_middleware(SessionMiddleware, store=MemoryStore(), settings=settings)

    with TestClient(app, base_url="https://shop.example.org") as visitor:
        assert "domain=example.org" in visitor.get("/").headers["set-cookie"]


def test_twice(caplog: pytest.LogCaptureFixture) -> None:
    """A mounted middleware with the name, but another secret, is told in the log."""
    outer, inner = (
        Middleware(SessionMiddleware, store=MemoryStore(), secret_key=secret)
        for secret in (SECRET, "another " + SECRET)
    )
    mounted = Starlette(routes=[Route("/", visit)], middleware=[inner])
    app = Starlette(routes=[Route("/", visit), Mount("/app", app=mounted)], middleware=[outer])

    with TestClient(app, base_url="https://testserver") as visitor:
        assert [visitor.get(path).text for path in ("/", "/app/", "/")] == ["1", "1", "1"]
    assert "Another session middleware in this application uses the cookie name" in caplog.text
