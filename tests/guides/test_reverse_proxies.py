"""docs/how-to/reverse-proxies.md: its program behind the proxies that it configures."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from websockets.sync.client import connect

from tests.guides.proxies import (
    PAGE,
    WARNING,
    Place,
    Site,
    caddy,
    haproxy,
    in_front,
    nginx,
    nginx_with_cache,
    nginx_with_prefix,
)
from tests.programs import ADDRESS, served, uvicorn
from tests.project.conftest import Names, Program

(APP,) = PAGE.programs

#: Another address of this machine, which the server does not trust.
VISITOR = "127.0.0.2"

Configure = Callable[[Place], Sequence[str | Path]]


@pytest.fixture
def app(program: Program, variables: dict[str, str]) -> Iterator[str]:
    """The address of the page's program."""
    with served(program(APP), **variables) as address:
        yield address


def browser(site: Site) -> httpx.Client:
    """Return a client with an address of its own."""
    transport = httpx.HTTPTransport(verify=site.tls, local_address=VISITOR)
    return httpx.Client(base_url=site.address, transport=transport)


@pytest.mark.parametrize("configure", [nginx, caddy, haproxy])
def test_proxy(app: str, tmp_path: Path, configure: Configure) -> None:
    """The application knows scheme, host and client; WebSockets and events come through."""
    with in_front(configure, app, tmp_path) as site, browser(site) as visitor:
        first = visitor.get("/", headers={"x-forwarded-for": "192.0.2.9"})
        second = visitor.get("/")

        seen = {"url": f"{site.address}/", "client": VISITOR}
        assert first.json() == {**seen, "visits": 1}
        assert second.json() == {**seen, "visits": 2}
        assert first.headers["set-cookie"].startswith("__Host-session=")
        assert "secure" in first.headers["set-cookie"]
        address = site.address.replace("https", "wss") + "/talk"
        cookie = {"Cookie": "; ".join(f"{name}={it}" for name, it in visitor.cookies.items())}
        with connect(address, ssl=site.tls, additional_headers=cookie) as socket:
            assert socket.recv() == "2"
        with visitor.stream("GET", "/events") as stream:
            assert next(stream.iter_lines()) == "data: tick"


def test_cache(app: str, tmp_path: Path) -> None:
    """A cache keeps the public page, without a cookie, and gives each visitor their own count."""
    with (
        in_front(nginx_with_cache, app, tmp_path) as site,
        browser(site) as ann,
        browser(site) as bob,
    ):
        found = [each.get("/news").headers.get("x-cache") for each in (ann, bob)]
        counts = [each.get("/").json()["visits"] for each in (ann, ann, bob, ann)]
        last = ann.get("/")
        news = ann.get("/news")

    assert found == ["MISS", "HIT"]
    assert counts == [1, 2, 1, 3]
    assert last.headers["vary"] == "Cookie"
    assert (news.headers["x-cache"], "set-cookie" in news.headers) == ("HIT", False)


@pytest.mark.parametrize(
    ("path", "set_cookie"),
    [("/", ("__Host-session=", "; path=/; ")), ("/shop", ("session=", "; path=/shop; "))],
    ids=["default", "own-path"],
)
def test_prefix(
    program: Program,
    variables: dict[str, str],
    tmp_path: Path,
    path: str,
    set_cookie: tuple[str, str],
) -> None:
    """Below a prefix the links have it, and the cookie comes back, with either path."""
    arguments = ["--port=0", "--root-path=/shop", f"--app-dir={program(APP).parent}", "app:app"]
    with (
        uvicorn(arguments, said=ADDRESS, **variables, SESSION_PATH=path) as address,
        in_front(nginx_with_prefix, address, tmp_path) as site,
        browser(site) as visitor,
    ):
        first, second = visitor.get("/shop/"), visitor.get("/shop/")

    name, attribute = set_cookie
    assert first.headers["set-cookie"].startswith(name)
    assert attribute in first.headers["set-cookie"]
    assert (second.json()["url"], second.json()["visits"]) == (f"{site.address}/shop/", 2)


async def visit(app: ASGIApp, trusted: str) -> Any:
    """Send a request as a proxy at 127.0.0.1 does that adds to the header of the client."""
    transport = httpx.ASGITransport(ProxyHeadersMiddleware(app, trusted))  # type: ignore[arg-type]  # uvicorn's own types of ASGI
    headers = {"x-forwarded-proto": "https", "x-forwarded-for": "192.0.2.9, 192.0.2.7"}
    async with httpx.AsyncClient(transport=transport, base_url="http://example.org") as client:
        response = await client.get("/", headers=headers)
    assert "secure" in response.headers["set-cookie"]
    return response.json()


@pytest.mark.parametrize(
    ("trusted", "scheme", "client"),
    [
        pytest.param("127.0.0.1", "https", "192.0.2.7", id="proxy"),
        pytest.param("127.0.0.0/8,192.0.2.7", "https", "192.0.2.9", id="two"),
        pytest.param("*", "https", "192.0.2.9", id="everybody"),
        pytest.param("10.0.0.1", "http", "127.0.0.1", id="nobody"),
    ],
)
async def test_trust(
    names: Names,
    caplog: pytest.LogCaptureFixture,
    trusted: str,
    scheme: str,
    client: str,
) -> None:
    """What a server takes from the headers depends on whom it trusts; the cookie does not."""
    seen = await visit(names(APP)["app"], trusted)

    assert seen == {"url": f"{scheme}://example.org/", "client": client, "visits": 1}
    assert [it.message for it in caplog.records] == [WARNING.strip()] * (scheme == "http")


def test_defaults() -> None:
    """Without the setting uvicorn trusts this machine alone."""
    row = "`--forwarded-allow-ips`, or the variable `FORWARDED_ALLOW_IPS` | `127.0.0.1,::1` |"

    assert f"| uvicorn | {row}" in PAGE.text
    config = Config("app:app")
    assert config.proxy_headers
    assert "127.0.0.1,::1".startswith(str(config.forwarded_allow_ips))  # older ones: IPv4 only
