"""Fixtures for the tests in Chromium: the browser, the site under test and other sites."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from tests.browser.binding import FLAG_WITHOUT_QUOTA, Site, bound_site
from tests.browser.internet import ELSEWHERE, SHOP, SIBLING, Certificate, served_at
from tests.browser.members import devices_served
from tests.browser.window import CHROMIUM, DRIVER, Browser, opened
from tests.programs import running

HERE = Path(__file__).parent

#: Serves the shop with the given SESSION_* variables; yields its address.
Shop = Callable[..., AbstractContextManager[str]]

#: Serves the site whose sessions are bound, with the given SESSION_* variables.
BoundSite = Callable[..., AbstractContextManager[Site]]


@pytest.fixture(scope="session")
def driver() -> Iterator[str]:
    """The address of a chromedriver.

    .ci/run installs Chromium, so CI skips nothing. Elsewhere it may be missing, and no wheel
    provides it: `make test` does not download a hundred megabytes for it.
    """
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("no chromium with its chromedriver is installed")
    said = re.compile(r"(?<=started successfully on port )\d+")
    with running([DRIVER, "--port=0"], said=said) as (_, port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.made_in(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def chromium(
    driver: str, tmp_path_factory: pytest.TempPathFactory, certificate: Certificate
) -> Iterator[Browser]:
    """A browser that all tests use: it takes a second to start."""
    profile = tmp_path_factory.mktemp("profile")
    with opened(driver, profile, flags=certificate.flags) as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    """A browser that knows nothing of earlier tests."""
    chromium.forget()
    return chromium


@pytest.fixture(scope="session")
def other_chromium(driver: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with opened(driver, tmp_path_factory.mktemp("other-profile")) as browser:
        yield browser


@pytest.fixture
def other(other_chromium: Browser) -> Browser:
    """A second browser, with a profile of its own."""
    other_chromium.forget()
    return other_chromium


@pytest.fixture
def variables(database_url: str, migrated_schema: str) -> dict[str, str]:
    return {
        "SESSION_DATABASE_URL": database_url,
        "SESSION_SCHEMA": migrated_schema,
        "SESSION_SECRET_KEY": "a secret of more than thirty-two bytes",
    }


@pytest.fixture
def shop(certificate: Certificate, variables: dict[str, str]) -> Shop:
    return partial(served_at, SHOP, HERE / "shop.py", certificate, **variables)


@pytest.fixture
def serve_bound(certificate: Certificate, variables: dict[str, str], tmp_path: Path) -> BoundSite:
    return partial(bound_site, certificate, tmp_path, **variables)


@pytest.fixture
def site(serve_bound: BoundSite) -> Iterator[Site]:
    """A site whose proofs are good for a few seconds."""
    with serve_bound() as site:
        yield site


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return tmp_path / "profile"


@pytest.fixture
def binding(driver: str, profile: Path, certificate: Certificate) -> Iterator[Browser]:
    """A browser that binds sessions, with a profile of its own."""
    with opened(driver, profile, flags=[*certificate.flags, FLAG_WITHOUT_QUOTA]) as browser:
        yield browser


@pytest.fixture
def devices(variables: dict[str, str]) -> Iterator[str]:
    """The address of examples/devices."""
    with devices_served(**variables) as address:
        yield address


@pytest.fixture(scope="session")
def elsewhere(certificate: Certificate) -> Iterator[str]:
    """The address of another site."""
    with served_at(ELSEWHERE, HERE / "elsewhere.py", certificate) as address:
        yield address


@pytest.fixture
def sibling(elsewhere: str) -> str:
    """The address of another host of the shop's domain."""
    return elsewhere.replace(ELSEWHERE, SIBLING)
