"""The forms and the pages: forged forms, visitors, headers and markup."""

import pytest
from starlette.testclient import TestClient

from tests.devices.visiting import PASSWORD, is_signed_in, post, register, token_at

#: The pages and forms for users who are signed in.
PRIVATE = ["/", "/password", "/confirm", "/delete-account", "/users", "/users/1"]
FORMS = ["/devices/end", "/devices/end-others", "/password", "/confirm", "/delete-account"]
FORMS += ["/users/1/end", "/users/1/end-all"]


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
    assert "allow" not in page.headers


def test_wrong_method(visitor: TestClient) -> None:
    """A 405 says which methods there are."""
    answer = visitor.get("/devices/end")

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert "no-store" in answer.headers["cache-control"]


@pytest.mark.parametrize(
    ("path", "odd", "status"),
    [("/sign-in", "token", 403), ("/sign-in", "password", 401), ("/register", "password", 422)],
)
def test_half_a_character(visitor: TestClient, path: str, odd: str, status: int) -> None:
    """A field with half a character, which UTF-7 can express, counts as missing."""
    token = token_at(visitor, path).replace("-", "+AC0-")
    fields = {"token": token, "name": "ann", "password": "longer"} | {odd: "+2AA-long horse"}
    part = '--x\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    body = "".join(part.format(*field) for field in fields.items()) + "--x--\r\n"
    kind = "multipart/form-data; boundary=x; charset=utf-7"

    assert visitor.post(path, content=body, headers={"Content-Type": kind}).status_code == status


def test_odd_frames(visitor: TestClient) -> None:
    """The badge takes any frame, and says nothing to it."""
    register(visitor)
    with visitor.websocket_connect("wss://testserver/badge") as badge:
        badge.send_bytes(b"\0")
        badge.send_text("hello")
