"""Bound sessions in Chromium while the database, the site or the browser's signatures fail."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.binding import (
    FLAG,
    NAME,
    REFRESH,
    REGISTER,
    SIGNED_IN,
    UNBOUND,
    UNPROVEN,
    Site,
    outlast_proof,
    shown,
    sign_in,
)
from tests.browser.conftest import BoundSite
from tests.browser.internet import Certificate
from tests.browser.window import Browser, opened
from tests.faults.servers import Server, free_port, new_server
from tests.programs import eventually

#: Two processes. The browser repeats a POST only if its connection was used before.
TWO_WITH_LASTING_CONNECTIONS = ("--workers", "2", "--timeout-keep-alive", "60")

#: What a browser shows of a 503.
UNAVAILABLE = ("", "", "")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A database server that a test can stop."""
    with new_server(tmp_path / "server") as it:
        yield it


@pytest.fixture
def limited(driver: str, profile: Path, certificate: Certificate) -> Iterator[Browser]:
    """A browser with its quota: six signatures in nine minutes."""
    with opened(driver, profile, flags=[*certificate.flags, FLAG]) as browser:
        yield browser


def skipped(site: Site) -> str:
    """Return why the browser sent the last request for the page without a proof."""
    return site.of("/")[-1].request.get("secure-session-skipped", "").partition(";")[0]


def test_database_away(binding: Browser, serve_bound: BoundSite, server: Server) -> None:
    """While no refresh works the browser backs off, and its requests come without a proof and
    change nothing. Once the database is back, the session goes on without a new login.
    """
    variables = {"SESSION_DATABASE_URL": server.conninfo(), "SESSION_SCHEMA": "public"}
    with serve_bound(**variables, SESSION_TIMEOUT="1s") as site:
        sign_in(binding, site)
        outlast_proof(binding)
        before = binding.cookies()[NAME]["value"]
        with server.frozen():
            assert shown(binding, site) == UNAVAILABLE
            assert skipped(site) == "server_error"
            assert eventually(lambda: is_backing_off(binding, site))
        pages = {SIGNED_IN, UNPROVEN, UNAVAILABLE}
        assert eventually(lambda: proved(binding, site, pages))

        assert binding.cookies()[NAME]["value"] == before
        assert site.answers("/login") == [200]


def is_backing_off(browser: Browser, site: Site) -> bool:
    assert shown(browser, site) == UNAVAILABLE
    return skipped(site) == "unreachable"


def proved(browser: Browser, site: Site, pages: set[tuple[str, str, str]]) -> bool:
    page = shown(browser, site)
    assert page in pages
    return page == SIGNED_IN


def test_new_secret(binding: Browser, serve_bound: BoundSite, variables: dict[str, str]) -> None:
    """With a new secret before the old one, the proof stays good, and the browser refreshes."""
    options, old = ("--port", str(free_port())), variables["SESSION_SECRET_KEY"]
    with serve_bound(options=options) as site:
        sign_in(binding, site)
    secrets = f"another secret of more than thirty-two bytes,{old}"
    with serve_bound(options=options, SESSION_SECRET_KEY=secrets) as site:
        assert shown(binding, site) == SIGNED_IN
        outlast_proof(binding)
        assert shown(binding, site) == SIGNED_IN


def test_lost_refresh(binding: Browser, serve_bound: BoundSite) -> None:
    """A session whose refresh gets no answer goes on, with the repeated refresh or a later one."""
    with serve_bound(options=TWO_WITH_LASTING_CONNECTIONS) as site:
        sign_in(binding, site)
        outlast_proof(binding)
        site.die_at(REFRESH)

        assert eventually(lambda: proved(binding, site, {SIGNED_IN, UNPROVEN}))
        assert site.deaths_due() == 0
        assert set(site.answers(REFRESH)) == {200}
        assert len(site.proofs(REFRESH)) == 1


def test_refreshes_within_quota(limited: Browser, serve_bound: BoundSite) -> None:
    """The browser refreshes more often than it may sign: it reuses a signature while the challenge
    in it is good.
    """
    with serve_bound() as site:
        sign_in(limited, site)
        assert {shown(limited, site) for _ in range(10)} == {SIGNED_IN}
        outlast_proof(limited)
        assert shown(limited, site) == SIGNED_IN

        assert len(site.answers(REFRESH)) > 6
        assert len(site.proofs(REGISTER) + site.proofs(REFRESH)) == 2


def test_logins_beyond_quota(limited: Browser, serve_bound: BoundSite) -> None:
    """A login for which the browser may not sign any more begins an unbound session, which works.

    Each bound one costs two signatures: that of the registration, and the first of a refresh.
    """
    with serve_bound() as site:
        for _ in range(3):
            sign_in(limited, site)
            assert eventually(lambda: len(site.proofs(REFRESH)) == len(site.proofs(REGISTER)))
            limited.open(f"{site.address}/logout")
        limited.open(f"{site.address}/login")

        assert {shown(limited, site) for _ in range(5)} == {UNBOUND}
        assert len(site.proofs(REGISTER) + site.proofs(REFRESH)) == 6
