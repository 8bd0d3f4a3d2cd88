"""Requests that other sites cause, and what they do to a visitor's session."""

import pytest

from tests.browser.conftest import Shop
from tests.browser.internet import ELSEWHERE, SHOP, SIBLING
from tests.browser.shopping import cookies_of_shop, log_in, user_at
from tests.browser.window import Browser
from tests.programs import eventually


@pytest.mark.parametrize(
    ("host", "expected"),
    [(ELSEWHERE, "cross-site"), (SIBLING, "same-site"), (SHOP, "same-origin")],
)
def test_fetch_metadata(
    browser: Browser, shop: Shop, elsewhere: str, host: str, expected: str
) -> None:
    """Sec-Fetch-Site tells links of other sites, of sibling hosts and of the shop apart."""
    with shop() as address:
        origin = elsewhere.replace(ELSEWHERE, host)
        browser.open(address if host == SHOP else f"{origin}/link?to={address}")
        browser.follow("a")

        assert browser.text("#fetch") == f"{expected} navigate document"


def test_typed_address(browser: Browser, shop: Shop) -> None:
    """Sec-Fetch-Site is "none" if the visitor types the address."""
    with shop() as address:
        browser.open(address)

        assert browser.text("#fetch") == "none navigate document"


def test_posted_form(browser: Browser, shop: Shop, elsewhere: str) -> None:
    """A form of another site comes without the cookie, and leaves it and the login as they are."""
    with shop() as address:
        log_in(browser, address, "ann")
        before = cookies_of_shop(browser)
        browser.open(f"{elsewhere}/form?to={address}/cart")
        browser.follow("button")

        assert (browser.text("#user"), browser.text("#cart")) == ("", "[1]")
        assert cookies_of_shop(browser) == before
        assert user_at(browser, address) == "ann"


def test_posted_payment(browser: Browser, shop: Shop, elsewhere: str) -> None:
    """If the answer to a form of another site is a redirect to a page of the shop, the cookie
    comes with that page's request, and the visitor is still logged in there.
    """
    with shop() as address:
        log_in(browser, address, "ann")
        before = cookies_of_shop(browser)
        browser.open(f"{elsewhere}/form?to={address}/paid")
        browser.follow("button")

        assert browser.text("#user") == "ann"
        assert cookies_of_shop(browser) == before


@pytest.mark.parametrize("before", ["", "ann"], ids=["visitor", "user"])
def test_posted_login(browser: Browser, shop: Shop, elsewhere: str, before: str) -> None:
    """A form of an identity provider, whose handler renews the session, logs the visitor in."""
    with shop() as address:
        if before:
            log_in(browser, address, before)
        browser.open(f"{elsewhere}/form?to={address}/login")
        browser.follow("button")

        assert browser.text("#user") == "bob"
        assert user_at(browser, address) == "bob"


def test_posted_logout(browser: Browser, shop: Shop, elsewhere: str) -> None:
    """A form of another site cannot log the visitor out."""
    with shop() as address:
        log_in(browser, address, "ann")
        browser.open(f"{elsewhere}/form?to={address}/logout")
        browser.follow("button")

        assert browser.text("#user") == "ann"


def test_link(browser: Browser, shop: Shop, elsewhere: str) -> None:
    """A link from another site brings the Lax cookie to a page that stores something."""
    with shop() as address:
        log_in(browser, address, "ann")
        browser.open(f"{elsewhere}/link?to={address}/cart")
        browser.follow("a")

        assert (browser.text("#user"), browser.text("#cart")) == ("ann", "[1]")
        assert user_at(browser, address) == "ann"


def test_first_link(browser: Browser, shop: Shop, elsewhere: str) -> None:
    """A new visitor who comes by a link from another site gets a session."""
    with shop() as address:
        browser.open(f"{elsewhere}/link?to={address}/cart")
        browser.follow("a")
        browser.open(address)

        assert browser.text("#cart") == "[1]"


def test_form_of_a_sibling(browser: Browser, shop: Shop, sibling: str) -> None:
    """The cookie comes with a form of a sibling host: only a form token can stop such a form."""
    with shop() as address:
        log_in(browser, address, "ann")
        browser.open(f"{sibling}/form?to={address}/cart")
        browser.follow("button")

        assert (browser.text("#user"), browser.text("#cart")) == ("ann", "[1]")
        assert browser.text("#fetch") == "same-site navigate document"


def test_link_without_strict_cookie(browser: Browser, shop: Shop, elsewhere: str) -> None:
    """A link from another site comes without a Strict cookie: a page that stores something
    begins a session for a stranger, and one that stores nothing leaves the login as it is.
    """
    with shop(SESSION_SAME_SITE="strict") as address:
        log_in(browser, address, "ann")
        browser.open(f"{elsewhere}/link?to={address}/")
        browser.follow("a")
        assert browser.text("#user") == ""
        assert user_at(browser, address) == "ann"

        browser.open(f"{elsewhere}/link?to={address}/form")
        browser.follow("a")
        assert user_at(browser, address) == ""


def test_page_that_refreshes_itself(browser: Browser, shop: Shop, elsewhere: str) -> None:
    """A page that refreshes itself if it is requested by another site gets the Strict cookie."""
    with shop(SESSION_SAME_SITE="strict") as address:
        log_in(browser, address, "ann")
        browser.open(f"{elsewhere}/link?to={address}/strict-form")
        browser.click("a")

        assert eventually(lambda: browser.text("#user") == "ann")
        assert browser.text("#token") != ""


def test_unrestricted_cookie(browser: Browser, shop: Shop, elsewhere: str) -> None:
    """With same_site="none", a form of another site can begin a visitor's session."""
    with shop(SESSION_SAME_SITE="none") as address:
        browser.open(f"{elsewhere}/form?to={address}/cart")
        browser.follow("button")
        browser.open(address)

        assert browser.text("#cart") == "[1]"
