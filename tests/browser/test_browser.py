"""Chromium, without a window, uses the examples."""

from pathlib import Path

from tests.browser.window import Browser
from tests.programs import eventually, served

EXAMPLES = Path(__file__).parents[2] / "examples"
COOKIE = "__Host-session"


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
