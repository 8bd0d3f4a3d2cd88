"""Pages that caches keep."""

import pytest

from tests.browser.conftest import Shop
from tests.browser.shopping import cookies_of_shop, log_in
from tests.browser.window import Browser

FETCH = """
return fetch('/prices', {cache: 'no-store', headers: JSON.parse(arguments[0])})
    .then(response => response.status)
"""


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param("{}", 200, id="whole"),
        pytest.param('{"If-None-Match": "\\"1\\""}', 304, id="304"),
    ],
)
def test_public_page(browser: Browser, shop: Shop, headers: str, status: int) -> None:
    """A public page that does not use the session sets no cookie, even if the expiry is due to be
    extended.
    """
    with shop(SESSION_TOUCH_AFTER="0") as address:
        log_in(browser, address, "ann")
        before = cookies_of_shop(browser)

        assert browser.run(FETCH, headers) == status
        assert cookies_of_shop(browser) == before


def test_page_of_the_user(browser: Browser, shop: Shop) -> None:
    """A page that reads the session extends the cookie's expiry if that is due."""
    with shop(SESSION_TOUCH_AFTER="0") as address:
        log_in(browser, address, "ann")
        (before,) = cookies_of_shop(browser)
        browser.open(address)
        (after,) = cookies_of_shop(browser)

        key, _, _ = before["value"].partition(".")
        assert after["value"].startswith(f"{key}.")
        assert after["expires"] > before["expires"]
