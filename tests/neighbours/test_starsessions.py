"""starsessions on either side of ours. Its cookie is `session`.

Its middleware puts a guard into the scope that rejects any use, and puts a dict there when the
session is loaded: by the handler, or by a second middleware.
"""

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starsessions import (
    CookieStore,
    InMemoryStore,
    SessionAutoloadMiddleware,
    SessionMiddleware,
    load_session,
)

from pgsession import MemoryStore, PostgresStore
from tests.neighbours.sites import Site, VisitCounter, page
from tests.pages import NAME, logout, read

SECRET = "the secret of starsessions"
COOKIES = Middleware(SessionMiddleware, store=CookieStore(SECRET))
AUTOLOAD = Middleware(SessionAutoloadMiddleware)


def note(session: dict[str, Any]) -> None:
    session["note"] = "tea"


async def load(request: Request) -> JSONResponse:
    await load_session(request)
    return JSONResponse({})


async def load_and_count(request: Request) -> JSONResponse:
    await load_session(request)
    request.session["loads"] = request.session.get("loads", 0) + 1
    return JSONResponse(request.session["loads"])


async def ignore(_request: Request) -> JSONResponse:
    return JSONResponse({})


def mounted(*middleware: Middleware) -> Mount:
    """An application below `/app` with starsessions."""
    routes = [Route("/ignore", ignore), Route("/load", load_and_count)]
    pages = [*map(page, (note, read, logout)), *routes]
    return Mount("/app", Starlette(routes=pages, middleware=middleware))


@pytest.mark.parametrize("exclude", [[], ["/app"]], ids=["included", "excluded"])
@pytest.mark.parametrize("store", [CookieStore(SECRET), InMemoryStore()], ids=["cookies", "memory"])
async def test_mounted(exclude: list[str], store: CookieStore | InMemoryStore) -> None:
    """A mounted application with starsessions leaves the site's session as it is."""
    inner = mounted(Middleware(SessionMiddleware, store=store), AUTOLOAD)
    site = Site(MemoryStore(), inner, exclude=exclude)

    async with site.keeping_session():
        await site.browser.get("/app/note")
        assert (await site.browser.get("/app/read")).json()["note"] == "tea"


async def test_mounted_in_postgres(postgres: PostgresStore) -> None:
    """A mounted application with starsessions leaves the site's row as it is."""
    site = Site(postgres, mounted(COOKIES, AUTOLOAD))

    async with site.keeping_session():
        await site.browser.get("/app/note")
        await site.browser.get("/app/logout")


async def test_loaded_by_handler() -> None:
    """A mounted application may load its session in the handler."""
    site = Site(MemoryStore(), mounted(COOKIES))

    async with site.keeping_session():
        assert (await site.browser.get("/app/load")).json() == 1
        assert (await site.browser.get("/app/load")).json() == 2


async def test_never_loaded() -> None:
    """A mounted application may leave its session unloaded."""
    site = Site(MemoryStore(), mounted(COOKIES))

    async with site.keeping_session():
        assert (await site.browser.get("/app/ignore")).status_code == 200


async def test_mounted_first() -> None:
    """A visitor who used only the mounted application has no session of the site."""
    site = Site(MemoryStore(), mounted(COOKIES, AUTOLOAD))

    await site.browser.get("/app/note")

    assert NAME not in site.browser.cookies
    assert (await site.browser.get("/read")).json() == {}


async def test_inside() -> None:
    """With starsessions inside, `request.session` is its session, and only its."""
    site = Site(MemoryStore(), inside=(COOKIES, AUTOLOAD))

    await site.browser.get("/fill")

    assert NAME not in site.browser.cookies
    assert site.read_cookie()["user"] == "ann"


async def test_outside() -> None:
    """With starsessions outside, its session contains only what outer code stored."""
    site = Site(MemoryStore(), outside=(COOKIES, AUTOLOAD, Middleware(VisitCounter)))

    async with site.keeping_session():
        assert site.read_cookie().keys() == {"visits", "__metadata__"}
    assert site.read_cookie()["visits"] == 2


async def test_logout_inside() -> None:
    """The end of the site's session is not the end of the outer session."""
    site = Site(MemoryStore(), outside=(COOKIES, AUTOLOAD, Middleware(VisitCounter)))
    await site.browser.get("/fill")

    await site.browser.get("/logout")

    assert NAME not in site.browser.cookies
    assert site.read_cookie()["visits"] == 2


async def test_outside_and_never_loaded() -> None:
    """An outer session that is not loaded gets no cookie."""
    site = Site(MemoryStore(), outside=(COOKIES,))

    async with site.keeping_session():
        assert "session" not in site.browser.cookies


async def test_outside_and_loaded_by_handler() -> None:
    """A handler that loads the outer session leaves the site's session as it is."""
    site = Site(MemoryStore(), Route("/load", load), outside=(COOKIES,))

    async with site.keeping_session():
        assert (await site.browser.get("/load")).status_code == 200
        assert "session" not in site.browser.cookies


async def test_outside_and_excluded() -> None:
    """On an excluded path, `request.session` is the session of the middleware outside."""
    site = Site(MemoryStore(), page(note), outside=(COOKIES, AUTOLOAD), exclude=["/note"])

    async with site.keeping_session():
        await site.browser.get("/note")
        assert site.read_cookie()["note"] == "tea"
