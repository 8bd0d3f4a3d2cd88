"""The shop in a frame of another site, with a partitioned cookie."""

from tests.browser.conftest import Shop
from tests.browser.shopping import log_in, submit_login, user_at
from tests.browser.window import Browser
from tests.programs import eventually

PARTITIONED = {"SESSION_PARTITIONED": "true", "SESSION_SAME_SITE": "none"}


def test_partitioned(browser: Browser, shop: Shop, elsewhere: str) -> None:
    """In a frame of another site, the visitor has a session that is separate from the one in the
    shop's own window.
    """
    with shop(**PARTITIONED) as address:
        log_in(browser, address, "ann")
        browser.open(f"{elsewhere}/frame?to={address}")
        with browser.inside("iframe"):
            assert browser.text("#fetch") == "cross-site navigate iframe"
            assert browser.text("#user") == ""
            submit_login(browser, "bob")
            assert browser.text("#user") == "bob"

        assert user_at(browser, address) == "ann"
        browser.open(f"{elsewhere}/frame?to={address}")
        with browser.inside("iframe"):
            assert browser.text("#user") == "bob"


def test_posted_into_a_frame(browser: Browser, shop: Shop, elsewhere: str) -> None:
    """A form that another site posts into a frame can begin a session there."""
    with shop(**PARTITIONED) as address:
        browser.open(f"{elsewhere}/framed-form?to={address}/cart")
        browser.click("button")
        with browser.inside("iframe"):
            assert eventually(lambda: browser.text("#cart") == "[1]")
            browser.follow("a")
            assert browser.text("#cart") == "[1]"
