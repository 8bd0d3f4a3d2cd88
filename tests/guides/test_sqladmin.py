"""The program of docs/how-to/sqladmin.md: one session for SQLAdmin and the site."""

from collections.abc import Iterator
from typing import Any

import pytest
from httpx import Response
from sqladmin import Admin
from sqladmin.authentication import AuthenticationBackend
from sqlalchemy import create_engine
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from pgsession import MemoryStore, SessionMiddleware, get_session
from tests.applications import SECRET
from tests.guides.accounts import accounts_of, execute, url_of
from tests.pages import NAME
from tests.project.conftest import Names
from tests.project.documents import Document

PAGE = Document("docs/how-to/sqladmin.md")
PROGRAM, OWN = PAGE.programs


PASSWORD = "sesame"


@pytest.fixture
def url(database_url: str, migrated_schema: str) -> str:
    """The database of the program."""
    return url_of(database_url, migrated_schema)


@pytest.fixture
def page(names: Names, url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of the program."""
    monkeypatch.setenv("SESSION_DATABASE_URL", url)
    return names(PROGRAM)


@pytest.fixture
def visitor(page: dict[str, Any], url: str) -> Iterator[TestClient]:
    """A browser at the program, with the accounts of the page."""
    with TestClient(page["app"], base_url="https://testserver") as client:
        execute(url, accounts_of(PAGE))
        yield client


def sign_in(visitor: TestClient, name: str, password: str = PASSWORD) -> Any:
    return visitor.post("/admin/login", data={"username": name, "password": password})


def is_in(visitor: TestClient) -> bool:
    return visitor.get("/admin/").url.path == "/admin/"


def test_login(visitor: TestClient, url: str) -> None:
    """Only administrators with the password are let in, and only while they are administrators."""
    for name, password in (("ann", "sesame"), ("root", "?"), ("eve", "sesame"), ("\0", "sesame")):
        sign_in(visitor, name, password)
        assert not is_in(visitor)
    response: Response | Any = sign_in(visitor, "root")
    assert response.history[0].headers["set-cookie"].count(NAME) == 1
    assert is_in(visitor)
    assert "session" not in visitor.cookies
    assert visitor.get("/").text == "Hello, root."
    assert "ann" in visitor.get("/admin/account/list").text
    assert "sesame" not in visitor.get("/admin/account/details/root").text

    execute(url, "UPDATE account SET is_admin = false")
    assert not is_in(visitor)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_forged(visitor: TestClient, site: str) -> None:
    """A form of another origin makes no administrator, signs nobody in, and runs no action."""
    forged = {"sec-fetch-site": site}
    mallory = {"id": "mallory", "password": "x", "is_admin": "y"}
    login = {"username": "root", "password": "sesame"}
    assert visitor.post("/admin/login", data=login, headers=forged).status_code == 403
    assert not is_in(visitor)
    sign_in(visitor, "root")
    assert visitor.post("/admin/account/create", data=mallory, headers=forged).status_code == 403
    action = visitor.get("/admin/account/action/sign-out?pks=root", headers=forged)
    assert action.status_code == 403
    assert is_in(visitor)

    assert visitor.post("/admin/account/create", data=mallory).status_code == 200
    assert "mallory" in visitor.get("/admin/account/list").text


def test_edit(visitor: TestClient) -> None:
    """The form that edits an account neither shows nor changes the password."""
    sign_in(visitor, "root")
    assert "sesame" not in visitor.get("/admin/account/edit/ann").text
    edited = {"id": "ann", "password": "mine", "is_admin": "y"}
    assert visitor.post("/admin/account/edit/ann", data=edited).status_code == 200

    sign_in(visitor, "ann", "mine")
    assert visitor.get("/").text == "Hello, root."
    sign_in(visitor, "ann")
    assert visitor.get("/").text == "Hello, ann."


def test_logout(visitor: TestClient) -> None:
    """A logout ends the session of the site: a copy of the cookie opens nothing."""
    sign_in(visitor, "root")
    copy = visitor.cookies[NAME]

    visitor.get("/admin/logout")

    visitor.cookies.set(NAME, copy)
    assert visitor.get("/").text == "Hello, visitor."


def test_sign_out_everywhere(visitor: TestClient) -> None:
    """The action ends all sessions of a user."""
    action = "/admin/account/action/sign-out?pks=root"
    sign_in(visitor, "root")
    first = visitor.cookies[NAME]
    visitor.cookies.clear()
    sign_in(visitor, "root")

    visitor.get(action)

    for cookie in (visitor.cookies.get(NAME) or "", first):
        visitor.cookies.clear()
        visitor.cookies.set(NAME, cookie)
        assert not is_in(visitor)


async def test_user_of_audit(page: dict[str, Any]) -> None:
    """SQLAdmin's own backends learn who acts, which they would not by default."""
    login = page["Login"]
    assert login.get_user_id is not AuthenticationBackend.get_user_id
    await page["engine"].dispose()


def test_session_of_its_own() -> None:
    """With a middleware of pgsession's, SQLAdmin has a session that is not the site's."""
    store = MemoryStore()
    door = Door(secret_key="")
    scope = {
        "self": door,
        "Middleware": Middleware,
        "SessionMiddleware": SessionMiddleware,
        "store": store,
        "secret": SECRET,
    }
    exec(OWN, scope)  # noqa: S102 - the project's own page
    ours = Middleware(SessionMiddleware, store=store, secret_key=SECRET, exclude=["/admin/statics"])
    app = Starlette(routes=[Route("/", show)], middleware=[ours])
    engine = create_engine("sqlite://")
    Admin(app, engine, authentication_backend=door)

    with TestClient(app, base_url="https://testserver") as visitor:
        assert visitor.get("/").text == "ann"
        assert not is_in(visitor)
        sign_in(visitor, "root")
        assert is_in(visitor)
        assert visitor.get("/").text == "ann"
        assert set(visitor.cookies) == {NAME, "__Host-admin"}
        assert visitor.get("/admin/statics/css/main.css").status_code == 200
    engine.dispose()


class Door(AuthenticationBackend):
    """Lets everybody in who has gone through the login page."""

    async def login(self, request: Request) -> bool:
        get_session(request).login(str((await request.form())["username"]))
        return True

    async def authenticate(self, request: Request) -> bool:
        return get_session(request).user_id == "root"


async def show(request: Request) -> PlainTextResponse:
    session = get_session(request)
    if session.user_id is None:
        session.login("ann")
    return PlainTextResponse(session.user_id)
