"""Sessions that Chromium binds to its device, with keys in software."""

from pathlib import Path

from tests.browser.binding import (
    BOUND,
    FLAG_WITHOUT_QUOTA,
    REFRESH,
    REGISTER,
    SIGNED_IN,
    UNBOUND,
    Site,
    copied,
    is_bound,
    is_let_in,
    outlast_proof,
    shown,
    sign_in,
    thief,
)
from tests.browser.internet import Certificate
from tests.browser.window import Browser, opened
from tests.dbsc.browser import OFFER
from tests.dbsc.keys import Device
from tests.programs import eventually


def test_bound(binding: Browser, site: Site) -> None:
    """The browser registers at the login, and its cookie is that of the site alone."""
    sign_in(binding, site)

    cookie = binding.cookies()[BOUND]
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Lax")
    assert cookie["path"] == "/"


def test_copied_cookies(binding: Browser, site: Site) -> None:
    """Copied cookies are good until the proof ends. Then they open nothing, and the browser goes
    on.
    """
    sign_in(binding, site)
    with thief(site, copied(binding)) as client:
        assert is_let_in(client)
        assert eventually(lambda: not is_let_in(client))
        assert client.get("/login", headers={"cookie": ""}).status_code == 200

    assert shown(binding, site) == SIGNED_IN


def test_goes_on(binding: Browser, site: Site) -> None:
    """After a pause, a renewal and in a second tab the session goes on."""
    sign_in(binding, site)
    before = binding.cookies()[BOUND]["value"]
    outlast_proof(binding)

    assert shown(binding, site) == SIGNED_IN
    assert binding.cookies()[BOUND]["value"] != before
    assert shown(binding, site, "/renew") == SIGNED_IN
    assert shown(binding, site) == SIGNED_IN


def test_restarted(driver: str, profile: Path, certificate: Certificate, site: Site) -> None:
    """After a restart of the browser the session goes on, and the browser asks for a challenge."""
    flags = [*certificate.flags, FLAG_WITHOUT_QUOTA]
    with opened(driver, profile, flags=flags) as browser:
        sign_in(browser, site)
        assert 403 not in site.answers(REFRESH)
    with opened(driver, profile, flags=flags) as browser:
        assert shown(browser, site) == SIGNED_IN
        outlast_proof(browser)
        assert shown(browser, site) == SIGNED_IN

    assert site.answers(REFRESH).count(403) == 1
    assert site.answers("/login") == [200]


def test_logout_and_login(binding: Browser, site: Site) -> None:
    """After a logout both cookies are gone, and the next login is bound again."""
    sign_in(binding, site)
    assert shown(binding, site, "/logout") == ("", "False", "False")
    assert binding.cookies() == {}

    sign_in(binding, site)


def test_logins(binding: Browser, site: Site) -> None:
    """The browser registers whatever the request and the status of the login.

    After three logins it makes no signature more within nine minutes.
    """
    for script in (
        "location = '/login?status=303'",
        "return fetch('/login?status=404').then(() => true)",
        "document.querySelector('button').click()",
    ):
        binding.open(f"{site.address}/logout")
        binding.run(script)

        assert is_bound(binding)
        assert shown(binding, site) == SIGNED_IN


def test_logins_from_elsewhere(binding: Browser, site: Site, elsewhere: str) -> None:
    """The browser registers at a login that another site leads to, without any cookie."""
    for page, selector in (("link", "a"), ("form", "button")):
        binding.open(f"{site.address}/logout")
        binding.open(f"{elsewhere}/{page}?to={site.address}/login")
        binding.follow(selector)

        assert is_bound(binding)
        assert shown(binding, site) == SIGNED_IN
    assert [record.request.get("cookie") for record in site.of(REGISTER)] == [None, None]


def test_captured_offer(binding: Browser, site: Site) -> None:
    """Nobody else can accept the offer that the browser has accepted."""
    sign_in(binding, site)
    offer = OFFER.fullmatch(site.of("/login")[0].response["secure-session-registration"])
    assert offer is not None
    proof = Device().proof(offer[2], registers=True)
    with thief(site, copied(binding)) as client:
        answer = client.post(offer[1], headers={"secure-session-response": proof})

    assert (answer.status_code, answer.headers.get("set-cookie")) == (400, None)
    assert site.answers(REGISTER) == [200, 400]
    outlast_proof(binding)
    assert shown(binding, site) == SIGNED_IN


def test_unbound(browser: Browser, site: Site) -> None:
    """A browser that binds no sessions is signed in as before. A client with copies of its cookies
    gets no offer.
    """
    assert shown(browser, site, "/login") == UNBOUND
    with thief(site, copied(browser)) as client:
        assert is_let_in(client)
        paths = ("/", "/?status=303", "/?status=404", "/events", "/renew", REGISTER, REFRESH)
        answers = [client.get(path) for path in paths]
        answers += [client.post(path) for path in (REGISTER, REFRESH)]

    assert [it for it in answers if "secure-session-registration" in it.headers] == []
    assert "secure-session-registration" in site.of("/login")[0].response
    assert site.answers(REGISTER) == [405, 400]
