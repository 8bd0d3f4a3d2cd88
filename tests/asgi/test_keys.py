"""The end of sessions, and the renewal of keys."""

import asyncio
from collections import ChainMap
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest
from httpx import AsyncClient
from psycopg import Connection
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from pgsession import (
    MemoryStore,
    PostgresStore,
    Session,
)
from tests.pages import (
    DELETED,
    NAME,
    count,
    fill,
    key_of,
    login,
    logout,
    pop,
    read,
    refill,
    value_of,
)


@pytest.mark.parametrize(
    "action", [logout, pop, lambda session: session.renew()], ids=["clear", "pop", "renew"]
)
async def test_nothing_from_nothing(
    visit: Callable[..., AsyncClient],
    postgres: PostgresStore,
    table: Connection,
    action: Callable[[Session], None],
) -> None:
    """An action that leaves a new session empty creates no row and sets no cookie."""

    def act(session: Session) -> None:
        action(session)

    response = await visit(postgres, act).get("/act")

    assert "set-cookie" not in response.headers
    assert count(table) == 0


async def test_logout(
    visit: Callable[..., AsyncClient], postgres: PostgresStore, table: Connection
) -> None:
    """Clearing a session deletes its row and its cookie."""
    client = visit(postgres, fill, logout)
    await client.get("/fill")

    response = await client.get("/logout")

    assert response.headers["set-cookie"] == DELETED
    assert count(table) == 0
    assert NAME not in client.cookies


async def test_logged_out_key(
    visit: Callable[..., AsyncClient], cookie_of: Callable[[str], str]
) -> None:
    """A cookie from before the logout opens an empty session."""
    client = visit(MemoryStore(), fill, logout, read)
    await client.get("/fill")
    kept = cookie_of(key_of(client))
    await client.get("/logout")

    response = await client.get("/read", headers={"cookie": kept})

    assert response.json() == {}


async def test_drained(
    visit: Callable[..., AsyncClient], postgres: PostgresStore, table: Connection
) -> None:
    """Removing the last member deletes the row and the cookie."""
    client = visit(postgres, fill, pop)
    await client.get("/fill")

    response = await client.get("/pop")

    assert response.headers["set-cookie"] == DELETED
    assert count(table) == 0


async def test_cleared_and_filled(visit: Callable[..., AsyncClient]) -> None:
    """A session that is cleared and filled again replaces the old value completely."""
    store = MemoryStore()

    def start(session: Session) -> None:
        session.update(user="ann", cart=[1])

    client = visit(store, start, refill)
    await client.get("/start")
    key = key_of(client)

    response = await client.get("/refill")

    assert "set-cookie" not in response.headers
    assert await value_of(store, key) == {"user": "bob"}


async def test_renewed_at_login(visit: Callable[..., AsyncClient]) -> None:
    """A renewal keeps the content under a new key, and the old key stops working at once."""
    store = MemoryStore()

    def browse(session: Session) -> None:
        session["cart"] = [1]

    client = visit(store, browse, login)
    await client.get("/browse")
    old = key_of(client)

    await client.get("/login")

    new = key_of(client)
    assert new != old
    assert await store.get(old) is None
    assert await value_of(store, new) == {"cart": [1], "user": "ann"}


async def test_renewed_unchanged(visit: Callable[..., AsyncClient]) -> None:
    """A renewal works without any other change."""

    def renew(session: Session) -> None:
        session.renew()

    client = visit(MemoryStore(), fill, renew, read)
    await client.get("/fill")
    old = key_of(client)

    await client.get("/renew")

    assert key_of(client) != old
    assert (await client.get("/read")).json() == {"user": "ann"}


async def test_login_of_new_visitor(
    visit: Callable[..., AsyncClient], postgres: PostgresStore, table: Connection
) -> None:
    """A login without an earlier session creates one row."""
    client = visit(postgres, login)

    await client.get("/login")

    assert count(table) == 1
    assert await value_of(postgres, key_of(client)) == {"user": "ann"}


async def test_stale_cookie_cleared(visit: Callable[..., AsyncClient]) -> None:
    """A logout deletes the cookie even if its session has already ended."""
    store = MemoryStore()
    client = visit(store, fill, logout)
    await client.get("/fill")
    await store.clear(key_of(client))

    response = await client.get("/logout")

    assert response.headers["set-cookie"] == DELETED


async def test_stale_cookie(visit: Callable[..., AsyncClient]) -> None:
    """A cookie whose session has ended opens an empty session and is not changed."""
    store = MemoryStore()
    client = visit(store, fill, read)
    await client.get("/fill")
    await store.clear(key_of(client))

    response = await client.get("/read")

    assert response.json() == {}
    assert "set-cookie" not in response.headers


async def test_stale_cookie_filled(visit: Callable[..., AsyncClient]) -> None:
    """A key whose session has ended is not reused: the next write gets a new key."""
    store = MemoryStore()
    client = visit(store, fill)
    await client.get("/fill")
    old = key_of(client)
    await store.clear(old)

    await client.get("/fill")

    assert key_of(client) != old
    assert await store.get(old) is None


async def test_unknown_key(
    visit: Callable[..., AsyncClient], cookie_of: Callable[[str], str]
) -> None:
    """A key that is signed but was never issued by the store is not used."""
    store = MemoryStore()
    planted = "p" * 40
    client = visit(store, fill)

    response = await client.get("/fill", headers={"cookie": cookie_of(planted)})

    assert planted not in response.headers["set-cookie"]
    assert await store.get(planted) is None


async def test_never_set(
    visit: Callable[..., AsyncClient], cookie_of: Callable[[str], str]
) -> None:
    """A live session without a value is empty and keeps its key."""
    store = MemoryStore()
    key = await store.generate()
    client = visit(store, fill, read)
    headers = {"cookie": cookie_of(key)}

    assert (await client.get("/read", headers=headers)).json() == {}
    await client.get("/fill", headers=headers)

    assert await value_of(store, key) == {"user": "ann"}


@pytest.mark.parametrize("view", [MappingProxyType, ChainMap], ids=["proxy", "chain"])
async def test_replaced_by_view(visit: Callable[..., AsyncClient], view: type) -> None:
    """A view of the session in `scope["session"]` leaves the content as it is."""
    store = MemoryStore()

    async def wrap(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"] = view(scope["session"])
        await Response()(scope, receive, send)

    client = visit(store, fill, routes=(Mount("/wrap", wrap),))
    await client.get("/fill")

    await client.get("/wrap/")

    assert await value_of(store, key_of(client)) == {"user": "ann"}


async def test_emptied_while_saving(visit: Callable[..., AsyncClient]) -> None:
    """A row created by `save` is deleted again if the session is emptied before the response."""
    keys: list[str] = []

    class Noting(MemoryStore):
        async def generate(self, *arguments: Any, **settings: Any) -> str:
            keys.append(await super().generate(*arguments, **settings))
            for _ in range(9):  # while the response starts
                await asyncio.sleep(0)
            return keys[-1]

    store = Noting()

    async def waver(scope: Scope, receive: Receive, send: Send) -> None:
        session = scope["session"]
        session["a"] = 1
        saving = asyncio.create_task(session.save())
        await asyncio.sleep(0)
        del session["a"]
        await Response()(scope, receive, send)
        await saving

    await visit(store, routes=(Mount("/", waver),)).get("/")

    (key,) = keys
    assert await store.get(key) is None
