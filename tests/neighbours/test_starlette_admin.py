"""starlette-admin uses the site's session, or that of a middleware which it is given.

Its flash messages and its CSRF token have cookies of their own.
"""

from collections.abc import Sequence
from typing import Any

import pytest
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette_admin import BaseAdmin
from starlette_admin.auth import AdminUser, AuthProvider

from pgsession import MemoryStore, PostgresStore, Session, Store
from tests.neighbours.sites import Site
from tests.pages import NAME, key_of

SECRET = "the secret of starlette-admin"
COOKIES = Middleware(SessionMiddleware, secret_key=SECRET)


class Door(AuthProvider):
    """Lets everybody in who has gone through the login page."""

    async def login(
        self,
        username: str,
        password: str,  # noqa: ARG002 - the parameters of the parent's method
        remember_me: bool,  # noqa: ARG002
        request: Request,
    ) -> None:
        request.session["admin"] = username

    async def logout(self, request: Request) -> None:
        request.session.pop("admin")

    async def authenticate(self, request: Request) -> AdminUser | None:
        name = request.session.get("admin")
        return None if name is None else AdminUser(username=name)


class SigningDoor(Door):
    """Signs in and out at the site."""

    async def login(
        self,
        username: str,
        password: str,  # noqa: ARG002 - the parameters of the parent's method
        remember_me: bool,  # noqa: ARG002
        request: Request,
    ) -> None:
        session_of(request).login(username)

    async def logout(self, request: Request) -> None:
        session_of(request).logout()

    async def authenticate(self, request: Request) -> AdminUser | None:
        name = session_of(request).user_id
        return None if name is None else AdminUser(username=name)


def session_of(request: Request) -> Session:
    session = request.session
    assert isinstance(session, Session)
    return session


def with_admin(
    store: Store, middlewares: Sequence[Middleware], door: type[Door] = Door, **keywords: Any
) -> Site:
    site = Site(store, **keywords)
    admin = BaseAdmin(auth_provider=door(), middlewares=middlewares, secret_key=SECRET)
    admin.mount_to(site.app)
    return site


@pytest.fixture
def site() -> Site:
    """A site with starlette-admin, which has a middleware of its own."""
    return with_admin(MemoryStore(), [COOKIES])


async def sign_in(site: Site) -> None:
    await site.browser.get("/admin/login")
    await post(site, "/admin/login", username="root", password="?")


async def sign_out(site: Site) -> None:
    await post(site, "/admin/logout")


async def post(site: Site, path: str, **form: str) -> None:
    """Send a form as the pages of starlette-admin do, with the CSRF token of the cookie."""
    token = site.browser.cookies["starlette_admin_csrftoken"]
    await site.browser.post(path, data=form, headers={"x-csrftoken": token})


async def is_signed_in(site: Site) -> bool:
    return (await site.browser.get("/admin/")).url.path == "/admin/"


async def test_opened(site: Site) -> None:
    """starlette-admin sends a visitor of the site to its own login page."""
    async with site.keeping_session():
        assert not await is_signed_in(site)


async def test_signed_in(site: Site) -> None:
    """A visitor of the site may sign in at starlette-admin too."""
    async with site.keeping_session():
        await sign_in(site)
        assert await is_signed_in(site)
        assert site.read_cookie() == {"admin": "root"}


async def test_signed_in_with_postgres(postgres: PostgresStore) -> None:
    """A sign-in at starlette-admin leaves the site's row as it is."""
    site = with_admin(postgres, [COOKIES])

    async with site.keeping_session():
        await sign_in(site)
        assert await is_signed_in(site)


async def test_signed_out(site: Site) -> None:
    """A visitor who signs out at starlette-admin is still signed in at the site."""
    async with site.keeping_session():
        await sign_in(site)
        await sign_out(site)
        assert not await is_signed_in(site)


async def test_signed_in_first(site: Site) -> None:
    """A sign-in at starlette-admin alone makes no session of the site."""
    await sign_in(site)

    assert NAME not in site.browser.cookies
    assert (await site.browser.get("/read")).json() == {}


async def test_excluded() -> None:
    """starlette-admin on an excluded path keeps its sessions."""
    site = with_admin(MemoryStore(), [COOKIES], exclude=["/admin"])

    async with site.keeping_session():
        await sign_in(site)
        assert await is_signed_in(site)


async def test_shared() -> None:
    """Without a middleware of its own, starlette-admin keeps its user in the site's session."""
    site = with_admin(MemoryStore(), [])
    await site.browser.get("/fill")

    await sign_in(site)

    assert await is_signed_in(site)
    assert (await site.browser.get("/read")).json() == {"user": "ann", "admin": "root"}
    assert "session" not in site.browser.cookies


async def test_signed_out_of_shared() -> None:
    """A sign-out at starlette-admin removes its user from the shared session, and no more."""
    site = with_admin(MemoryStore(), [])

    async with site.keeping_session():
        await sign_in(site)
        await sign_out(site)
        assert not await is_signed_in(site)


async def test_signing() -> None:
    """A login and a logout by the session's own methods are those of the site, with a new key."""
    site = with_admin(MemoryStore(), [], SigningDoor)
    await site.browser.get("/fill")
    visitors = key_of(site.browser)

    await sign_in(site)

    key = key_of(site.browser)
    assert await is_signed_in(site)
    assert await site.store.get(visitors) is None

    await sign_out(site)

    assert await site.store.get(key) is None
    assert not await is_signed_in(site)
