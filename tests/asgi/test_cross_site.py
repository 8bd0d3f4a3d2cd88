"""Requests from other sites, which come without the cookie although the browser may have one."""

from collections.abc import Callable
from typing import Any

import pytest
from httpx import AsyncClient
from psycopg import Connection
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from pgsession import MemoryStore, PostgresStore, Session
from tests.pages import count, fill, login, logout, read, value_of

Visit = Callable[..., AsyncClient]


def sent(site: str, mode: str = "navigate", dest: str = "document") -> dict[str, str]:
    """Return what a browser says about a request."""
    return {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": dest}


FORM = sent("cross-site")
LINK = sent("cross-site")


async def respond(request: Request) -> Response:
    request.session["cart"] = [1]
    return Response()


CART = Route("/cart", respond, methods=["GET", "HEAD", "POST", "PUT"])


@pytest.mark.parametrize(
    ("method", "headers", "keywords"),
    [
        pytest.param("POST", FORM, {}, id="form"),
        pytest.param("PUT", sent("cross-site", "cors", "empty"), {}, id="fetch"),
        pytest.param("GET", sent("cross-site", "no-cors", "image"), {}, id="image"),
        pytest.param("GET", sent("cross-site", "navigate", "iframe"), {}, id="frame"),
        pytest.param("POST", FORM, {"same_site": "strict"}, id="form, strict"),
        pytest.param(
            "GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, {}, id="any case"
        ),
    ],
)
async def test_dropped(
    *,
    visit: Visit,
    postgres: PostgresStore,
    table: Connection,
    caplog: pytest.LogCaptureFixture,
    method: str,
    headers: dict[str, str],
    keywords: dict[str, Any],
) -> None:
    """What the handler stores makes no row and sets no cookie, and one warning says so."""
    client = visit(postgres, routes=(CART,), **keywords)

    for _ in range(2):
        response = await client.request(method, "/cart", headers=headers)
        assert response.status_code == 200
        assert "set-cookie" not in response.headers

    assert count(table) == 0
    (record,) = caplog.records
    assert "without the cookie of a living session" in record.message


@pytest.mark.parametrize(
    ("method", "headers", "keywords"),
    [
        pytest.param("GET", LINK, {}, id="link"),
        pytest.param("HEAD", LINK, {}, id="HEAD"),
        pytest.param("GET", LINK, {"same_site": "strict"}, id="link, strict"),
        pytest.param("GET", sent("cross-site", "navigate", "empty"), {}, id="service worker"),
        pytest.param("POST", sent("same-site"), {}, id="form of a sibling"),
        pytest.param("POST", sent("same-origin"), {}, id="own form"),
        pytest.param("POST", sent("none"), {}, id="by the user"),
        pytest.param("POST", {}, {}, id="no Sec-Fetch-Site"),
        pytest.param("POST", FORM, {"same_site": "none"}, id="SameSite None"),
    ],
)
async def test_kept(
    visit: Visit, method: str, headers: dict[str, str], keywords: dict[str, Any]
) -> None:
    """A request that would come with the cookie, or may, begins a session as always."""
    client = visit(MemoryStore(), routes=(CART,), **keywords)

    response = await client.request(method, "/cart", headers=headers)

    assert "set-cookie" in response.headers


async def test_login(visit: Visit) -> None:
    """A renewal begins a session: SAML and OpenID Connect sign in by a form of another site."""
    client = visit(MemoryStore(), login, read)
    client.headers.update(sent("cross-site", "navigate", "iframe"))

    assert "set-cookie" in (await client.get("/login")).headers

    client.headers.update(sent("none"))
    assert (await client.get("/read")).json() == {"user": "ann"}


async def test_saved_early(
    visit: Visit, postgres: PostgresStore, table: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """Saving at once makes no row either."""

    async def keep(session: Session) -> None:
        session["cart"] = [1]
        await session.save()

    response = await visit(postgres, keep).get(
        "/keep", headers=sent("cross-site", "no-cors", "image")
    )

    assert "set-cookie" not in response.headers
    assert count(table) == 0
    assert len(caplog.records) == 1


async def test_changed_late(visit: Visit, caplog: pytest.LogCaptureFixture) -> None:
    """What a streaming response adds is dropped with the same single warning."""

    async def stream(request: Request) -> Response:
        async def body() -> Any:
            yield b"first"
            request.session["late"] = True

        request.session["early"] = True
        return StreamingResponse(body())

    client = visit(MemoryStore(), routes=(Route("/stream", stream, methods=["POST"]),))

    await client.post("/stream", headers=FORM)

    (record,) = caplog.records
    assert "without the cookie of a living session" in record.message


async def test_planted_cookie(visit: Visit, cookie_of: Callable[[str], str]) -> None:
    """A cookie that a sibling host planted for other sites does not help to overwrite the login."""
    store = MemoryStore()
    key = await store.generate({"user": "eve"})
    await store.clear(key)
    client = visit(store, read, logout, routes=(CART,))
    headers = {**FORM, "cookie": cookie_of(key)}

    assert "set-cookie" not in (await client.post("/cart", headers=headers)).headers
    headers |= sent("cross-site", "no-cors", "image")
    assert "set-cookie" not in (await client.get("/logout", headers=headers)).headers


async def test_living_cookie(visit: Visit, cookie_of: Callable[[str], str]) -> None:
    """If the cookie came all the same, as with a redirect back to the site, all is as always."""
    store = MemoryStore()
    key = await store.generate({"user": "ann"}, period=60)
    client = visit(store, fill, logout, routes=(CART,), touch_after=0)
    headers = {**FORM, "cookie": cookie_of(key)}

    assert "set-cookie" in (await client.post("/cart", headers=headers)).headers
    assert await value_of(store, key) == {"user": "ann", "cart": [1]}
    headers |= sent("cross-site", "no-cors", "image")
    assert "set-cookie" in (await client.get("/logout", headers=headers)).headers
    assert await store.get(key) is None


async def test_dropped_and_renewed(visit: Visit) -> None:
    """What follows a renewal is kept, even if something was dropped before."""

    async def stream(request: Request) -> Response:
        session = request.session
        assert isinstance(session, Session)
        session["early"] = True
        await session.save()
        session.renew()

        async def body() -> Any:
            yield b"first"
            session["late"] = True

        return StreamingResponse(body())

    client = visit(MemoryStore(), read, routes=(Route("/stream", stream, methods=["POST"]),))

    await client.post("/stream", headers=FORM)

    assert (await client.get("/read")).json() == {"early": True, "late": True}


async def test_reading(visit: Visit, caplog: pytest.LogCaptureFixture) -> None:
    """A request of another site that stores nothing causes no warning."""
    await visit(MemoryStore(), read).get("/read", headers=sent("cross-site", "no-cors", "image"))

    assert caplog.records == []
