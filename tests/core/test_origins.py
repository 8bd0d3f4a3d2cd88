"""Which requests of other origins are rejected: the pure decision, and the origins to trust."""

from typing import Final

import pytest

from pgsession.core.origins import Rejection, checked_origins, judge
from pgsession.errors import SettingsError

HOST: Final = "shop.example"
OWN: Final = f"https://{HOST}"
TRUSTED: Final = "https://app.example"
EVIL: Final = "https://evil.example"

SITE, ORIGIN = Rejection.OTHER_SITE, Rejection.OTHER_ORIGIN


def verdict(
    *,
    sites: str = "",
    origins: str = "",
    hosts: str = HOST,
    method: str | None = "POST",
    is_secure: bool = True,
) -> Rejection | None:
    """Judge a request whose headers have the values in the lists, which have blanks between."""
    said = {"sec-fetch-site": sites, "origin": origins, "host": hosts}
    headers = [
        (name.encode(), text.encode("latin-1"))
        for name, texts in said.items()
        for text in texts.split()
    ]
    return judge(headers, method=method, is_secure=is_secure, trusted=checked_origins([TRUSTED]))


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_safe(method: str) -> None:
    """A safe method is never rejected."""
    assert verdict(method=method, sites="cross-site", origins=EVIL) is None


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "QUERY", "get", ""])
def test_unsafe(method: str) -> None:
    """Any other method is checked, also a name in lower case: browsers change only some."""
    assert verdict(method=method, sites="cross-site", origins=EVIL) is SITE


@pytest.mark.parametrize("method", ["POST", None], ids=["request", "WebSocket"])
@pytest.mark.parametrize(
    ("sites", "origins", "expected"),
    [
        pytest.param("same-origin", OWN, None, id="own page"),
        pytest.param("same-origin", "null", None, id="own page that hides its origin"),
        pytest.param("same-origin", EVIL, None, id="own page, behind a proxy with another Host"),
        pytest.param("none", "", None, id="the visitor"),
        pytest.param("same-site", "https://blog.shop.example", SITE, id="sibling"),
        pytest.param("same-site", OWN, SITE, id="own name over plain HTTP, or another port"),
        pytest.param("cross-site", EVIL, SITE, id="other site"),
        pytest.param("cross-site", "", SITE, id="other site without Origin"),
        pytest.param("cross-site", "null", SITE, id="other site that hides its origin"),
        pytest.param("Same-Origin", OWN, SITE, id="not what browsers write"),
        pytest.param("elsewhere", OWN, SITE, id="unknown word"),
        pytest.param("same-origin cross-site", OWN, SITE, id="two that differ"),
        pytest.param("same-origin same-origin", OWN, None, id="two that agree"),
        pytest.param("cross-site", TRUSTED, None, id="trusted, other site"),
        pytest.param("same-site", TRUSTED, None, id="trusted sibling"),
        pytest.param("cross-site", f"{TRUSTED} {EVIL}", SITE, id="trusted beside another"),
        pytest.param("", TRUSTED, None, id="trusted, older browser"),
        pytest.param("", OWN, None, id="own page, older browser"),
        pytest.param("", EVIL, ORIGIN, id="other site, older browser"),
        pytest.param("", "null", ORIGIN, id="hidden origin, older browser"),
        pytest.param("", f"{OWN} {EVIL}", ORIGIN, id="own beside another"),
        pytest.param("", f"{OWN} {OWN}", None, id="own twice"),
        pytest.param("", "http://shop.example", ORIGIN, id="plain HTTP to HTTPS"),
        pytest.param("", "https://shop.example:8443", ORIGIN, id="other port"),
        pytest.param("", "https://shop.example.evil.example", ORIGIN, id="longer name"),
        pytest.param("", "https://evil.example/shop.example", ORIGIN, id="with a path"),
        pytest.param("", "https://shop.example@evil.example", ORIGIN, id="with a user"),
        pytest.param("", "chrome-extension://abcdef", ORIGIN, id="extension"),
        pytest.param("", "shop.example", ORIGIN, id="host without a scheme"),
        pytest.param("", "https://sh\xf6p.example", ORIGIN, id="not ASCII"),
        pytest.param("", "", None, id="program"),
    ],
)
def test_said(method: str | None, sites: str, origins: str, expected: Rejection | None) -> None:
    """`Sec-Fetch-Site` decides, else `Origin`, which is that of the host or trusted. Without both,
    the request is of a program.
    """
    assert verdict(sites=sites, origins=origins, method=method) is expected


@pytest.mark.parametrize(
    ("origin", "hosts", "is_secure", "is_own"),
    [
        pytest.param("https://shop.example", "Shop.Example", True, True, id="case of Host"),
        pytest.param("HTTPS://Shop.Example", "shop.example", True, True, id="case of Origin"),
        pytest.param("https://shop.example", "shop.example:443", True, True, id="default port"),
        pytest.param("https://shop.example", "shop.example:80", True, False, id="other's default"),
        pytest.param("http://shop.example", "shop.example:80", False, True, id="port of HTTP"),
        pytest.param("http://localhost:80", "localhost", False, True, id="port of HTTP in Origin"),
        pytest.param("http://localhost:8000", "localhost:8000", False, True, id="port"),
        pytest.param("http://localhost:3000", "localhost:8000", False, False, id="ports differ"),
        pytest.param("https://shop.example", "shop.example", False, True, id="TLS ends before"),
        pytest.param("http://shop.example", "shop.example", False, True, id="plain HTTP"),
        pytest.param("http://[::1]:8000", "[::1]:8000", False, True, id="IPv6"),
        pytest.param("http://[::1]", "[0:0::1]", False, True, id="IPv6, written otherwise"),
        pytest.param("http://[::1]", "[::2]", False, False, id="IPv6 of another"),
        pytest.param("http://[:::1]", "[:::1]", False, False, id="no IPv6"),
        pytest.param("https://shop.example", "", True, False, id="no Host"),
        pytest.param("https://shop.example", "shop.example evil.example", True, False, id="two"),
        pytest.param("https://shop.example", "10.0.0.7:8000", True, False, id="proxy's Host"),
        pytest.param("http://a:99999", "a:99999", False, False, id="no port"),
    ],
)
def test_own(origin: str, hosts: str, *, is_secure: bool, is_own: bool) -> None:
    """Without Sec-Fetch-Site, Origin must be what a page of this host sends."""
    rejection = verdict(origins=origin, hosts=hosts, is_secure=is_secure)

    assert rejection is (None if is_own else ORIGIN)


def test_name_of_header() -> None:
    """A server may leave the names of headers as they came."""
    headers = [(b"Sec-Fetch-Site", b"cross-site"), (b"Host", HOST.encode())]

    assert judge(headers, method="POST", is_secure=True, trusted=frozenset()) is SITE


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://app.example", "https://app.example"),
        ("https://App.Example:443", "https://app.example"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://a:80", "http://a"),
        ("https://a:80", "https://a:80"),
        ("https://xn--shp-sna.example", "https://xn--shp-sna.example"),
        ("https://[0:0::1]:8443", "https://[::1]:8443"),
    ],
)
def test_trusted(given: str, expected: str) -> None:
    """An origin is kept as browsers write it."""
    assert checked_origins((given,)) == {expected}


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param("https://app.example", id="one text"),
        pytest.param(None, id="None"),
        pytest.param({"https://app.example": 1}, id="mapping"),
        pytest.param([b"https://app.example"], id="bytes"),
        pytest.param(["app.example"], id="no scheme"),
        pytest.param(["//app.example"], id="empty scheme"),
        pytest.param(["ftp://app.example"], id="other scheme"),
        pytest.param(["https://"], id="no host"),
        pytest.param(["https://app.example/"], id="slash"),
        pytest.param(["https://app.example/x"], id="path"),
        pytest.param(["https://app.example?x"], id="query"),
        pytest.param(["https://app.example#x"], id="fragment"),
        pytest.param(["https://*.example"], id="wildcard"),
        pytest.param(["*"], id="any"),
        pytest.param(["null"], id="null"),
        pytest.param(["https://user@app.example"], id="user"),
        pytest.param(["https://app.example:"], id="empty port"),
        pytest.param(["https://app.example:99999"], id="port"),
        pytest.param(["https://sh\xf6p.example"], id="not ASCII"),
        pytest.param(["https://[::1"], id="bracket"),
        pytest.param(["https://app.example\n"], id="line break"),
        pytest.param([""], id="empty"),
    ],
)
def test_wrong_origin(wrong: object) -> None:
    """What is no origin is an error that names the setting."""
    with pytest.raises(SettingsError, match=r"^trusted_origins\b"):
        checked_origins(wrong)
