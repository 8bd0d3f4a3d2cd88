"""The pages of administrators in examples/devices, in two browsers."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.browser.members import (
    PASSWORD,
    badge,
    devices_served,
    is_signed_in_at,
    is_watched,
    register,
    sign_in,
)
from tests.browser.window import Browser, opened
from tests.programs import eventually

#: Whether each tab is inside the screen, and whether nothing is to be scrolled sideways.
INSIDE = """
return [...document.querySelectorAll("nav a")].map(
    it => it.getBoundingClientRect().left >= 0 && it.getBoundingClientRect().right <= innerWidth)
"""
FITS = """
return [document.documentElement, document.querySelector("nav")].every(
    it => it.scrollWidth <= it.clientWidth)
"""

LATER = "UPDATE session SET login_on = login_on - interval '11 minutes'"


@pytest.fixture
def devices(variables: dict[str, str]) -> Iterator[str]:
    """The address of examples/devices, with an administrator."""
    with devices_served(**variables, DEVICES_ADMIN_PASSWORD=PASSWORD) as address:
        yield address


def test_ends_another(
    browser: Browser, other: Browser, devices: str, variables: dict[str, str]
) -> None:
    """After the step-up one button signs a user out, whose open page says so at once."""
    register(other, devices, "ann")
    sign_in(browser, devices, "admin")
    options = f"-csearch_path={variables['SESSION_SCHEMA']}"
    with psycopg.connect(variables["SESSION_DATABASE_URL"], options=options) as connection:
        connection.execute(LATER)
    other.open(devices)
    assert is_watched(other)

    browser.follow("nav [href='/users']")
    assert browser.text("h1") == "Confirm that it is you"
    browser.type("[name=password]", PASSWORD)
    browser.follow("main button")
    browser.follow("tbody tr:nth-child(2) a")
    assert browser.text("h1") == "Devices of ann"
    browser.follow("[action$='/end'] button")

    assert browser.text(".notice") == "The device is signed out."
    assert eventually(lambda: badge(other) == "You were signed out")
    assert is_watched(browser)


def test_tabs_on_a_phone(driver: str, tmp_path: Path, devices: str) -> None:
    """All tabs of an administrator are on the screen of a small phone."""
    with opened(driver, tmp_path) as browser:
        sign_in(browser, devices, "admin")
        for width in (360, 320):
            browser.emulate(
                "setDeviceMetricsOverride",
                width=width,
                height=700,
                deviceScaleFactor=1,
                mobile=True,
            )
            browser.open(f"{devices}/users")
            assert browser.run(INSIDE) == [True] * 4
            assert browser.run(FITS) is True


def test_ends_own(browser: Browser, devices: str) -> None:
    """An administrator who ends the own session is at the sign-in, and has no cookie of it."""
    sign_in(browser, devices, "admin")
    browser.follow("nav [href='/users']")
    browser.follow("tbody a")
    browser.follow("[action$='/end-all'] button")

    assert browser.text("h1") == "Sign in"
    assert not is_signed_in_at(browser, devices)


def test_without_javascript(driver: str, tmp_path: Path, other: Browser, devices: str) -> None:
    """Without JavaScript an administrator searches for a user, and signs all devices out."""
    register(other, devices, "ann")
    with opened(driver, tmp_path) as browser:
        browser.emulate("setScriptExecutionDisabled", value=True)
        sign_in(browser, devices, "admin")
        browser.follow("nav [href='/users']")
        browser.type("[name=name]", "AN")
        browser.follow(".search button")
        browser.follow("tbody a")
        browser.follow("[action$='/end-all'] button")

        assert browser.text(".notice") == "1 device is signed out."
    assert not is_signed_in_at(other, devices)
