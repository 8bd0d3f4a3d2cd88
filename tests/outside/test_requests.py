"""The session of a request, opened during the request and after it."""

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from pgsession import (
    MemoryStore,
    Session,
    SessionMiddleware,
    SessionNotFoundError,
    Sessions,
    SessionSettings,
    SettingsError,
    Store,
    StoreUnavailableError,
)
from pgsession.core.users import as_user_store
from tests.applications import SECRET
from tests.outside.site import Site

OTHER = "another secret of the tests that is long enough"


@pytest.mark.parametrize("page", ["fill?user=ann", "renew", "login"])
@pytest.mark.parametrize("of_request", [False, True], ids=["session", "request"])
async def test_after(site: Site, page: str, of_request: bool) -> None:
    """The session is found that a request has created, renewed or signed in, by the key that it
    has at the end of the request.
    """
    if page != "fill?user=ann":
        await site.come("fill?cart=tea")
    await site.come(page)

    async with site.sessions.open(site.requests[-1] if of_request else site.session) as session:
        session["progress"] = 1
        assert session.user_id == ("ann" if page == "login" else None)

    assert (await site.content())["progress"] == 1


async def test_task(store: Store) -> None:
    """A task that outlives its response saves what it has found."""
    tasks: list[asyncio.Task[None]] = []
    go_on = asyncio.Event()

    async def work(session: Session) -> None:
        await go_on.wait()
        async with site.sessions.open(session) as opened:
            opened["result"] = opened["order"] * 2

    async def begin(request: Request) -> Response:
        request.session["order"] = 21
        assert isinstance(request.session, Session)
        tasks.append(asyncio.create_task(work(request.session)))
        return Response()

    site = Site(store, Route("/begin", begin))
    await site.come("begin")
    go_on.set()
    await asyncio.gather(*tasks)

    assert await site.content() == {"order": 21, "result": 42}


async def test_during(store: Store) -> None:
    """A request under way and what opens its session keep each other's changes."""

    async def both(request: Request) -> Response:
        request.session["outer"] = 1
        async with site.sessions.open(request) as session:
            session["inner"] = 1
            assert "outer" not in session
        return Response()

    site = Site(store, Route("/both", both))
    await site.come("fill?user=ann")
    await site.come("both")

    assert await site.content() == {"user": "ann", "outer": 1, "inner": 1}


@pytest.mark.parametrize("page", ["read", "logout"])
async def test_no_row(site: Site, page: str) -> None:
    """The session of a request that has ended without one is not opened."""
    if page == "logout":
        await site.come("fill?user=ann")
    await site.come(page)

    for source in (site.session, site.requests[-1]):
        with pytest.raises(SessionNotFoundError):
            async with site.sessions.open(source):
                pass


async def test_no_row_yet(store: Store) -> None:
    """A session that its request has not saved yet is not opened."""

    async def begin(request: Request) -> Response:
        request.session["user"] = "ann"
        with pytest.raises(SessionNotFoundError, match="saved by then"):
            async with site.sessions.open(request.session):
                pass
        return Response()

    site = Site(store, Route("/begin", begin))
    await site.come("begin")


async def test_renewed_since(site: Site) -> None:
    """A session that another request has renewed since has another key, and is not opened."""
    await site.come("fill?user=ann")
    session = site.session
    await site.come("renew")

    with pytest.raises(SessionNotFoundError, match="a new key since"):
        async with site.sessions.open(session):
            pass


async def test_revoked_since(site: Site) -> None:
    """A user who was signed out meanwhile is out at the next opening."""
    await site.come("login")
    await as_user_store(site.store).revoke_all("ann")

    for source in (site.session, site.headers):
        with pytest.raises(SessionNotFoundError):
            async with site.sessions.open(source):
                pass


async def test_unavailable() -> None:
    """The session of a request that could not be loaded is an error that says so."""

    class Away(MemoryStore):
        async def get(self, _: str) -> Any:
            raise StoreUnavailableError("away")

    there, site = Site(MemoryStore()), Site(Away(), on_unavailable="anonymous")
    await there.come("fill?user=ann")
    site.browser.cookies = there.browser.cookies
    await site.come("read")

    with pytest.raises(StoreUnavailableError, match="when the request began"):
        async with site.sessions.open(site.session):
            pass


async def test_same_settings(store: Store) -> None:
    """Separate `Sessions` with the settings of the middleware open its sessions too."""
    site = Site(store)
    sessions = Sessions(store, SECRET)
    await site.come("fill?user=ann")

    for source in (site.session, site.headers):
        async with sessions.open(source) as session:
            assert session == {"user": "ann"}


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"secret_key": OTHER}, "secret"), ({"session_cookie": "mine"}, "the cookie mine")],
    ids=["secret", "name"],
)
async def test_wrong_pair(site: Site, settings: dict[str, Any], says: str) -> None:
    """`Sessions` that do not fit the session's middleware are an error that says why."""
    own = SessionSettings(**{"secret_key": SECRET, **settings})
    sessions = Sessions(site.store, settings=own)
    await site.come("fill?user=ann")

    with pytest.raises(SettingsError, match=says):
        async with sessions.open(site.session):
            pass


async def test_two_middlewares(store: Store) -> None:
    """In the scope of a mounted application with sessions of its own, each `Sessions` opens its
    own.
    """
    inner = Sessions(store, settings=SessionSettings(secret_key=OTHER, session_cookie="inner"))
    found: list[dict[str, Any]] = []

    async def both(request: Request) -> Response:
        request.session["of"] = "inner"
        assert isinstance(request.session, Session)
        await request.session.save()
        for sessions in (inner, site.sessions):
            async with sessions.open(request) as session:
                found.append(dict(session))
        return Response()

    middleware = [Middleware(SessionMiddleware, sessions=inner)]
    site = Site(store, Mount("/m", Starlette(routes=[Route("/", both)], middleware=middleware)))
    await site.come("fill?of=outer")
    await site.come("m/")

    assert found == [{"of": "inner"}, {"of": "outer"}]


def test_combined() -> None:
    """`sessions` stand for all settings of the middleware."""
    sessions = Sessions(MemoryStore(), SECRET)

    with pytest.raises(SettingsError, match="sessions cannot be combined"):
        SessionMiddleware(Starlette(), sessions=sessions, secret_key=SECRET)
    with pytest.raises(SettingsError, match="sessions cannot be combined"):
        SessionMiddleware(Starlette(), MemoryStore(), sessions=sessions)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"store": MemoryStore()}, "secret_key is missing"),
        ({"secret_key": SECRET}, "database_url is missing"),
        ({"store": MemoryStore, "secret_key": SECRET}, "not a class"),
        ({"secret_key": SECRET, "settings": SessionSettings(secret_key=SECRET)}, "combined"),
    ],
    ids=["no secret", "no store", "class", "both"],
)
def test_wrong_settings(given: dict[str, Any], says: str) -> None:
    """A setting that cannot work is one clear error at the construction."""
    with pytest.raises(SettingsError, match=says):
        Sessions(**given)
