"""WebSockets of `app.py` in all workers, whose sessions another process ends."""

from __future__ import annotations

import asyncio
from typing import Final

from websockets.asyncio.client import ClientConnection, connect

from pgsession.core.users import UserStore
from tests.matrix.counter import Clients

#: Sockets of each user that are opened at once, and how often, until each worker has one.
SOCKETS: Final = 8
ROUNDS: Final = 20

_USER: Final = "ann"
#: Another user, whose session goes on.
_OTHER: Final = "bob"

#: The code of a socket whose session has ended.
_ENDED: Final = 4401

#: Seconds until the sockets are closed; usually two at most.
_TIMEOUT: Final = 20.0


async def close_all(clients: Clients, store: UserStore, *, workers: int) -> str:
    """Open sockets of two users in each worker, and revoke the session of one user.

    Return the code that all these sockets were closed with, or raise AssertionError.
    """
    await clients.meet(workers)
    opened: list[ClientConnection] = []
    try:
        theirs = await _open(clients, _OTHER, opened, workers=workers)
        ours = await _open(clients, _USER, opened, workers=workers)
        assert await store.revoke_all(_USER) == 1
        async with asyncio.timeout(_TIMEOUT):
            await asyncio.gather(*(each.wait_closed() for each in ours))
        codes = {each.close_code for each in ours}
        assert codes == {_ENDED}, f"closed with {codes}"
        pongs = [await each.ping() for each in theirs]
        async with asyncio.timeout(_TIMEOUT):
            await asyncio.gather(*pongs)  # these are still open
    finally:
        await asyncio.gather(*(each.close() for each in opened))
    return f"closed with {_ENDED}"


async def _open(
    clients: Clients, user_id: str, opened: list[ClientConnection], *, workers: int
) -> list[ClientConnection]:
    """Sign a user in, and open sockets until each worker has one."""
    address = clients.address.replace("http://", "ws://") + "/wait"
    headers = {"Cookie": await clients.sign_in(user_id)}
    before, processes = len(opened), set[str | bytes]()
    for _ in range(ROUNDS):
        for _ in range(SOCKETS):
            socket = await connect(address, additional_headers=headers, proxy=None)
            opened.append(socket)
            processes.add(await socket.recv())
        if len(processes) >= workers:
            return opened[before:]
    raise AssertionError(f"only {len(processes)} of {workers} workers have a socket")
