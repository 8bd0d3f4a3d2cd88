"""examples/oauth.py: a provider of another site posts its answer."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.internet import ELSEWHERE, SHOP, Certificate, served_at
from tests.browser.window import Browser
from tests.programs import eventually, served

ROOT = Path(__file__).parents[2]
PROVIDER = ROOT / "tests" / "provider.py"


@pytest.fixture
def site(certificate: Certificate, variables: dict[str, str]) -> Iterator[str]:
    """The address of the example, whose provider has its pages at another site."""
    with (
        served_at(ELSEWHERE, PROVIDER, certificate) as pages,
        served(PROVIDER, AUTHORIZE_AT=f"{pages}/authorize") as provider,
        served_at(
            SHOP,
            ROOT / "examples" / "oauth.py",
            certificate,
            OAUTH_CLIENT_ID="the client",
            OAUTH_CLIENT_SECRET="the client's secret",
            OAUTH_METADATA_URL=f"{provider}/.well-known/openid-configuration",
            **variables,
        ) as address,
    ):
        yield address


def test_form_post(browser: Browser, site: str) -> None:
    """The visitor comes back signed in, and the code is in no address."""
    browser.open(site)
    browser.follow("a")
    assert ELSEWHERE in browser.address()

    browser.click("#yes button")

    assert eventually(lambda: browser.text("#user") == "ann")
    assert browser.address() == f"{site}/"
    browser.open(site)
    assert browser.text("#user") == "ann"


def test_refused(browser: Browser, site: str) -> None:
    """A visitor who says no comes back as before."""
    browser.open(site)
    browser.follow("a")
    browser.click("#no button")

    assert eventually(lambda: browser.address() == f"{site}/")
    assert browser.text("#user") == ""
