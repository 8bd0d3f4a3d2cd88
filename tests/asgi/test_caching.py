"""Shared caches: they never get a session cookie to hand out."""

from collections.abc import Callable

import pytest
from httpx import AsyncClient
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pgsession import MemoryStore, Session
from pgsession.asgi.caching import may_be_shared, without_sharing
from tests.pages import fill


@pytest.mark.parametrize(
    ("status", "headers", "shared"),
    [
        pytest.param(200, {}, False, id="no rule"),
        pytest.param(200, {"cache-control": "public"}, True, id="public"),
        pytest.param(200, {"cache-control": "max-age=60"}, True, id="max-age"),
        pytest.param(200, {"cache-control": "s-maxage=60"}, True, id="s-maxage"),
        pytest.param(200, {"cache-control": "immutable"}, True, id="immutable"),
        pytest.param(200, {"cache-control": "no-cache"}, True, id="no-cache"),
        pytest.param(200, {"cache-control": "private"}, False, id="private"),
        pytest.param(200, {"Cache-Control": "max-age=60, PRIVATE"}, False, id="any case"),
        pytest.param(200, {"cache-control": "no-store"}, False, id="no-store"),
        pytest.param(200, {"cache-control": 'private="set-cookie"'}, True, id="private header"),
        pytest.param(200, {"cache-control": "x-private"}, True, id="longer word"),
        pytest.param(200, {"cache-control": 'public, a="b, private, c"'}, True, id="quoted"),
        pytest.param(200, {"cache-control": "no-store, must-understand"}, True, id="understood"),
        pytest.param(200, {"expires": "Thu, 01 Jan 2099 00:00:00 GMT"}, True, id="expires"),
        pytest.param(200, {"etag": '"1"'}, True, id="etag"),
        pytest.param(200, {"last-modified": "Thu, 01 Jan 1970 00:00:00 GMT"}, True, id="modified"),
        pytest.param(200, {"etag": '"1"', "cache-control": "private"}, False, id="private etag"),
        pytest.param(304, {}, True, id="304"),
        pytest.param(304, {"cache-control": "private"}, False, id="private 304"),
        pytest.param(301, {}, True, id="permanent redirect"),
        pytest.param(303, {}, False, id="see other"),
        pytest.param(
            200,
            {"cache-control": "private", "cdn-cache-control": "max-age=60"},
            True,
            id="CDN-Cache-Control",
        ),
        pytest.param(200, {"surrogate-control": "max-age=60"}, True, id="Surrogate-Control"),
        pytest.param(200, {"surrogate-control": "no-store"}, False, id="Surrogate no-store"),
        pytest.param(
            200,
            {"x-accel-expires": "60", "cache-control": "no-store"},
            True,
            id="X-Accel-Expires",
        ),
    ],
)
def test_may_be_shared(*, status: int, headers: dict[str, str], shared: bool) -> None:
    """A response may be shared if something lets a cache keep it and nothing forbids it."""
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]

    assert may_be_shared(status, raw) is shared


def test_without_sharing() -> None:
    """A response that sets a cookie says `private, no-store`, and nothing else about caches."""
    headers = [
        (b"Cache-Control", b"public, immutable"),
        (b"cache-control", b"s-maxage=60"),
        (b"expires", b"Thu, 01 Jan 2099 00:00:00 GMT"),
        (b"CDN-Cache-Control", b"max-age=60"),
        (b"Surrogate-Control", b"max-age=60"),
        (b"X-Accel-Expires", b"60"),
        (b"etag", b'"1"'),
    ]

    changed = without_sharing(headers)

    assert changed == [(b"etag", b'"1"'), (b"cache-control", b"private, no-store")]
    assert len(headers) == 7


def page(*, status: int = 200, uses: str = "", **headers: str) -> Route:
    """A page that may read or change the session."""

    async def respond(request: Request) -> Response:
        if uses == "read":
            request.session.get("user")
        elif uses == "change":
            request.session["n"] = request.session.get("n", 0) + 1
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Response(status_code=status, headers=named)

    return Route("/page", respond)


@pytest.mark.parametrize(
    "route",
    [
        pytest.param(page(cache_control="public, max-age=3600"), id="public"),
        pytest.param(page(cache_control="max-age=3600"), id="max-age"),
        pytest.param(page(status=304), id="304"),
        pytest.param(page(etag='"1"'), id="etag"),
        pytest.param(page(cache_control="private", cdn_cache_control="max-age=9"), id="CDN"),
    ],
)
async def test_public_page(visit: Callable[..., AsyncClient], route: Route) -> None:
    """A page that may be shared and uses no session is left alone, even if the expiry is due."""
    client = visit(MemoryStore(), fill, routes=(route,), touch_after=0)
    await client.get("/fill")

    response = await client.get("/page")

    assert "set-cookie" not in response.headers
    assert "vary" not in response.headers
    assert "no-store" not in response.headers.get("cache-control", "")


@pytest.mark.parametrize(
    "route",
    [
        pytest.param(page(cache_control="private, max-age=3600"), id="private"),
        pytest.param(page(), id="no rule"),
        pytest.param(page(uses="read", cache_control="public, max-age=3600"), id="public and read"),
        pytest.param(page(uses="read", status=304), id="304 and read"),
        pytest.param(
            page(uses="read", cache_control="public", cdn_cache_control="max-age=9"), id="CDN"
        ),
    ],
)
async def test_extended(visit: Callable[..., AsyncClient], route: Route) -> None:
    """Any other response extends a session that is due, and is kept by no cache."""
    client = visit(MemoryStore(), fill, routes=(route,), touch_after=0)
    await client.get("/fill")

    response = await client.get("/page")

    assert "set-cookie" in response.headers
    assert response.headers["vary"] == "Cookie"
    assert response.headers.get_list("cache-control") == ["private, no-store"]
    assert "cdn-cache-control" not in response.headers


async def test_changed_page(visit: Callable[..., AsyncClient]) -> None:
    """A page with a rule of its own keeps it if it changes a session and needs no new cookie."""
    client = visit(
        MemoryStore(), fill, routes=(page(uses="change", cache_control="private, max-age=5"),)
    )
    first = await client.get("/page")

    second = await client.get("/page")

    assert first.headers["cache-control"] == "private, no-store"
    assert second.headers["cache-control"] == "private, max-age=5"
    assert "set-cookie" not in second.headers


async def test_logout_page(visit: Callable[..., AsyncClient]) -> None:
    """A response that deletes the cookie is kept by no cache either."""

    async def leave(request: Request) -> Response:
        request.session.clear()
        return Response(headers={"cache-control": "public, max-age=60"})

    client = visit(MemoryStore(), fill, routes=(Route("/leave", leave),))
    await client.get("/fill")

    response = await client.get("/leave")

    assert "Max-Age=0" in response.headers["set-cookie"]
    assert response.headers["cache-control"] == "private, no-store"


async def test_saved_before(visit: Callable[..., AsyncClient]) -> None:
    """A cookie that an early save made due is set, whatever the response says."""

    async def keep(request: Request) -> Response:
        session = request.session
        assert isinstance(session, Session)
        session["user"] = "ann"
        await session.save()
        return Response(headers={"cache-control": "public, max-age=60"})

    response = await visit(MemoryStore(), routes=(Route("/keep", keep),)).get("/keep")

    assert "set-cookie" in response.headers
    assert response.headers["cache-control"] == "private, no-store"
