"""The program of docs/how-to/starlette-admin.md: one session for starlette-admin and the site."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.guides.accounts import accounts_of, execute, url_of
from tests.pages import NAME, max_age
from tests.project.conftest import Names
from tests.project.documents import Document

PAGE = Document("docs/how-to/starlette-admin.md")
(PROGRAM,) = PAGE.programs


@pytest.fixture
def url(database_url: str, migrated_schema: str) -> str:
    """The database of the program."""
    return url_of(database_url, migrated_schema)


@pytest.fixture
def visitor(names: Names, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A browser at the program, with the accounts of the page."""
    monkeypatch.setenv("SESSION_DATABASE_URL", url)
    monkeypatch.setenv("ADMIN_SECRET", "another secret of more than thirty-two bytes")
    with TestClient(names(PROGRAM)["app"], base_url="https://testserver") as client:
        execute(url, accounts_of(PAGE))
        client.get("/admin/login")
        yield client


def post(visitor: TestClient, path: str, **form: str) -> Any:
    """Send a form as the pages of starlette-admin do, with the token of the cookie."""
    token = visitor.cookies["starlette_admin_csrftoken"]
    headers = {"x-csrftoken": token}
    return visitor.post(path, data=form, headers=headers, follow_redirects=False)


def sign_in(visitor: TestClient, name: str, **form: str) -> Any:
    return post(visitor, "/admin/login", **{"username": name, "password": "sesame", **form})


def is_in(visitor: TestClient) -> bool:
    return visitor.get("/admin/").url.path == "/admin/"


def test_login(visitor: TestClient, url: str) -> None:
    """Only administrators with the password are let in, and only while they are administrators."""
    for name, form in (("ann", {}), ("root", {"password": "?"}), ("eve", {}), ("\0", {})):
        sign_in(visitor, name, **form)
        assert not is_in(visitor)
    assert max_age(sign_in(visitor, "root")) == 8 * 3600
    assert is_in(visitor)
    assert visitor.get("/").text == "Hello, root."
    assert visitor.get("/admin/account/list").status_code == 200
    assert "sesame" not in visitor.get("/admin/account/detail?pk=root").text

    execute(url, "UPDATE account SET is_admin = false")
    assert not is_in(visitor)


def test_edit(visitor: TestClient) -> None:
    """The form that edits an account neither shows nor changes the password; one is never empty."""
    sign_in(visitor, "root")
    assert "sesame" not in visitor.get("/admin/account/edit?pk=ann").text
    edited = {"id": "ann", "password": "", "is_admin": "on"}
    assert post(visitor, "/admin/account/edit?pk=ann", **edited).status_code == 303
    post(visitor, "/admin/account/create", id="mallory", password="", is_admin="on")
    assert "mallory" not in visitor.get("/admin/account/list").text

    post(visitor, "/admin/logout")
    sign_in(visitor, "ann", password="")
    assert visitor.get("/").text == "Hello, visitor."
    sign_in(visitor, "ann")
    assert visitor.get("/").text == "Hello, ann."


def test_remembered(visitor: TestClient) -> None:
    """The box of the form makes the session last for thirty days."""
    assert max_age(sign_in(visitor, "root", remember_me="on")) == 30 * 24 * 3600


def test_logout(visitor: TestClient) -> None:
    """A logout ends the session of the site: a copy of the cookie opens nothing."""
    sign_in(visitor, "root")
    copy = visitor.cookies[NAME]

    post(visitor, "/admin/logout")

    visitor.cookies.set(NAME, copy)
    assert visitor.get("/").text == "Hello, visitor."


def test_sign_out_everywhere(visitor: TestClient) -> None:
    """The action ends all sessions of a user, and does not run without the token."""
    action = "/admin/_api/account/action?name=sign_out&pks=root"
    sign_in(visitor, "root")
    first = visitor.cookies[NAME]
    visitor.cookies.delete(NAME)
    sign_in(visitor, "root")
    assert visitor.post(action).status_code == 403
    assert visitor.post(action, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert is_in(visitor)

    assert post(visitor, action).status_code == 200

    assert not is_in(visitor)
    visitor.cookies.set(NAME, first)
    assert not is_in(visitor)
