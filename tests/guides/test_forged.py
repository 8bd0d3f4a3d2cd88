"""The programs with a sign-in: what other sites post, and what cannot be a name, is rejected."""

from typing import Final

import psycopg
import pytest

from tests.guides.conftest import Browse
from tests.project.conftest import Names
from tests.project.documents import DOCS, README, Document

#: Shown in the words of many frameworks, or with the protection in a chapter of its own.
WITHOUT: Final = {"docs/how-to/frameworks.md", "docs/tutorial/signing-in.md"}

SIGN_INS: Final = [
    ("fastapi", "/sign-in", "form"),
    ("remember-me", "/sign-in", "form"),
    ("starlette", "/sign-in", "form"),
    ("several-applications", "/shop/sign-in", "json"),
    ("devices-of-a-user", "/sign-in/", "path"),
    ("foreign-key", "/accounts/", "path"),
]


def test_protected() -> None:
    """Each program that signs a user in has csrf_protection on."""
    for page in [README, *DOCS]:
        for program in page.programs:
            if ".login(" in program and "SessionMiddleware" in program and page.name not in WITHOUT:
                assert "csrf_protection=True" in program, page.name


@pytest.mark.parametrize("sign_in", SIGN_INS, ids=[it[0] for it in SIGN_INS])
def test_bad_names(
    names: Names,
    browse: Browse,
    accounts: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    sign_in: tuple[str, str, str],
) -> None:
    """A name that cannot be stored is a client error, and no account is made for it."""
    page, path, kind = sign_in
    monkeypatch.setenv("SESSION_DATABASE_URL", accounts.info.dsn)
    accounts.execute("ALTER TABLE account DROP password")
    visitor = browse(names(Document(f"docs/how-to/{page}.md").programs[0]))
    before = accounts.execute("SELECT FROM account").rowcount
    for name in ("a" * 256, "a\0"):
        form = {"user": name, "password": "sesame"}
        if kind == "form":
            response = visitor.post(path, data=form)
        elif kind == "json":
            response = visitor.post(path, json=form)
        else:
            response = visitor.post(path + name.replace("\0", "%00"), json="phone")
        assert response.status_code in {400, 422}
        assert "set-cookie" not in response.headers
    assert accounts.execute("SELECT FROM account").rowcount == before


def test_file_as_name(names: Names, browse: Browse) -> None:
    """A file in the place of the name signs nobody in."""
    visitor = browse(names(Document("docs/how-to/starlette.md").programs[0]))

    response = visitor.post(
        "/sign-in", data={"password": "sesame"}, files={"user": ("x.txt", b"ann")}
    )

    assert response.status_code == 400


@pytest.mark.parametrize("body", ["x", "[]", "{}", '{"user": 5}'])
def test_no_form(names: Names, browse: Browse, body: str) -> None:
    """What is no JSON with a name is a client error."""
    visitor = browse(names(Document("docs/how-to/several-applications.md").programs[0]))

    assert visitor.post("/shop/sign-in", content=body).status_code == 400


def test_unknown_name(names: Names, monkeypatch: pytest.MonkeyPatch, browse: Browse) -> None:
    """The password is checked also for a name that does not exist."""
    program = names(Document("docs/how-to/users.md").programs[0])
    checked: list[str] = []

    def is_right(password: str, stored: str) -> bool:
        checked.append(stored)
        return password == "guessed"

    monkeypatch.setitem(program["sign_in"].__globals__, "is_right", is_right)
    visitor = browse(program)
    for name, status in (("eve", 403), ("ann", 200)):
        form = {"user": name, "password": "guessed"}
        assert visitor.post("/sign-in", json=form).status_code == status
    assert checked == [program["NOBODY"], "secret"]
