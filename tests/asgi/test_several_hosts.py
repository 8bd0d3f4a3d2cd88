"""The cookies of a site with several hosts: a function of the scope chooses one of a few."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from pgsession import (
    CookieSettings,
    MemoryStore,
    SessionMiddleware,
    SessionSettings,
    SettingsError,
    Store,
)
from pgsession.core.bound import BindingStore
from tests.applications import SECRET
from tests.dbsc.browser import BindingBrowser
from tests.dbsc.site import application
from tests.neighbours.sites import page
from tests.pages import fill, logout, read, value_of

HOSTS = {b"shop.example": "shop", b"www.shop.example": "shop", b"admin.example": "admin"}
COOKIES = {
    "shop": CookieSettings(session_cookie="shop", domain="shop.example", max_age=600),
    "admin": CookieSettings(same_site="strict"),
}


def host_of(scope: Scope) -> bytes:
    return next((value for name, value in scope["headers"] if name == b"host"), b"")


def choose(scope: Scope) -> str:
    return HOSTS.get(host_of(scope), "admin")


def choose_strictly(scope: Scope) -> str:
    return HOSTS.get(host_of(scope), host_of(scope).decode())


def settings_of(**given: Any) -> SessionSettings:
    return SessionSettings(
        secret_key=SECRET, **{"cookies": COOKIES, "choose_cookie": choose, **given}
    )


def site(store: Store, *routes: Route, **given: Any) -> Starlette:
    middleware = Middleware(SessionMiddleware, store=store, settings=settings_of(**given))
    return Starlette(routes=[*map(page, (fill, read, logout)), *routes], middleware=[middleware])


async def answer_nothing(_request: Request) -> Response:
    return Response(status_code=204)


def browse(app: Starlette, host: str) -> AsyncClient:
    return AsyncClient(transport=ASGITransport(app), base_url=f"https://{host}")


async def test_own_cookies() -> None:
    """Each host gets the cookie that the function chooses for it, with that cookie's attributes."""
    app = site(MemoryStore())

    cookies = [
        (await browse(app, host).get("/fill")).headers["set-cookie"]
        for host in ("shop.example", "admin.example")
    ]

    assert re.fullmatch(
        r"shop=\S+; path=/; Max-Age=600; httponly; samesite=lax; secure; domain=shop.example",
        cookies[0],
    )
    assert re.fullmatch(
        r"__Host-session=\S+; path=/; Max-Age=604800; httponly; samesite=strict; secure",
        cookies[1],
    )


async def test_hosts_of_one_domain() -> None:
    """Hosts that share a cookie share the session."""
    browser = browse(site(MemoryStore()), "shop.example")
    await browser.get("/fill")

    assert (await browser.get("https://www.shop.example/read")).json() == {"user": "ann"}
    assert (await browser.get("https://admin.example/read")).json() == {}


async def test_foreign_host() -> None:
    """A Host that nobody has listed never becomes a domain: the function's default counts."""
    response = await browse(site(MemoryStore()), "evil.example").get("/fill")

    assert response.headers["set-cookie"].startswith("__Host-session=")
    assert "domain" not in response.headers["set-cookie"]


async def test_cookie_of_another_host() -> None:
    """A cookie of one host opens no session at another, not even under the name of its cookie."""
    app = site(MemoryStore())
    browser = browse(app, "shop.example")
    await browser.get("/fill")
    stolen = browser.cookies["shop"]

    header = {"cookie": f"shop={stolen}; __Host-session={stolen}"}

    assert (await browse(app, "shop.example").get("/read", headers=header)).json() != {}
    assert (await browse(app, "admin.example").get("/read", headers=header)).json() == {}


async def test_logout() -> None:
    """A logout at one host ends its session and deletes its cookie, and leaves the other."""
    store = MemoryStore()
    shop, admin = (browse(site(store), host) for host in ("shop.example", "admin.example"))
    await shop.get("/fill")
    await admin.get("/fill")

    response = await shop.get("/logout")

    assert response.headers["set-cookie"].startswith("shop=null; path=/; expires=")
    assert "domain=shop.example" in response.headers["set-cookie"]
    assert (await admin.get("/read")).json() == {"user": "ann"}


@pytest.mark.parametrize("choice", [choose_strictly, lambda _: None, lambda _: ["shop"]])
async def test_unknown_name(choice: Callable[[Scope], Any]) -> None:
    """A name that is none of a cookie is an error in the request, which does not quote it."""
    store = MemoryStore()
    app = site(store, choose_cookie=choice)

    with pytest.raises(SettingsError, match=r"^choose_cookie returned no name .*'shop', 'admin'$"):
        await browse(app, "evil.example").get("/fill")


async def test_excluded() -> None:
    """On an excluded path nothing is chosen, so a health check may come with any Host."""
    app = site(
        MemoryStore(),
        Route("/health", answer_nothing),
        exclude=["/health"],
        choose_cookie=choose_strictly,
    )

    assert (await browse(app, "10.0.0.7").get("/health")).status_code == 204


async def test_excluded_and_bound() -> None:
    """With device binding too, an excluded path may be asked for under any Host."""
    cookies = {"shop": CookieSettings(session_cookie="shop"), "admin": CookieSettings()}
    app = site(
        MemoryStore(),
        Route("/health", answer_nothing),
        cookies=cookies,
        exclude=["/health"],
        choose_cookie=choose_strictly,
        device_binding=600,
    )

    assert (await browse(app, "10.0.0.7").get("/health")).status_code == 204


async def test_websocket(converse: Callable[..., Awaitable[list[Message]]]) -> None:
    """A WebSocket has the session of its host, and its cookie."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["user"] = "ann"
        await receive()
        await send({"type": "websocket.accept"})

    store = MemoryStore()
    middleware = SessionMiddleware(app, store, settings=settings_of())
    scope = {"type": "websocket", "headers": [(b"host", b"admin.example")]}

    (accepted,) = await converse(middleware, scope, {"type": "websocket.connect"})

    [cookie] = [value for name, value in accepted["headers"] if name == b"set-cookie"]
    assert cookie.startswith(b"__Host-session=")
    key = cookie.partition(b"=")[2].partition(b".")[0].decode()
    assert await value_of(store, key) == {"user": "ann"}


async def test_bound_devices(users: BindingStore) -> None:
    """Each cookie has a bound cookie of its own name, and endpoints that answer for its host."""
    cookies = {"shop": CookieSettings(session_cookie="shop"), "admin": CookieSettings()}
    settings = settings_of(cookies=cookies, device_binding=600, choose_cookie=choose_strictly)
    app = SessionMiddleware(application, users, settings=settings)
    signed_in = {"user": "ann", "bound": True, "missing": False}
    for host, name in (("shop.example", "shop"), ("admin.example", "__Host-session")):
        browser = BindingBrowser(app)
        browser.base_url = f"https://{host}"
        await browser.visit("/login")

        assert (await browser.visit("/look")).json() == signed_in
        assert (await browser.refresh()).status_code == 200
        assert {cookie.name for cookie in browser.cookies.jar} == {name, f"{name}-bound"}


def test_shared() -> None:
    """All cookies share one store, one log of outages and one watcher of streams."""
    settings = settings_of(telemetry=False)  # else telemetry asks for the watcher first
    policies = SessionMiddleware(Starlette(), MemoryStore(), settings=settings)._choice  # noqa: SLF001 - shared parts

    assert policies is not None
    shop, admin = policies._policies.values()  # noqa: SLF001
    for part in ("store", "watching", "outage_log", "hooks", "reuse_log", "extension_pause"):
        assert getattr(shop, part) is getattr(admin, part)


def test_names() -> None:
    """`session_cookie` is the first name, as in Starlette's class; `session_cookies` has all."""
    middleware = SessionMiddleware(Starlette(), MemoryStore(), settings=settings_of())

    assert middleware.session_cookie == "shop"
    assert middleware.session_cookies == ("shop", "__Host-session")


def test_stacked() -> None:
    """Another of our middlewares with one of the cookies is rejected."""
    inner = SessionMiddleware(Starlette(), MemoryStore(), SECRET)

    with pytest.raises(SettingsError, match="added twice with the cookie __Host-session"):
        SessionMiddleware(inner, MemoryStore(), settings=settings_of())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param({"choose_cookie": None}, "^cookies needs choose_cookie", id="no function"),
        pytest.param({"choose_cookie": "shop"}, "^cookies needs choose_cookie", id="a name"),
        pytest.param({"cookies": None}, "^choose_cookie needs cookies", id="no cookies"),
        pytest.param({"cookies": {}}, "^cookies must map", id="none"),
        pytest.param({"cookies": ["shop"]}, "^cookies must map", id="a list"),
        pytest.param({"cookies": {"shop": {"path": "/"}}}, "^cookies must map", id="a dict"),
        pytest.param({"cookies": {1: CookieSettings()}}, "^cookies must map", id="a number"),
        pytest.param({"domain": "a.example"}, "^domain cannot be combined", id="domain too"),
        pytest.param({"max_age": None}, "^max_age cannot be combined", id="max_age too"),
        pytest.param({"session_cookie": "a"}, "^session_cookie cannot be combined", id="name too"),
        pytest.param(
            {"cookies": {"shop": CookieSettings(domain="com")}},
            r"^cookies\['shop'\]: domain must be",
            id="wrong domain",
        ),
        pytest.param(
            {"cookies": {"shop": CookieSettings(max_age=0)}},
            r"^cookies\['shop'\]: max_age must be",
            id="wrong period",
        ),
        pytest.param(
            {"cookies": {"shop": CookieSettings(max_age=901)}, "assurance_level": 3},
            r"^cookies\['shop'\]: max_age is longer",
            id="beyond the level",
        ),
        pytest.param(
            {"cookies": COOKIES, "device_binding": 600},
            r"^cookies\['shop'\]: device_binding does not work with domain",
            id="bound to a domain",
        ),
        pytest.param(
            {"cookies": {"a": CookieSettings(), "b": CookieSettings(same_site="strict")}},
            r"^cookies\['a'\] and cookies\['b'\] have one name, __Host-session\. ",
            id="one name",
        ),
        pytest.param(
            {
                "cookies": {
                    "a": CookieSettings(session_cookie="s"),
                    "b": CookieSettings(session_cookie="s-bound"),
                },
                "device_binding": 600,
            },
            r"^cookies\['a'\] and cookies\['b'\] have one name, s-bound\. ",
            id="name of a bound cookie",
        ),
    ],
)
def test_wrong_settings(given: Mapping[str, Any], message: str) -> None:
    """Cookies that cannot work beside each other are one error that names the setting."""
    with pytest.raises(SettingsError, match=message):
        settings_of(**given)


def test_async_choice() -> None:
    """The function that chooses is a plain one."""

    async def wait(_scope: Scope) -> str:
        raise NotImplementedError

    with pytest.raises(SettingsError, match="a plain function"):
        settings_of(choose_cookie=wait)
