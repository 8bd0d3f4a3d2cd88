"""What users do on the pages of examples/devices, in a browser or with an HTTP client."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from tests.browser.window import Browser
from tests.programs import ADDRESS, Visitor, eventually, uvicorn

ROOT: Final = Path(__file__).parents[2]
PASSWORD: Final = "correct horse"


@contextmanager
def devices_served(**variables: str) -> Iterator[str]:
    """Serve examples/devices, and yield its address."""
    arguments = ["--no-access-log", "--port", "0"]
    arguments += ["--timeout-graceful-shutdown", "0"]  # browsers keep connections open
    arguments += ["--app-dir", str(ROOT), "examples.devices.app:app"]
    with uvicorn(arguments, said=ADDRESS, **variables) as address:
        yield address


def register(browser: Browser, address: str, name: str, *, remember: bool = False) -> None:
    browser.open(f"{address}/register")
    _submit(browser, name, remember=remember)


def sign_in(browser: Browser, address: str, name: str, *, remember: bool = False) -> None:
    browser.open(f"{address}/sign-in")
    _submit(browser, name, remember=remember)


def _submit(browser: Browser, name: str, *, remember: bool) -> None:
    browser.type("[name=name]", name)
    browser.type("[name=password]", PASSWORD)
    if remember:
        browser.click("[name=remember]")
    browser.follow("main button")
    assert is_signed_in(browser)


def is_signed_in(browser: Browser) -> bool:
    """Return whether the page is one for users who are signed in."""
    return browser.text("h1") == "Your devices"


def is_signed_in_at(browser: Browser, address: str) -> bool:
    """Return whether the next request is that of a user who is signed in."""
    browser.open(address)
    return is_signed_in(browser)


def badge(browser: Browser) -> str:
    """Return what the live badge says."""
    return browser.text("#badge")


def is_watched(browser: Browser) -> bool:
    """Wait until the badge has its connection."""
    return eventually(lambda: badge(browser) == "Signed in")


class Device:
    """A device that is no browser here: an HTTP client with the user agent of one."""

    def __init__(self, address: str, agent: str) -> None:
        self._visitor = Visitor(address)
        self._agent = agent

    def get(self, path: str) -> httpx.Response:
        return self._visitor.request("GET", path, user_agent=self._agent)

    def post(self, form: str, path: str, **fields: str) -> httpx.Response:
        """Post a form to `path` with the token of the page `form`."""
        token = re.search(r'name="token" value="([^"]+)"', self.get(form).text)
        assert token is not None
        fields |= {"token": token[1]}
        return self._visitor.request("POST", path, fields, user_agent=self._agent)

    def sign_in(self, name: str, **fields: str) -> None:
        self._enter("/sign-in", name, **fields)

    def register(self, name: str) -> None:
        self._enter("/register", name)

    def _enter(self, form: str, name: str, **fields: str) -> None:
        answer = self.post(form, form, name=name, password=PASSWORD, **fields)
        assert answer.headers["location"] == "/"
