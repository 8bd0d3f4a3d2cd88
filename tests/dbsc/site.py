"""A site whose sessions are bound to devices, with pages that do one thing each."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from httpx import ASGITransport, AsyncClient
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from pgsession import (
    Session,
    SessionMiddleware,
    SessionSettings,
)
from pgsession.core.bound import BindingStore, Bound
from pgsession.dbsc.tokens import Tokens
from pgsession.errors import ProofMissingError
from tests.applications import SECRET
from tests.dbsc.browser import BindingBrowser

NAME = "__Host-session"
BOUND = f"{NAME}-bound"
PERIOD = timedelta(minutes=10)
TOKENS = Tokens([SECRET], NAME)
UNBOUND = {"user": "ann", "bound": False, "missing": False}

Page = Callable[[Session], Awaitable[object]]


async def login(session: Session) -> None:
    session.login("ann")


async def logout(session: Session) -> None:
    session.logout()


async def confirm(session: Session) -> None:
    session.confirm()


async def renew(session: Session) -> None:
    session.renew()


async def change(session: Session) -> str:
    try:
        session["n"] = 1
    except ProofMissingError:
        return "refused"
    return "changed"


async def members(session: Session) -> dict[str, object]:
    return dict(session)


async def look(session: Session) -> dict[str, object]:
    return {
        "user": session.user_id,
        "bound": session.device_bound,
        "missing": session.proof_missing,
    }


PAGES: dict[str, Page] = {
    f"/{page.__name__}": page for page in (login, logout, confirm, renew, change, members, look)
}


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    page = PAGES[scope["path"].removeprefix(scope.get("root_path", "").rstrip("/"))]
    await JSONResponse(await page(scope["session"]))(scope, receive, send)


def site(
    store: BindingStore, page: Page | None = None, *, place: str = "/page", **more: object
) -> ASGIApp:
    """Return the site on a store, with one page more."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if page is None or scope["path"] != place:
            await application(scope, receive, send)
        else:
            await JSONResponse(await page(scope["session"]))(scope, receive, send)

    settings = SessionSettings(secret_key=SECRET, device_binding=PERIOD, **more)  # type: ignore[arg-type] # settings
    return SessionMiddleware(app, store, settings=settings)


def thief(app: ASGIApp, cookies: dict[str, str]) -> AsyncClient:
    return AsyncClient(transport=ASGITransport(app), base_url="https://testserver", cookies=cookies)


async def signed_in(app: ASGIApp) -> BindingBrowser:
    browser = BindingBrowser(app)
    await browser.visit("/login")
    assert (await browser.visit("/look")).json() == {"user": "ann", "bound": True, "missing": False}
    return browser


def bound_of(browser: BindingBrowser) -> Bound:
    """Return what the browser's device is bound to."""
    bound = TOKENS.read_identifier(browser.instructions["session_identifier"])
    assert bound is not None
    return bound


async def prove_briefly(browser: BindingBrowser, store: BindingStore) -> None:
    """Give the browser a bound cookie that ends in one to two seconds."""
    bound = bound_of(browser)
    device = await store.bound_device(bound)
    assert device is not None
    [cookie] = [each for each in browser.cookies.jar if each.name == BOUND]
    cookie.value = TOKENS.cookie(bound, device.now + 2)
