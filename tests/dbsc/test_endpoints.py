"""The two places that the middleware answers itself."""

import pytest
from psycopg import Connection
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pgsession import (
    PostgresStore,
    SessionMiddleware,
    SessionSettings,
)
from pgsession.core.bound import BindingStore
from tests.applications import SECRET
from tests.dbsc.browser import BindingBrowser
from tests.dbsc.keys import Device
from tests.dbsc.site import (
    BOUND,
    PERIOD,
    TOKENS,
    UNBOUND,
    application,
    bound_of,
    look,
    signed_in,
    site,
    thief,
)


@pytest.mark.parametrize(
    "headers", [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}]
)
async def test_other_sites(app: ASGIApp, headers: dict[str, str]) -> None:
    """Another site cannot refresh."""
    browser = await signed_in(app)
    headers |= {"sec-secure-session-id": browser.instructions["session_identifier"]}

    response = await browser.post("/.session/refresh", headers=headers)

    assert response.status_code == 400


async def test_csrf_protection(store: BindingStore) -> None:
    """With `csrf_protection` the endpoints answer as without: a browser would take a 403 for a
    challenge. Other paths are checked.
    """
    browser = await signed_in(site(store, csrf_protection=True))
    asked = {"sec-secure-session-id": browser.instructions["session_identifier"]}
    headers = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}

    assert (await browser.post("/.session/refresh", headers=asked | headers)).status_code == 400
    assert (await browser.post("/change", headers=headers)).status_code == 403
    assert (await browser.refresh()).status_code == 200


ROOTS = {"": "", "/app": "/app", "/app/": "/app", '/a"b\r\nc ü': "/a%22b%0D%0Ac%20%C3%BC"}


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("is_whole", [True, False], ids=["whole", "rest"])
async def test_mounted(store: BindingStore, root: str, is_whole: bool) -> None:
    """The endpoints are found below a prefix that a proxy takes off, and in a mount."""
    exclude = SessionSettings.from_env(
        {"SESSION_SECRET_KEY": SECRET, "SESSION_EXCLUDE": "/static/"}
    ).exclude
    inner, prefix = site(store, exclude=exclude), ROOTS[root]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if is_whole else scope["path"].removeprefix(root.rstrip("/"))
        await inner({**scope, "root_path": root, "path": path}, receive, send)

    browser = BindingBrowser(app)
    offer = (await browser.get(f"{prefix}/login")).headers["secure-session-registration"]
    assert f'path="{prefix}/.session/register"' in offer
    assert (await browser.register(offer)).status_code == 200
    assert browser.instructions["refresh_url"] == f"{prefix}/.session/refresh"
    [rule] = browser.instructions["scope"]["scope_specification"]
    assert (rule["type"], rule["path"]) == ("exclude", f"{prefix}/static")
    assert (await browser.refresh()).status_code == 200


@pytest.mark.parametrize(
    ("origin", "named"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("https://app.example.com:8443", "https://app.example.com:8443"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        ('https://app.example.com/"', "https://testserver"),
        ("https://[:::::]", "https://[:::::]"),
        ("http://app.example.com", "https://testserver"),
        ("null", "https://testserver"),
        ("", "https://testserver"),
    ],
)
async def test_origin(app: ASGIApp, origin: str, named: str) -> None:
    """The origin is the one that the browser sees, also if a proxy changes the host."""
    browser = BindingBrowser(app)
    browser.headers["origin"] = origin

    await browser.visit("/login")

    assert browser.instructions["scope"]["origin"] == named


@pytest.mark.parametrize("path", ["/register", "/refresh", "/x/.session/refresh", "/.session"])
async def test_own_pages(store: BindingStore, path: str) -> None:
    """The application's own pages of such names are its own."""
    browser = BindingBrowser(site(store, look, place=path))
    assert (await browser.post(path)).json() == {"user": None, "bound": False, "missing": False}


@pytest.mark.parametrize("host", ["[", "[x]", "a/b", ""])
async def test_no_origin(app: ASGIApp, host: str) -> None:
    """Without an origin nothing is registered."""
    browser = BindingBrowser(app, registers=False)
    offer = (await browser.visit("/login")).headers["secure-session-registration"]
    browser.headers["host"] = host
    assert (await browser.register(offer)).status_code == 400
    del browser.headers["host"]
    browser.device = Device()
    assert (await browser.register(offer)).status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT"])
async def test_methods(app: ASGIApp, method: str) -> None:
    """The places take POST alone."""
    for path in ("/.session/register", "/.session/refresh"):
        response = await BindingBrowser(app).request(method, path)
        assert (response.status_code, response.headers["allow"]) == (405, "POST")


async def test_login_in_a_mount(store: BindingStore) -> None:
    """A sign-in in a mounted application registers where the middleware outside answers."""

    async def login(request: Request) -> Response:
        request.session.login("ann")  # type: ignore[attr-defined] # our class
        return Response()

    mounted = Mount("/accounts", routes=[Route("/login", login)])
    settings = SessionSettings(secret_key=SECRET, device_binding=PERIOD)
    app = SessionMiddleware(Starlette(routes=[mounted]), store, settings=settings)
    browser = BindingBrowser(app)
    await browser.visit("/accounts/login")

    assert browser.instructions["refresh_url"] == "/.session/refresh"
    assert BOUND in browser.copy_of_cookies()


async def test_two_middlewares(store: BindingStore, caplog: pytest.LogCaptureFixture) -> None:
    """Two middlewares that bind at the same place are one warning, and at two places none."""
    for place, count in ((".session", 1), (".inner", 0)):
        settings = SessionSettings(
            secret_key=SECRET,
            session_cookie="inner",
            device_binding=PERIOD,
            device_binding_path=place,
        )
        inner = SessionMiddleware(application, store, settings=settings)
        settings = SessionSettings(secret_key=SECRET, device_binding=PERIOD)
        outer = SessionMiddleware(inner, store, settings=settings)
        caplog.clear()
        for _ in range(2):
            await BindingBrowser(outer).visit("/login")
        assert caplog.text.count("at the same place") == count


async def test_unreadable_key(postgres: PostgresStore, table: Connection) -> None:
    """A key that somebody has overwritten verifies nothing; one that is deleted binds nothing."""
    browser = await signed_in(site(postgres))
    for text in ("no JSON", "{}", '{"kty":1}', "[]"):
        table.execute("UPDATE session SET device_key = %s", (text,))
        assert (await browser.refresh()).status_code == 403

    table.execute("UPDATE session SET device_key = NULL")
    assert (await browser.refresh()).status_code == 404
    browser.cookies.delete(BOUND)
    assert (await browser.visit("/look")).json() == UNBOUND


async def test_session_of_before(app: ASGIApp) -> None:
    """A refresh for another session than the cookie's ends that binding in the browser.

    Else its bound cookie would overwrite the one of the session that the browser has.
    """
    browser = await signed_in(app)
    before = browser.instructions
    browser.cookies.clear()
    await browser.visit("/login")

    browser.instructions, now = before, browser.instructions
    refused = await browser.refresh()
    assert (refused.status_code, "set-cookie" in refused.headers) == (404, False)

    browser.instructions = now
    assert (await browser.refresh()).status_code == 200
    cookies = browser.copy_of_cookies()
    browser.cookies.clear()  # as from another site
    assert (await browser.refresh()).status_code == 200
    assert browser.copy_of_cookies().keys() == {BOUND}
    assert (await thief(app, cookies).get("/look")).json()["user"] == "ann"


async def test_old_challenge(postgres: PostgresStore) -> None:
    """A challenge is good for the period and five minutes; after three another one comes."""
    app = site(postgres)
    browser = await signed_in(app)
    bound = bound_of(browser)
    device = await postgres.bound_device(bound)
    assert device is not None
    for age, status, is_old in (
        (60, 200, False),
        (3 * 60 + 5, 200, True),
        (15 * 60 - 5, 200, True),
        (15 * 60 + 5, 403, True),
    ):
        challenge = TOKENS.challenge(bound, device.now - age)
        headers = {
            "sec-secure-session-id": browser.instructions["session_identifier"],
            "secure-session-response": browser.device.proof(challenge),
        }
        response = await browser.post("/.session/refresh", headers=headers)
        assert response.status_code == status
        assert ("secure-session-challenge" in response.headers) is is_old
