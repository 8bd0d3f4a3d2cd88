"""The forms and the pages: forged forms, visitors, headers and markup."""

import pytest
from starlette.testclient import TestClient

from tests.devices.visiting import PASSWORD, is_signed_in, post, register, token_at

#: The pages and forms for users who are signed in.
PRIVATE = ["/", "/password", "/confirm", "/delete-account"]
FORMS = ["/devices/end", "/devices/end-others", "/password", "/confirm", "/delete-account"]


@pytest.mark.parametrize("token", ["", "guéssed"])
@pytest.mark.parametrize("path", ["/register", "/sign-in", "/sign-out", *FORMS])
def test_forged(visitor: TestClient, path: str, token: str) -> None:
    """A form without the token of the session gives a 403, and changes nothing."""
    register(visitor)
    fields = {"token": token, "name": "bob", "password": PASSWORD, "new": "longer horse"}
    page = visitor.post(path, data=fields)

    assert page.status_code == 403
    assert is_signed_in(visitor)


def test_token_renewed(visitor: TestClient) -> None:
    """The sign-in changes the token: one that an attacker planted before does not work."""
    before = token_at(visitor, "/register")
    register(visitor)

    assert token_at(visitor, "/") != before
    assert visitor.post("/sign-out", data={"token": before}).status_code == 403


@pytest.mark.parametrize("path", PRIVATE)
def test_visitor(visitor: TestClient, path: str) -> None:
    """A page for users leads a visitor to the sign-in."""
    assert visitor.get(path).url.path == "/sign-in"


@pytest.mark.parametrize("path", FORMS)
def test_form_of_visitor(visitor: TestClient, path: str) -> None:
    """A form for users leads a visitor to the sign-in."""
    assert post(visitor, "/sign-in", path).url.path == "/sign-in"


@pytest.mark.parametrize("path", [*PRIVATE, "/session", "/sign-in"])
def test_not_stored(visitor: TestClient, path: str) -> None:
    """No cache stores a page, and no other site frames it."""
    register(visitor)
    headers = visitor.get(path).headers

    assert "no-store" in headers["cache-control"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_names_are_escaped(visitor: TestClient) -> None:
    """A name or a label that contains markup is shown as text."""
    post(visitor, "/register", "/register", name="<b>", password=PASSWORD, label="<i>")

    text = visitor.get("/").text
    assert "<b>" not in text
    assert "&lt;b&gt;" in text
    assert "&lt;i&gt;" in text


def test_unknown_page(visitor: TestClient) -> None:
    """A page that does not exist is a 404 without a session."""
    page = visitor.get("/nowhere")

    assert (page.status_code, dict(page.cookies)) == (404, {})
    assert "Error 404" in page.text
