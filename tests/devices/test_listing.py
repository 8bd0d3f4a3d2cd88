"""The list of devices, and its buttons."""

import pytest
from starlette.testclient import TestClient

from examples.devices import listing
from examples.devices.agents import describe, is_handheld
from tests.devices.visiting import (
    FIREFOX,
    beside,
    handles,
    is_signed_in,
    post,
    register,
    said,
    sign_in,
)

SAFARI = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.6 Safari/605.1.15"
)
CHROME = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Mobile Safari/537.36"
)


def test_end(visitor: TestClient, other: TestClient) -> None:
    """A device that is signed out in the list is signed out, and leaves the list."""
    register(visitor)
    sign_in(other)
    [handle] = handles(visitor)
    page = post(visitor, "/", "/devices/end", handle=handle)

    assert said(page, "notice") == "The device is signed out."
    assert not is_signed_in(other)
    assert handles(visitor) == []


def test_end_again(visitor: TestClient) -> None:
    """A device that was signed out meanwhile is no error, and the notice is shown once."""
    register(visitor)
    page = post(visitor, "/", "/devices/end", handle="gone\0")

    assert said(page, "notice") == "The device was signed out already."
    assert said(visitor.get("/"), "notice") == ""


def test_foreign_handle(visitor: TestClient, other: TestClient) -> None:
    """The handle of another user's device signs nothing out."""
    register(visitor, "ann")
    register(other, "bob")
    sign_in(beside(other), "bob")
    [handle] = handles(other)
    page = post(visitor, "/", "/devices/end", handle=handle)

    assert said(page, "notice") == "The device was signed out already."
    assert handles(other) == [handle]


def test_end_others(visitor: TestClient, other: TestClient) -> None:
    """Everywhere else is signed out; this device and other users are not."""
    register(visitor, "ann")
    sign_in(other, "ann")
    stranger = beside(other)
    register(stranger, "bob")
    page = post(visitor, "/", "/devices/end-others")

    assert said(page, "notice") == "1 other device is signed out."
    assert [is_signed_in(it) for it in (visitor, other, stranger)] == [True, False, True]


@pytest.mark.parametrize(
    ("agent", "words", "handheld"),
    [
        (FIREFOX, "Firefox on Linux", False),
        (SAFARI, "Safari on macOS", False),
        (CHROME, "Chrome on Android", True),
        ("curl/8.5.0", "curl", False),
        ("<script>", "Unknown browser", False),
        (None, "Unknown browser", False),
    ],
    ids=["firefox", "safari", "android", "curl", "odd", "none"],
)
def test_agents(agent: str | None, words: str, *, handheld: bool) -> None:
    """A user agent is shown as its browser and its system."""
    assert describe(agent) == words
    assert is_handheld(agent) is handheld


def test_many(visitor: TestClient, other: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list has so many devices, this one first, and says how many there are more."""
    monkeypatch.setattr(listing, "DEVICES", 1)
    register(visitor)
    sign_in(other)
    page = visitor.get("/").text

    assert "And on 1 more" in page
    assert page.count('<li class="current">') == page.count('id="device-') == 1
    assert "Sign out everywhere else" in page
