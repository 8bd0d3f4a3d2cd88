"""Requests that take nothing over: of other sites, at other hosts, without content."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from httpx import AsyncClient
from psycopg import Connection
from starlette.types import Message

from pgsession import (
    CookieSettings,
    InvalidValueError,
    MemoryStore,
    PostgresStore,
    SessionMiddleware,
    Store,
)
from tests.asgi.old_sessions import (
    CONTENT,
    UNTIL,
    Kept,
    cookies_of,
    settings_with,
    signed,
)
from tests.pages import NAME, count, fill, read

Browse = Callable[..., AsyncClient]

LINK = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


@pytest.fixture
def browse(visit: Browse) -> Browse:
    """Opens a browser, by default with an old cookie of ann's."""

    def browse(store: Store, value: str | None = None, **changed: Any) -> AsyncClient:
        settings = settings_with(changed.pop("predecessor", None), **changed)
        client = visit(store, read, fill, settings=settings, raises=False)
        client.cookies.set("session", signed(CONTENT) if value is None else value)
        return client

    return browse


@pytest.mark.parametrize(("same_site", "seen"), [("strict", {}), ("lax", CONTENT)])
async def test_link(browse: Browse, same_site: str, seen: dict[str, Any]) -> None:
    """With a link of another site comes an old session only if our cookie would come too."""
    client = browse(MemoryStore(), same_site=same_site)

    assert (await client.get("/read", headers=LINK)).json() == seen
    assert (await client.get("/read")).json() == CONTENT


@pytest.mark.parametrize(
    ("origin", "seen"),
    [
        pytest.param(b"https://other.example", {}, id="another"),
        pytest.param(b"https://testserver", CONTENT, id="own"),
        pytest.param(b"https://app.example", CONTENT, id="trusted"),
    ],
)
async def test_websocket(
    converse: Callable[..., Awaitable[list[Message]]], origin: bytes, seen: dict[str, Any]
) -> None:
    """A WebSocket of a page of another origin takes nothing over."""
    found: list[Any] = []

    async def app(scope: Any, _: Any, __: Any) -> None:
        found.append(dict(scope["session"]))

    settings = settings_with(trusted_origins=["https://app.example"])
    middleware = SessionMiddleware(app, MemoryStore(), settings=settings)
    cookie = f"session={signed(CONTENT)}".encode()
    headers = [(b"host", b"testserver"), (b"origin", origin), (b"cookie", cookie)]
    await converse(middleware, {"type": "websocket", "scheme": "wss", "headers": headers})

    assert found == [seen]


async def test_hosts(browse: Browse) -> None:
    """The session is taken over at one host, and its key opens nothing at another."""
    store = MemoryStore()
    cookies = {"shop": CookieSettings(session_cookie="shop"), "admin": CookieSettings()}
    client = browse(
        store,
        cookies=cookies,
        choose_cookie=lambda scope: (
            "shop" if b"shop" in dict(scope["headers"])[b"host"] else "admin"
        ),
    )
    old = {"cookie": f"session={client.cookies['session']}"}

    shop = await client.get("/read", headers={"host": "shop.example", **old})
    admin = await client.get("/fill", headers={"host": "admin.example", **old})

    assert shop.json() == CONTENT
    keys = [it.cookies[name].split(".")[0] for it, name in ((shop, "shop"), (admin, NAME))]
    entries = [await store.get(key) for key in keys]
    assert [it and it.value for it in entries] == [CONTENT, {"user": "ann"}]


async def test_empty(browse: Browse, postgres: PostgresStore, table: Connection) -> None:
    """An old session that is empty, of no user, makes no row and no cookie."""
    response = await browse(postgres, signed({})).get("/read")

    assert cookies_of(response) == []
    assert count(table) == 0


async def test_empty_user(browse: Browse) -> None:
    """One of a user is taken over even if it is empty."""
    predecessor = Kept({"a": {}}, until=UNTIL, user_id=lambda _: "ann")

    response = await browse(MemoryStore(), "a", predecessor=predecessor).get("/read")

    assert len(cookies_of(response)) == 1


async def test_unreadable(browse: Browse, caplog: pytest.LogCaptureFixture) -> None:
    """A visitor whose old session can never be read starts anew, and one line is logged."""
    predecessor = Kept(until=UNTIL, error=InvalidValueError("the value a-secret-value is bad"))
    client = browse(MemoryStore(), "a", predecessor=predecessor)

    responses = [await client.get("/read") for _ in range(2)]

    assert [(it.status_code, it.json()) for it in responses] == [(200, {})] * 2
    assert sum("taken over" in it for it in caplog.messages) == 1
    assert "a-secret-value" not in caplog.text
