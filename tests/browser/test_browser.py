"""Chromium, without a window, uses the examples.

The tests control it with a few HTTP requests of the W3C WebDriver protocol.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.programs import TIMEOUT, eventually, running, served

EXAMPLES = Path(__file__).parents[2] / "examples"
COOKIE = "__Host-session"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
DRIVER = shutil.which("chromedriver")

# .ci/run installs both, so CI skips nothing. Elsewhere Chromium may be missing, and no wheel
# provides it: `make test` does not download a hundred megabytes for it.
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="no chromium with its chromedriver is installed"
)

FLAGS = [
    "--headless",
    "--no-sandbox",  # root cannot use the sandbox
    "--disable-gpu",
    "--disable-dev-shm-usage",  # containers have little of it
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

#: The key of an element's id in WebDriver (section 12.1 of the standard).
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """A browser window. Elements are selected with CSS selectors."""

    def __init__(self, driver: str, session: str) -> None:
        self._window = f"{driver}/session/{session}"

    def close(self) -> None:
        self._ask("DELETE", "")

    def open(self, address: str) -> None:
        self._ask("POST", "/url", {"url": address})

    def text(self, selector: str) -> str:
        """Return the text of an element, or an empty string if there is no such element."""
        script = "return document.querySelector(arguments[0])?.textContent ?? ''"
        return str(self.run(script, selector))

    def type(self, selector: str, text: str) -> None:
        self._ask("POST", f"{self._find(selector)}/value", {"text": text})

    def click(self, selector: str) -> None:
        self._ask("POST", f"{self._find(selector)}/click", {})

    def run(self, script: str, *arguments: str) -> object:
        return self._ask("POST", "/execute/sync", {"script": script, "args": arguments})

    def cookies(self) -> dict[str, dict[str, Any]]:
        """Return the cookies of the page by name, including HttpOnly ones."""
        return {cookie["name"]: cookie for cookie in self._ask("GET", "/cookie")}

    def _find(self, selector: str) -> str:
        found = self._ask("POST", "/element", {"using": "css selector", "value": selector})
        return f"/element/{found[ELEMENT]}"

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        answer = httpx.request(method, self._window + path, json=body, timeout=TIMEOUT)
        assert answer.is_success, answer.text
        return answer.json()["value"]


@pytest.fixture(scope="module")
def driver() -> Iterator[str]:
    """The address of a chromedriver."""
    said = re.compile(r"(?<=started successfully on port )\d+")
    with running([str(DRIVER), "--port=0"], said=said) as (_, port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def browser(driver: str, tmp_path: Path) -> Iterator[Browser]:
    """A browser with a new profile."""
    options = {"binary": CHROMIUM, "args": [*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"]}
    wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
    answer = httpx.post(f"{driver}/session", json=wanted, timeout=TIMEOUT)
    assert answer.is_success, answer.text
    browser = Browser(driver, answer.json()["value"]["sessionId"])
    yield browser
    browser.close()


@pytest.fixture
def variables(database_url: str, migrated_schema: str) -> dict[str, str]:
    return {
        "SESSION_DATABASE_URL": database_url,
        "SESSION_SCHEMA": migrated_schema,
        "SESSION_SECRET_KEY": "a secret of more than thirty-two bytes",
    }


def test_counter(browser: Browser, variables: dict[str, str]) -> None:
    """The page counts each visit, by reload and by link, and continues after a restart."""
    with served(EXAMPLES / "counter.py", **variables) as address:
        for number in ("1", "2"):
            browser.open(address)
            assert browser.text("#visits") == number
        browser.click("a")
        assert eventually(lambda: browser.text("#visits") == "3")
    with served(EXAMPLES / "counter.py", **variables) as address:
        browser.open(address)
        assert browser.text("#visits") == "4"


def test_cookie(browser: Browser, variables: dict[str, str]) -> None:
    """Chromium stores the Secure __Host- cookie of http://127.0.0.1 and hides it from scripts."""
    with served(EXAMPLES / "counter.py", **variables) as address:
        browser.open(address)
        cookie = browser.cookies()[COOKIE]
        shown = browser.run("return document.cookie")

    assert cookie["httpOnly"]
    assert cookie["secure"]
    assert (cookie["sameSite"], cookie["path"], cookie["domain"]) == ("Lax", "/", "127.0.0.1")
    assert shown == ""


def log_in(browser: Browser, address: str) -> None:
    browser.open(address)
    browser.type("[name=user]", "ann")
    browser.type("[name=password]", "sesame")
    browser.click("button")
    assert eventually(lambda: browser.text("#user") == "ann")


def test_login_and_logout(browser: Browser, variables: dict[str, str]) -> None:
    """Login changes the cookie; logout shows the login form, in a session without the user."""
    with served(EXAMPLES / "login.py", **variables) as address:
        browser.open(address)
        before = browser.cookies()[COOKIE]["value"]
        log_in(browser, address)
        during = browser.cookies()[COOKIE]["value"]
        browser.click("button")
        assert eventually(lambda: browser.text("form[action='/login'] button") == "Log in")
        after = browser.cookies()[COOKIE]["value"]

    assert len({before, during, after}) == 3


def test_logout_drops_the_cookie(browser: Browser, variables: dict[str, str]) -> None:
    """The response to a logout deletes the cookie in the browser."""
    with served(EXAMPLES / "login.py", **variables) as address:
        log_in(browser, address)
        # Without following the redirect, the browser gets only that response.
        script = (
            "const body = new URLSearchParams(new FormData(document.querySelector('form')));"
            "return fetch('/logout', {method: 'POST', body, redirect: 'manual'}).then(() => 1)"
        )
        assert browser.run(script) == 1
        assert COOKIE not in browser.cookies()


def test_websocket(browser: Browser, variables: dict[str, str]) -> None:
    """The browser sends its cookie with the WebSocket; leaving the page saves the count."""
    with served(EXAMPLES / "websocket.py", **variables) as address:
        browser.open(address)
        assert browser.text("output") == "0"
        assert eventually(lambda: browser.run("return socket.readyState") == 1)
        browser.type("input", "hello")
        browser.click("button")
        assert eventually(lambda: browser.text("output") == "1")

        def is_saved() -> bool:
            browser.open(address)
            return browser.text("output") == "1"

        assert eventually(is_saved)
