"""The programs of the guides that have a script or a form, in Chromium."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.browser.window import Browser
from tests.programs import eventually, served
from tests.project.documents import Document

Open = Callable[[str], None]


@pytest.fixture
def visit(browser: Browser, variables: dict[str, str], tmp_path: Path) -> Iterator[Open]:
    """Serves the first program of a page, and opens its site in the browser."""
    file = tmp_path / "app.py"
    with ExitStack() as stack:

        def open_site(page: str) -> None:
            file.write_text(Document(f"docs/how-to/{page}.md").programs[0], encoding="utf-8")
            site = served(file, SESSION_WATCH_EVERY="0.1", **variables)
            browser.open(stack.enter_context(site))

        yield open_site


def shows(browser: Browser, text: str) -> bool:
    """Wait until the page shows a text."""
    return eventually(lambda: text in browser.text("body"))


def click(browser: Browser, text: str) -> None:
    """Click the button with this text."""
    script = (
        "[...document.querySelectorAll('button')].find(it => it.innerText == arguments[0]).click()"
    )
    browser.run(script, text)


def says_hello(browser: Browser) -> bool:
    """Send a message, and return True once the stream is there and shows one."""
    click(browser, "Say hello")
    return "hello" in browser.text("pre")


@pytest.mark.parametrize("page", ["websockets", "server-sent-events"])
def test_stream(browser: Browser, visit: Open, page: str) -> None:
    """A page whose stream ends with the sign-out in another tab says so."""
    visit(page)
    first = browser.tab()
    click(browser, "Sign in")
    assert eventually(lambda: bool(browser.cookies()))
    if page == "websockets":
        assert eventually(lambda: browser.run("return socket?.readyState") == 1)
        browser.type("input", "hello")
        click(browser, "Say")
        assert shows(browser, "ann, 1: hello\n")
    else:
        assert eventually(lambda: says_hello(browser))

    browser.open_tab(browser.address())
    click(browser, "Sign out")
    assert eventually(lambda: not browser.cookies())
    browser.select_tab(first)
    assert shows(browser, "You were signed out.")


def test_csrf(browser: Browser, visit: Open) -> None:
    """The form and the script of the page pass the protection without a token."""
    visit("csrf")

    browser.type("input", "milk")
    browser.follow("form button")
    assert browser.text("li") == "milk"
    click(browser, "Remove all")
    assert eventually(lambda: browser.text("li") == "")


@pytest.mark.parametrize("remembered", [False, True], ids=["forgotten", "remembered"])
def test_remember_me(browser: Browser, visit: Open, *, remembered: bool) -> None:
    """Without the box, Chromium keeps the cookie until it is closed; with it, it has an end."""
    visit("remember-me")
    browser.type("[name=user]", "ann")
    browser.type("[name=password]", "sesame")
    if remembered:
        browser.click("[name=remember]")
    browser.follow("button")

    assert shows(browser, "Hello, ann.")
    assert ("expiry" in browser.cookies()["__Host-session"]) == remembered
