"""Typed content of the sessions of requests."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from httpx import AsyncClient
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from pgsession import MemoryStore, PostgresStore, Session
from pgsession.asgi.ended import EndedSession
from tests.pages import key_of, read, value_of

Visit = Callable[..., AsyncClient]


@dataclass
class Cart:
    """A member of the session."""

    items: list[str] = field(default_factory=list)
    total: int = 0


@dataclass
class Preferences:
    """Members of the session."""

    theme: str = "light"
    size: int = 10


def look(session: Session) -> int:
    session.typed(Preferences)
    return len(session.typed(Cart, "cart").items)


def add(session: Session) -> None:
    session.typed(Cart, "cart").items.append("pen")


def fail(session: Session) -> None:
    session.typed(Cart, "cart").items.append("pen")
    raise LookupError


async def test_saved(visit: Visit, counted: PostgresStore, statements: list[str]) -> None:
    """A change is saved when the response starts; an object that was only read costs nothing."""
    client = visit(counted, look, add, fail, read, raises=False)
    assert (await client.get("/look")).json() == 0
    assert not client.cookies
    assert statements == []

    await client.get("/add")
    await client.get("/fail")
    statements.clear()
    response = await client.get("/look")

    assert response.json() == 1
    assert response.headers["vary"] == "Cookie"
    assert len(statements) == 1
    assert (await client.get("/read")).json() == {"cart": {"items": ["pen"], "total": 0}}


async def test_merged(visit: Visit, postgres: PostgresStore) -> None:
    """An object overwrites no field that a parallel request has written, unless it changed it."""
    are_read = asyncio.Barrier(2)

    def fill(session: Session) -> None:
        session.update(theme="dark", size=1, cart={"items": ["pen"]})

    async def resize(session: Session) -> None:
        preferences, _ = session.typed(Preferences), session.typed(Cart, "cart")
        await are_read.wait()
        preferences.size = 2

    async def paint(session: Session) -> None:
        preferences, cart = session.typed(Preferences), session.typed(Cart, "cart")
        await are_read.wait()
        preferences.theme, cart.total = "red", 7

    client = visit(postgres, fill, resize, paint, read)
    await client.get("/fill")

    await asyncio.gather(client.get("/resize"), client.get("/paint"))

    assert (await client.get("/read")).json() == {
        "theme": "red",
        "size": 2,
        "cart": {"items": ["pen"], "total": 7},
    }


async def test_exclusive(visit: Visit, postgres: PostgresStore) -> None:
    """An object from before an `exclusive` block has in it what the block has loaded."""

    async def count(session: Session) -> None:
        cart = session.typed(Cart, "cart")
        async with session.exclusive():
            cart.total += 1

    client = visit(postgres, add, count, read)
    await client.get("/add")

    await asyncio.gather(*(client.get("/count") for _ in range(5)))

    assert (await client.get("/read")).json()["cart"] == {"items": ["pen"], "total": 5}


async def test_undone(visit: Visit, postgres: PostgresStore) -> None:
    """What a block that raises did to an object is undone, and its later changes are saved."""

    async def undo(session: Session) -> list[str]:
        cart = session.typed(Cart, "cart")
        cart.items.append("ink")
        with suppress(LookupError):
            async with session.exclusive():
                cart.items.append("lost")
                raise LookupError
        before = list(cart.items)
        cart.total = 1
        return before

    client = visit(postgres, add, undo, read)
    await client.get("/add")

    assert (await client.get("/undo")).json() == ["pen", "ink"]
    assert (await client.get("/read")).json()["cart"] == {"items": ["pen", "ink"], "total": 1}


async def test_save_and_reload(visit: Visit, postgres: PostgresStore) -> None:
    """`save` commits a change of an object, and `reload` gives it what others have written."""

    async def work(session: Session) -> str:
        cart = session.typed(Cart, "cart")
        cart.items.append("ink")
        await session.save()
        await postgres.set(key_of(client), {"cart": {"total": 9}})
        await session.reload()
        return f"{cart.items} {cart.total}"

    client = visit(postgres, add, work)
    await client.get("/add")

    assert (await client.get("/work")).json() == "[] 9"


async def test_late(visit: Visit) -> None:
    """What a stream changes in an object after the response has started is saved at its end."""
    store = MemoryStore()

    async def stream(request: Request) -> Response:
        session = request.session
        assert isinstance(session, Session)
        cart = session.typed(Cart, "cart")

        async def body() -> AsyncIterator[bytes]:
            yield b"x"
            cart.items.append("ink")

        return StreamingResponse(body())

    client = visit(store, add, routes=(Route("/stream", stream),))
    await client.get("/add")
    await client.get("/stream")

    assert await value_of(store, key_of(client)) == {"cart": {"items": ["pen", "ink"], "total": 0}}


async def test_unavailable(visit: Visit, closed_port: int, cookie_of: Callable[[str], str]) -> None:
    """While the store is away an object can be read, and a change of it is answered by 503."""
    store = PostgresStore(host="127.0.0.1", port=closed_port)
    client = visit(store, look, add, on_unavailable="anonymous")
    headers = {"cookie": cookie_of("k" * 40)}

    assert (await client.get("/look", headers=headers)).status_code == 200
    assert (await client.get("/add", headers=headers)).status_code == 503
    await store.close()


async def test_cannot_be_stored(visit: Visit) -> None:
    """A change that the model would not accept fails the request, and what is stored stays."""

    def spoil(session: Session) -> None:
        session.typed(Cart, "cart").total = "?"  # type: ignore[assignment] # a mistake

    client = visit(MemoryStore(), add, spoil, look, raises=False)
    await client.get("/add")

    assert (await client.get("/spoil")).status_code == 500
    assert (await client.get("/look")).json() == 1


async def test_ended(
    visit: Visit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After the request an object can be read, and that is logged once: a change is not saved."""
    monkeypatch.setattr(EndedSession, "given", set())
    kept: list[Session] = []

    def keep(session: Session) -> None:
        session["theme"] = "dark"
        kept.append(session)

    await visit(MemoryStore(), keep).get("/keep")

    assert [kept[0].typed(Preferences).theme for _ in range(2)] == ["dark", "dark"]
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "A typed object" in record.message
