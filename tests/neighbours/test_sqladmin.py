"""SQLAdmin mounts itself with Starlette's own SessionMiddleware. Its cookie is `session`."""

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from httpx import Response
from sqladmin import Admin
from sqladmin.authentication import AuthenticationBackend
from sqlalchemy import Engine, create_engine
from starlette.requests import Request

from pgsession import (
    MemoryStore,
    PostgresStore,
    SessionExcludedError,
    SessionSettings,
    Store,
)
from tests.applications import SECRET
from tests.neighbours.sites import Site
from tests.pages import NAME, key_of


class Door(AuthenticationBackend):
    """Lets everybody in who has gone through the login page."""

    async def login(self, request: Request) -> bool:
        form = await request.form()
        request.session["admin"] = form["username"]
        return True

    async def logout(self, request: Request) -> bool:
        request.session.clear()
        return False

    async def authenticate(self, request: Request) -> bool:
        return "admin" in request.session


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = create_engine("sqlite://")
    yield engine
    engine.dispose()


@pytest.fixture
def site(engine: Engine) -> Site:
    return with_admin(engine, MemoryStore())


def with_admin(engine: Engine, store: Store, **keywords: Any) -> Site:
    site = Site(store, **keywords)
    Admin(site.app, engine, authentication_backend=Door(secret_key="the secret of SQLAdmin"))
    return site


async def sign_in(site: Site) -> Response:
    return await site.browser.post("/admin/login", data={"username": "root", "password": "?"})


async def is_signed_in(site: Site) -> bool:
    return (await site.browser.get("/admin/")).url.path == "/admin/"


async def test_opened(site: Site) -> None:
    """SQLAdmin sends a visitor of the site to its own login page."""
    async with site.keeping_session():
        assert not await is_signed_in(site)


async def test_signed_in(site: Site) -> None:
    """A visitor of the site may sign in at SQLAdmin too."""
    async with site.keeping_session():
        await sign_in(site)
        assert await is_signed_in(site)
        assert site.read_cookie() == {"admin": "root"}


async def test_signed_in_with_postgres(engine: Engine, postgres: PostgresStore) -> None:
    """A sign-in at SQLAdmin leaves the site's row as it is."""
    site = with_admin(engine, postgres)

    async with site.keeping_session():
        await sign_in(site)
        assert await is_signed_in(site)


async def test_signed_out(site: Site) -> None:
    """A visitor who signs out at SQLAdmin is still signed in at the site."""
    async with site.keeping_session():
        await sign_in(site)
        await site.browser.get("/admin/logout")
        assert not await is_signed_in(site)


async def test_signed_out_of_site(site: Site) -> None:
    """A visitor who signs out at the site is still signed in at SQLAdmin."""
    await site.browser.get("/fill")
    await sign_in(site)

    await site.browser.get("/logout")

    assert await is_signed_in(site)


async def test_signed_in_first(site: Site) -> None:
    """A sign-in at SQLAdmin alone makes no session of the site."""
    await sign_in(site)

    assert NAME not in site.browser.cookies
    assert (await site.browser.get("/read")).json() == {}


class SharedDoor(Door):
    """Has no session of its own, but changes the session as SQLAdmin's example does."""

    def __init__(self) -> None:
        super().__init__(secret_key="")
        self.middlewares = []


async def test_cleared(engine: Engine) -> None:
    """A logout that calls `session.clear()` ends the session of the site too."""
    site = Site(MemoryStore())
    Admin(site.app, engine, authentication_backend=SharedDoor())
    await sign_in(site)
    assert await is_signed_in(site)
    key = key_of(site.browser)

    await site.browser.get("/admin/logout")

    assert await site.store.get(key) is None
    assert not await is_signed_in(site)


async def test_excluded(engine: Engine) -> None:
    """SQLAdmin on an excluded path keeps its sessions."""
    site = with_admin(engine, MemoryStore(), exclude=["/admin"])

    async with site.keeping_session():
        await sign_in(site)
        assert await is_signed_in(site)


class Badge(AuthenticationBackend):
    """Lets in who shows a header. It needs no session, so it brings no middleware."""

    def __init__(self) -> None:
        super().__init__("")
        self.middlewares = []

    async def authenticate(self, request: Request) -> bool:
        return "x-badge" in request.headers


def with_badge(engine: Engine, excluded_session: Literal["error", "absent"]) -> Site:
    settings = SessionSettings(
        secret_key=SECRET, exclude=["/admin"], excluded_session=excluded_session
    )
    site = Site(MemoryStore(), settings=settings)
    Admin(site.app, engine, authentication_backend=Badge())
    return site


async def test_probing(engine: Engine) -> None:
    """SQLAdmin looks whether the scope has a session, and then uses it: "absent" is for that."""
    site = with_badge(engine, "absent")

    async with site.keeping_session():
        assert (await site.browser.get("/admin/", headers={"x-badge": "1"})).status_code == 200

    with pytest.raises(SessionExcludedError):
        await with_badge(engine, "error").browser.get("/admin/", headers={"x-badge": "1"})
