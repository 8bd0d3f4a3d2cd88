"""What browsers do at examples/devices, called in this process."""

import re
from html import unescape
from typing import Any, Final, Protocol

from starlette.testclient import TestClient

FIREFOX: Final = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
PASSWORD: Final = "correct horse"


class Page(Protocol):
    """A response. Its class depends on the version of Starlette."""

    @property
    def status_code(self) -> int: ...

    @property
    def text(self) -> str: ...

    @property
    def url(self) -> Any: ...


def beside(visitor: TestClient) -> TestClient:
    """Return another browser, in the same event loop."""
    client = TestClient(visitor.app, base_url="https://testserver")
    client.portal = visitor.portal
    return client


def post(visitor: TestClient, page: str, path: str, **fields: str) -> Page:
    """Post a form to `path` with the token of a page."""
    return visitor.post(path, data={"token": token_at(visitor, page), **fields})


def token_at(visitor: TestClient, page: str) -> str:
    token = re.search(r'name="token" value="([^"]+)"', visitor.get(page).text)
    assert token is not None
    return token[1]


def register(visitor: TestClient, name: str = "ann", password: str = PASSWORD) -> Page:
    return post(visitor, "/register", "/register", name=name, password=password)


def sign_in(visitor: TestClient, name: str = "ann", password: str = PASSWORD) -> Page:
    return post(visitor, "/sign-in", "/sign-in", name=name, password=password)


def is_signed_in(visitor: TestClient) -> bool:
    return visitor.get("/session").json()["user"] is not None


def handles(visitor: TestClient) -> list[str]:
    """Return the handles of the other devices."""
    return re.findall(r'name="handle" value="([^"]+)"', visitor.get("/").text)


def said(answer: Page, kind: str) -> str:
    """Return the notice or the error of a page."""
    match = re.search(rf'class="{kind}"[^>]*>(.*?)</p>', answer.text)
    return unescape(match[1]) if match else ""
