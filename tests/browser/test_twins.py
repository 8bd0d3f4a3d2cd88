"""A browser with several cookies of our name: one that counts, and others."""

import pytest

from tests.browser.conftest import Shop
from tests.browser.shopping import (
    cookies_of_shop,
    ended_cookie,
    living_cookie,
    log_in,
    log_out,
    plant,
    submit_login,
    user_at,
)
from tests.browser.window import Browser

HOST_ONLY = {"SESSION_COOKIE": "session"}
DOMAIN = {**HOST_ONLY, "SESSION_DOMAIN": "shop.test"}
PARTITIONED = {**HOST_ONLY, "SESSION_PARTITIONED": "true"}

#: The settings before and after a deployment.
Settings = dict[str, str]

NAMEABLE = [
    pytest.param(HOST_ONLY, DOMAIN, id="domain-added"),
    pytest.param(HOST_ONLY, PARTITIONED, id="partitioned-added"),
    pytest.param(PARTITIONED, HOST_ONLY, id="partitioned-removed"),
]
CHANGES = [*NAMEABLE, pytest.param(DOMAIN, HOST_ONLY, id="domain-removed")]

#: The attributes of a cookie that a script sets.
ATTRIBUTES = {
    "host-only": "Path=/",
    "domain": "Path=/; Domain=shop.test",
    "partitioned": "Path=/; Partitioned",
}


@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_login_after_a_change(browser: Browser, shop: Shop, old: Settings, new: Settings) -> None:
    """After a deployment that changes the cookie's attributes, visitors are still logged in, and
    can log in again and out.
    """
    with shop(**old) as address:
        log_in(browser, address, "ann")
    with shop(**new) as address:
        assert user_at(browser, address) == "ann"
        submit_login(browser, "bob")
        assert user_at(browser, address) == "bob"
        log_out(browser, address)
        assert user_at(browser, address) == ""


@pytest.mark.parametrize(("old", "new"), NAMEABLE)
def test_one_cookie_after_a_change(
    browser: Browser, shop: Shop, old: Settings, new: Settings
) -> None:
    """A login replaces the cookie that was set with the old attributes."""
    with shop(**old) as address:
        log_in(browser, address, "ann")
    with shop(**new) as address:
        log_in(browser, address, "bob")

    assert len(cookies_of_shop(browser)) == 1


@pytest.mark.parametrize(("old", "new"), NAMEABLE)
def test_no_cookie_after_a_change(
    browser: Browser, shop: Shop, old: Settings, new: Settings
) -> None:
    """A logout deletes the cookie that was set with the old attributes."""
    with shop(**old) as address:
        log_in(browser, address, "ann")
    with shop(**new) as address:
        log_out(browser, address)

    assert cookies_of_shop(browser) == []


@pytest.mark.parametrize(
    ("settings", "older", "newer"),
    [
        pytest.param(DOMAIN, "host-only", "domain", id="domain-added"),
        pytest.param(DOMAIN, "domain", "host-only", id="domain-added-and-renewed"),
        pytest.param(HOST_ONLY, "domain", "host-only", id="domain-removed"),
        pytest.param(HOST_ONLY, "host-only", "domain", id="domain-planted"),
        pytest.param(PARTITIONED, "host-only", "partitioned", id="partitioned-added"),
        pytest.param(HOST_ONLY, "partitioned", "host-only", id="partitioned-removed"),
    ],
)
def test_two_living_sessions(
    browser: Browser, shop: Shop, settings: Settings, older: str, newer: str
) -> None:
    """A logout logs the visitor out, even if two cookies of our name hold living sessions."""
    with shop(**settings) as address:
        cookies = [living_cookie(browser, address, user) for user in ("ann", "bob")]
        for cookie, attributes in zip(cookies, (older, newer), strict=True):
            plant(browser, f"{address}/prices", cookie, ATTRIBUTES[attributes])
        assert len(cookies_of_shop(browser)) == len(cookies)
        log_out(browser, address)

        assert user_at(browser, address) == ""


PLACES = [
    pytest.param("Path=/; Domain=shop.test", id="whole-site"),
    pytest.param("Path=/cart; Domain=shop.test", id="one-page"),
]


@pytest.mark.parametrize("attributes", PLACES)
def test_planted_before(browser: Browser, shop: Shop, sibling: str, attributes: str) -> None:
    """A cookie of an ended session, planted by a sibling host before the login, is ignored."""
    with shop(**HOST_ONLY) as address:
        planted = ended_cookie(browser, address, "mallory")
        plant(browser, f"{sibling}/link?to=/", planted, attributes)
        log_in(browser, address, "ann")

        assert user_at(browser, f"{address}/cart") == "ann"
        log_out(browser, address)
        assert user_at(browser, f"{address}/cart") == ""


@pytest.mark.parametrize("attributes", PLACES)
def test_planted_after(browser: Browser, shop: Shop, sibling: str, attributes: str) -> None:
    """A cookie of an ended session, planted by a sibling host after the login, is ignored."""
    with shop(**HOST_ONLY) as address:
        planted = ended_cookie(browser, address, "mallory")
        log_in(browser, address, "ann")
        plant(browser, f"{sibling}/link?to=/", planted, attributes)

        assert user_at(browser, f"{address}/cart") == "ann"
        submit_login(browser, "bob")
        assert user_at(browser, f"{address}/cart") == "bob"


def test_planted_session(browser: Browser, shop: Shop, sibling: str) -> None:
    """A login works in a browser in which a sibling host has planted its own living session."""
    with shop(**HOST_ONLY) as address:
        planted = living_cookie(browser, address, "mallory")
        plant(browser, f"{sibling}/link?to=/", planted, ATTRIBUTES["domain"])
        log_in(browser, address, "ann")

        assert user_at(browser, address) == "ann"
        log_out(browser, address)
        assert user_at(browser, address) == ""
