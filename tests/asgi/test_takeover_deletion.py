"""Which responses delete the cookie from before a switch."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from httpx import AsyncClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware as StarletteMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from pgsession import (
    MemoryStore,
    Session,
    Store,
)
from pgsession.predecessors import StarletteCookie
from tests.asgi.old_sessions import (
    CONTENT,
    DELETED,
    OLD,
    UNTIL,
    Kept,
    cookies_of,
    settings_with,
    signed,
)
from tests.pages import NAME, fill, logout, read

Browse = Callable[..., AsyncClient]


def renew(session: Session) -> None:
    session.renew()


def start_again(session: Session) -> None:
    session.logout()
    session["flash"] = "You are signed out."


async def fill_admin(request: Request) -> JSONResponse:
    request.session["admin"] = 1
    return JSONResponse({})


async def read_admin(request: Request) -> JSONResponse:
    return JSONResponse(request.session)


ADMIN = Mount(
    "/admin",
    Starlette(
        routes=[Route("/fill", fill_admin), Route("/read", read_admin)],
        middleware=[Middleware(StarletteMiddleware, secret_key="the admin's", https_only=True)],
    ),
)


@pytest.fixture
def browse(visit: Browse) -> Browse:
    """Opens a browser, by default with an old cookie of ann's."""

    def browse(store: Store, value: str | None = None, **changed: Any) -> AsyncClient:
        settings = settings_with(changed.pop("predecessor", None), **changed)
        actions = (read, fill, logout, renew, start_again)
        client = visit(store, *actions, routes=(ADMIN,), settings=settings, raises=False)
        client.cookies.set("session", signed(CONTENT) if value is None else value)
        return client

    return browse


@pytest.mark.parametrize("delete", [False, True])
async def test_neighbour(browse: Browse, *, delete: bool) -> None:
    """Another middleware's cookie with the name of the old one is never deleted."""
    predecessor = StarletteCookie(OLD, until=UNTIL, delete=delete)
    client = browse(MemoryStore(), predecessor=predecessor)
    client.cookies.clear()

    for path in ("/renew", "/logout"):
        await client.get("/fill")
        await client.get("/admin/fill")
        await client.get(path)
        assert (await client.get("/admin/read")).json() == {"admin": 1}


async def refuse(_: Any) -> bool:
    return False


@pytest.mark.parametrize(
    ("content", "accept"),
    [
        pytest.param(CONTENT, refuse, id="refused"),
        pytest.param({"a": "\x00"}, None, id="unstorable"),
        pytest.param({}, None, id="empty"),
    ],
)
async def test_logout_without(browse: Browse, content: dict[str, Any], accept: Any) -> None:
    """A logout deletes the old cookie also if its session was not taken over."""
    predecessor = StarletteCookie(OLD, until=UNTIL, accept=accept)

    response = await browse(MemoryStore(), signed(content), predecessor=predecessor).get("/logout")

    assert DELETED in cookies_of(response)


async def test_logout_again(browse: Browse) -> None:
    """A logout deletes the old cookie also if the session had ended before."""
    store, value = MemoryStore(), signed(CONTENT)
    await browse(store, value).get("/logout")

    assert DELETED in cookies_of(await browse(store, value).get("/logout"))


async def test_logout_of_ours(browse: Browse) -> None:
    """A logout from a session of ours deletes an old cookie that was never looked at."""
    kept = Kept({"a": CONTENT, "b": {"n": 1}}, until=UNTIL)
    client = browse(MemoryStore(), "a", predecessor=kept)
    await client.get("/read")
    client.cookies.set("session", "b")

    assert DELETED in cookies_of(await client.get("/logout"))
    assert kept.asked == ["a", "b"]


async def test_logout_with_flash(browse: Browse) -> None:
    """A logout deletes the old cookie also if a new session begins with it."""
    cookies = cookies_of(await browse(MemoryStore()).get("/start_again"))

    assert [it.partition("=")[0] for it in cookies] == ["session", NAME]
    assert cookies[0] == DELETED


@pytest.mark.parametrize(("path", "status"), [("/logout", 503), ("/renew", 200)])
async def test_away(browse: Browse, path: str, status: int) -> None:
    """If the old sessions cannot be read, a logout says so, and nothing else does."""
    errors: dict[str, Exception] = {}

    class Leaving(Kept):
        async def load(self, value: str) -> Any:
            if errors:
                raise errors["now"]
            return await super().load(value)

    predecessor = Leaving({"a": CONTENT}, until=UNTIL, delete=True)
    client = browse(MemoryStore(), "a", predecessor=predecessor)
    await client.get("/read")
    client.cookies.set("session", "a")
    errors["now"] = LookupError()

    response = await client.get(path)
    errors.clear()

    assert response.status_code == status
    assert DELETED not in cookies_of(response)
    assert DELETED in cookies_of(await client.get(path))


@pytest.mark.parametrize(
    ("same_site", "ending"), [("none", "samesite=none; secure"), ("lax", "samesite=lax")]
)
async def test_deletion(browse: Browse, same_site: str, ending: str) -> None:
    """A deletion with SameSite=None has Secure, whatever the old cookie had."""
    predecessor = StarletteCookie(OLD, until=UNTIL, https_only=False)
    client = browse(MemoryStore(), predecessor=predecessor, same_site=same_site)

    deletion, _ = cookies_of(await client.get("/logout"))

    assert deletion.startswith("session=null; ")
    assert deletion.endswith(f"httponly; {ending}")


async def test_late(browse: Browse) -> None:
    """After the last day the old cookie is not deleted any more: it opens nothing here."""
    kept = Kept({"a": CONTENT}, until=date(2020, 1, 1))
    client = browse(MemoryStore(), "a", predecessor=kept)
    await client.get("/fill")

    (cookie,) = cookies_of(await client.get("/logout"))

    assert cookie.startswith(f"{NAME}=")
    assert kept.asked == []
