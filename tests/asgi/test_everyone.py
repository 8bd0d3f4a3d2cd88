"""The end of all sessions reaches requests in flight and open streams."""

import asyncio
from collections.abc import Callable
from typing import Final

from httpx import AsyncClient

from pgsession import MemoryStore, PostgresStore, Session, SessionNotFoundError
from tests.pages import key_of

Visit = Callable[..., AsyncClient]

#: A stream must learn of it within two seconds; the rest is for a slow machine.
PATIENCE: Final = 20


def enter(session: Session) -> None:
    session.login("ann")


async def test_in_flight(visit: Visit, users: MemoryStore | PostgresStore) -> None:
    """A request that began before cannot bring its session back."""

    async def write_late(session: Session) -> bool:
        await users.revoke_everyone()
        session["late"] = 1
        try:
            await session.save()
        except SessionNotFoundError:
            return False
        return True

    client = visit(users, enter, write_late)
    await client.get("/enter")
    key = key_of(client)

    assert (await client.get("/write_late")).json() is False

    assert await users.get(key) is None
    assert await users.devices("ann") == []


async def test_stream(visit: Visit, users: MemoryStore | PostgresStore) -> None:
    """An open stream learns that its session has ended."""

    async def stream(session: Session) -> bool:
        waiting = asyncio.ensure_future(session.ended())
        await asyncio.sleep(0)
        await users.revoke_everyone()
        await asyncio.wait_for(waiting, PATIENCE)
        return True

    client = visit(users, enter, stream)
    await client.get("/enter")

    assert (await client.get("/stream")).json() is True
