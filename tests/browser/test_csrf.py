"""What pages of other origins send to a shop with `csrf_protection`."""

from typing import Final

import pytest

from tests.browser.conftest import Shop
from tests.browser.internet import ELSEWHERE, SHOP
from tests.browser.shopping import log_in, user_at
from tests.browser.window import Browser
from tests.programs import eventually

ON: Final = {"SESSION_CSRF_PROTECTION": "true"}

#: Opens a WebSocket and keeps its first message, or "closed" if it was never open.
OPEN: Final = """
    window.heard = ''
    const socket = new WebSocket(arguments[0].replace('https', 'wss') + '/talk')
    socket.onmessage = event => window.heard = event.data
    socket.onclose = () => window.heard ||= 'closed'
"""


def heard(browser: Browser, address: str) -> str:
    """Open a WebSocket from the page, and return what it says."""
    browser.run(OPEN, address)
    assert eventually(lambda: browser.run("return window.heard") != "")
    return str(browser.run("return window.heard"))


def test_own(browser: Browser, shop: Shop) -> None:
    """The shop's own forms and WebSockets are served."""
    with shop(**ON) as address:
        log_in(browser, address, "ann")

        assert browser.text("#user") == "ann"
        assert heard(browser, address) == "hello ann"


@pytest.mark.parametrize("host", [ELSEWHERE, "evil.shop.test"], ids=["site", "sibling"])
def test_other_origin(browser: Browser, shop: Shop, elsewhere: str, host: str) -> None:
    """A form and a WebSocket of another site or of a sibling are rejected; a link is followed."""
    origin = elsewhere.replace(ELSEWHERE, host)
    with shop(**ON) as address:
        log_in(browser, address, "ann")
        browser.open(f"{origin}/form?to={address}/cart")
        assert heard(browser, address) == "closed"
        browser.follow("button")
        assert "Forbidden" in browser.text("body")

        browser.open(f"{origin}/link?to={address}/")
        browser.follow("a")
        assert (browser.text("#user"), browser.text("#cart")) == ("ann", "")


def test_trusted_sibling(browser: Browser, shop: Shop, sibling: str) -> None:
    """A form and a WebSocket of a trusted sibling are served, with the visitor's session."""
    with shop(**ON, SESSION_TRUSTED_ORIGINS=sibling) as address:
        log_in(browser, address, "ann")
        browser.open(f"{sibling}/form?to={address}/cart")
        assert heard(browser, address) == "hello ann"
        browser.follow("button")

        assert (browser.text("#user"), browser.text("#cart")) == ("ann", "[1]")


def test_unrestricted_cookie(browser: Browser, shop: Shop, elsewhere: str) -> None:
    """With same_site="none" the cookie comes with a form of another site, which is rejected."""
    with shop(SESSION_SAME_SITE="none", **ON) as address:
        log_in(browser, address, "ann")
        browser.open(f"{elsewhere}/form?to={address}/cart")
        browser.follow("button")

        assert "Forbidden" in browser.text("body")
        assert user_at(browser, address) == "ann"


def test_hidden_origin(browser: Browser, shop: Shop) -> None:
    """A form of the shop's own page that hides its origin is served: Sec-Fetch-Site tells."""
    with shop(**ON) as address:
        browser.open(address)
        browser.run(
            "const meta = document.createElement('meta'); meta.name = 'referrer';"
            "meta.content = 'no-referrer'; document.head.append(meta)"
        )
        browser.type("[name=user]", "ann")
        browser.follow("#login")

        assert browser.text("#user") == "ann"
        assert SHOP in browser.address()
