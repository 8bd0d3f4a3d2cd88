"""Two of our own middlewares in one application, each with its cookie."""

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount

from pgsession import MemoryStore, SessionMiddleware
from tests.applications import SECRET
from tests.neighbours.sites import Site, VisitCounter, page
from tests.pages import NAME, key_of, logout, read, value_of


def note(session: dict[str, Any]) -> None:
    session["note"] = "tea"


def second(**keywords: Any) -> Middleware:
    """Our middleware with the cookie `second` and its own store."""
    return Middleware(
        SessionMiddleware,
        store=MemoryStore(),
        secret_key=SECRET,
        session_cookie="second",
        **keywords,
    )


def mounted() -> Mount:
    """An application below `/app` with a second middleware."""
    pages = list(map(page, (note, read, logout)))
    return Mount("/app", Starlette(routes=pages, middleware=[second()]))


@pytest.mark.parametrize("exclude", [[], ["/app"]], ids=["included", "excluded"])
async def test_mounted(exclude: list[str]) -> None:
    """A mounted application with a second middleware leaves the site's session as it is."""
    site = Site(MemoryStore(), mounted(), exclude=exclude)

    async with site.keeping_session():
        await site.browser.get("/app/note")
        assert (await site.browser.get("/app/read")).json() == {"note": "tea"}


async def test_mounted_logout() -> None:
    """A mounted application that clears its session deletes its own cookie only."""
    site = Site(MemoryStore(), mounted())

    async with site.keeping_session():
        await site.browser.get("/app/note")
        await site.browser.get("/app/logout")
        assert "second" not in site.browser.cookies


async def test_outside() -> None:
    """The outer session contains what code between the middlewares stored, and no more."""
    store = MemoryStore()
    outside = Middleware(SessionMiddleware, store=store, secret_key=SECRET, session_cookie="second")
    site = Site(MemoryStore(), outside=(outside, Middleware(VisitCounter)))

    async with site.keeping_session():
        key = site.browser.cookies["second"].partition(".")[0]
        assert await value_of(store, key) == {"visits": 1}


async def test_inside_and_excluded() -> None:
    """On a path that the inner middleware excludes, `request.session` is the outer session."""
    site = Site(MemoryStore(), page(note), inside=(second(exclude=["/note"]),))

    assert (await site.browser.get("/note")).status_code == 200
    assert await value_of(site.store, key_of(site.browser)) == {"note": "tea"}
    assert list(site.browser.cookies) == [NAME]
