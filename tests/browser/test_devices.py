"""examples/devices in two browsers: they end each other's sessions, and see it at once."""

from pathlib import Path

import pytest

from tests.browser.members import (
    PASSWORD,
    badge,
    is_signed_in_at,
    is_watched,
    register,
    sign_in,
)
from tests.browser.window import Browser, opened
from tests.programs import eventually

COOKIE = "__Host-session"
ENDED = "You were signed out"


def two_signed_in(browser: Browser, other: Browser, devices: str) -> None:
    """Sign one user in with two browsers, and show the list in both."""
    register(browser, devices, "ann")
    sign_in(other, devices, "ann")
    browser.open(devices)


def is_told(browser: Browser) -> bool:
    """Wait until the open page says that it was signed out."""
    return eventually(lambda: badge(browser) == ENDED)


@pytest.mark.parametrize(
    "button", ["[action='/devices/end'] button", "[action='/devices/end-others'] button"]
)
def test_ends_another(browser: Browser, other: Browser, devices: str, button: str) -> None:
    """A button signs the other browser out, and not this one."""
    two_signed_in(browser, other, devices)
    browser.follow(button)

    assert is_signed_in_at(browser, devices)
    assert not is_signed_in_at(other, devices)


def test_ends_each_other(browser: Browser, other: Browser, devices: str) -> None:
    """The browser that was signed out signs in again, and ends the first one."""
    two_signed_in(browser, other, devices)
    browser.follow("[action='/devices/end'] button")
    sign_in(other, devices, "ann")
    other.follow("[action='/devices/end'] button")

    assert is_signed_in_at(other, devices)
    assert not is_signed_in_at(browser, devices)


def test_badge(browser: Browser, other: Browser, devices: str) -> None:
    """An open page says at once that another browser has ended its session, and hides the list."""
    two_signed_in(browser, other, devices)
    assert is_watched(other)
    browser.follow("[action='/devices/end'] button")

    assert is_told(other)
    assert other.text("main h1") == ENDED
    assert other.text(".devices") == ""
    assert is_watched(browser)


def test_badge_after_password(browser: Browser, other: Browser, devices: str) -> None:
    """A change of the password signs the open page of the other browser out, and not this one."""
    two_signed_in(browser, other, devices)
    assert is_watched(other)
    browser.open(f"{devices}/password")
    browser.type("[name=password]", PASSWORD)
    browser.type("[name=new]", "longer horse")
    browser.follow("main button")

    assert is_told(other)
    assert is_watched(browser)


def test_badge_of_another_tab(browser: Browser, devices: str) -> None:
    """A tab of the same browser in which somebody signs in again is not told that it ended."""
    register(browser, devices, "ann")
    assert is_watched(browser)
    browser.run(SIGN_IN, "ann", PASSWORD)
    reconnected = "return window.sockets > 1"
    assert eventually(lambda: browser.run(reconnected) is True)

    assert is_watched(browser)
    assert browser.text("h1") == "Your devices"


def test_badge_of_another_user(browser: Browser, other: Browser, devices: str) -> None:
    """A tab of the same browser in which another user signs in shows that user's page."""
    register(other, devices, "bob")
    register(browser, devices, "ann")
    assert is_watched(browser)
    browser.run(SIGN_IN, "bob", PASSWORD)

    assert eventually(lambda: browser.text(".card strong") == "bob")


@pytest.mark.parametrize(
    "event", ["", "document.dispatchEvent(new Event('visibilitychange'))"], ids=["later", "visible"]
)
def test_badge_before_cookie(browser: Browser, devices: str, event: str) -> None:
    """A tab that asks before the browser has its new cookie asks again, and is shown again."""
    register(browser, devices, "ann")
    assert is_watched(browser)
    browser.run(WITHOUT_COOKIE)
    browser.run(SIGN_IN, "ann", PASSWORD)
    assert is_told(browser)
    browser.run(f"window.late = false; {event}")

    assert eventually(lambda: browser.text("h1") == "Your devices")
    assert is_watched(browser)


#: Answers as the server does to a request with the old cookie, until `late` is false.
WITHOUT_COOKIE = """
  window.late = true
  const ask = window.fetch
  window.fetch = (path, ...options) =>
    path === "/session" && window.late
      ? Promise.resolve(new Response('{"user": null}'))
      : ask(path, ...options)
"""

#: Signs in from the page without leaving it, as another tab would, and counts the new sockets.
SIGN_IN = """
  window.sockets = 1
  const Known = WebSocket
  window.WebSocket = class extends Known {
    constructor(address) { super(address); window.sockets += 1 }
  }
  return fetch("/sign-in").then(answer => answer.text()).then(text => {
    const token = /name="token" value="([^"]+)"/.exec(text)[1]
    const form = new URLSearchParams({ token, name: arguments[0], password: arguments[1] })
    return fetch("/sign-in", { method: "POST", body: form })
  }).then(answer => answer.ok)
"""


@pytest.mark.parametrize("remember", [False, True], ids=["browser-session", "remembered"])
def test_cookie(browser: Browser, devices: str, *, remember: bool) -> None:
    """The browser stores one cookie: Secure, HttpOnly, Lax, for this host, with or without end."""
    register(browser, devices, "ann", remember=remember)
    [cookie] = browser.all_cookies()

    flags = {name: cookie[name] for name in ("secure", "httpOnly", "sameSite", "path", "session")}
    assert flags == {
        "secure": True,
        "httpOnly": True,
        "sameSite": "Lax",
        "path": "/",
        "session": not remember,
    }
    assert (cookie["name"], cookie["domain"]) == (COOKIE, "127.0.0.1")


@pytest.mark.parametrize("remember", [False, True], ids=["browser-session", "remembered"])
def test_restarted_browser(driver: str, tmp_path: Path, devices: str, *, remember: bool) -> None:
    """After a restart of the browser, the user is signed in only if it was to remember that."""
    with opened(driver, tmp_path) as before:
        register(before, devices, "ann", remember=remember)
    with opened(driver, tmp_path) as after:
        assert is_signed_in_at(after, devices) is remember


@pytest.mark.parametrize("path", ["", "/password"])
def test_back_after_sign_out(browser: Browser, devices: str, path: str) -> None:
    """After the sign-out the back button shows nothing private, nor does the page before."""
    register(browser, devices, "ann")
    browser.open(f"{devices}{path}")
    browser.follow("[action='/sign-out'] button")
    for _ in range(2):
        browser.back()

        assert browser.text("h1") in {"Sign in", "Register"}
        assert "ann" not in browser.text("body")


def test_without_javascript(driver: str, tmp_path: Path, other: Browser, devices: str) -> None:
    """Without JavaScript all forms work; only the badge is missing."""
    with opened(driver, tmp_path) as browser:
        browser.emulate("setScriptExecutionDisabled", value=True)
        register(browser, devices, "ann")
        sign_in(other, devices, "ann")
        browser.open(devices)
        assert browser.run("return typeof connect") == "undefined"
        assert badge(browser) == ""
        browser.follow("[action='/devices/end'] button")
        assert browser.text(".notice") == "The device is signed out."
        assert not is_signed_in_at(other, devices)

        browser.open(f"{devices}/delete-account")
        browser.follow("main button")
        assert browser.text("h1") == "Sign in"
