"""Changes that other requests make to a session during a request."""

import asyncio
from collections.abc import Callable

import pytest
from httpx import AsyncClient
from psycopg import Connection

from pgsession import (
    Changes,
    MemoryStore,
    PostgresStore,
    Session,
)
from tests.pages import DELETED, count, fill, key_of, pop, value_of


async def test_drained_meanwhile_filled(
    visit: Callable[..., AsyncClient], postgres: PostgresStore
) -> None:
    """Removing the last member keeps members that another request has added meanwhile."""
    key = ""

    async def pop_slowly(session: Session) -> None:
        del session["user"]
        await postgres.merge(key, Changes(set={"cart": [1]}))

    client = visit(postgres, fill, pop_slowly)
    await client.get("/fill")
    key = key_of(client)

    response = await client.get("/pop_slowly")

    assert "set-cookie" not in response.headers
    assert await value_of(postgres, key) == {"cart": [1]}


async def test_other_member_meanwhile(
    visit: Callable[..., AsyncClient], postgres: PostgresStore
) -> None:
    """A change to one member keeps the changes of another request to other members."""
    key = ""

    async def change_slowly(session: Session) -> None:
        session["mine"] = 1
        await postgres.merge(key, Changes(set={"theirs": 2}, removed=["user"]))

    client = visit(postgres, fill, change_slowly)
    await client.get("/fill")
    key = key_of(client)

    await client.get("/change_slowly")

    assert await value_of(postgres, key) == {"mine": 1, "theirs": 2}


async def test_cleared_meanwhile(
    visit: Callable[..., AsyncClient], postgres: PostgresStore, table: Connection
) -> None:
    """A change to a session that another request has ended is lost and does not revive it."""
    key = ""

    async def change_slowly(session: Session) -> None:
        session["mine"] = 1
        await postgres.clear(key)

    client = visit(postgres, fill, change_slowly)
    await client.get("/fill")
    key = key_of(client)

    response = await client.get("/change_slowly")

    assert response.status_code == 200
    assert "set-cookie" not in response.headers
    assert count(table) == 0


async def test_cleared_meanwhile_quietly(
    visit: Callable[..., AsyncClient], caplog: pytest.LogCaptureFixture
) -> None:
    """A session that ends during a request causes no warning."""
    store = MemoryStore()
    key = ""

    async def change_slowly(session: Session) -> None:
        session["mine"] = 1
        await store.clear(key)

    client = visit(store, fill, change_slowly)
    await client.get("/fill")
    key = key_of(client)

    await client.get("/change_slowly")

    assert [record for record in caplog.records if record.levelname != "INFO"] == []


async def test_cleared_and_added_meanwhile(
    visit: Callable[..., AsyncClient], postgres: PostgresStore, table: Connection
) -> None:
    """A logout ends the session, even if another request has added members meanwhile."""
    key = ""

    async def logout_slowly(session: Session) -> None:
        session.clear()
        await postgres.merge(key, Changes(set={"cart": [1]}))

    client = visit(postgres, fill, logout_slowly)
    await client.get("/fill")
    key = key_of(client)

    response = await client.get("/logout_slowly")

    assert response.headers["set-cookie"] == DELETED
    assert count(table) == 0


class NeverClearing(MemoryStore):
    """A store that never answers `clear`."""

    @property
    def timeout(self) -> float:
        return 0.05

    async def clear(self, key: str, *more: str, only_if_empty: bool = False) -> bool:
        await asyncio.Event().wait()
        return await super().clear(key, *more, only_if_empty=only_if_empty)


async def test_drained_in_time(visit: Callable[..., AsyncClient]) -> None:
    """Removing the last member takes the time of one operation at most, though it is two."""
    client = visit(NeverClearing(), fill, pop)
    await client.get("/fill")

    response = await client.get("/pop")

    assert response.status_code == 503
