"""Clients that count in sessions of `app.py` at the same time, and find what was lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx

SESSIONS: Final = 4
#: Clients for each session, and how often each of them counts.
CLIENTS: Final = 6
TURNS: Final = 10

#: How often the counting is repeated if a worker took no part.
ROUNDS: Final = 5

#: Seconds until each worker of a server has answered once, and for one response.
_START: Final = 30.0
_TIMEOUT: Final = 30.0


class Clients:
    """Clients of one site, each with connections of its own."""

    def __init__(self, address: str, *, is_alive: Callable[[], bool] = lambda: True) -> None:
        self.address: str = address
        self._is_alive = is_alive
        #: The processes that have answered.
        self.processes: set[int] = set()

    async def count(self, *, workers: int) -> str:
        """Count in several sessions, until each worker has taken part.

        Return the result, or raise AssertionError.
        """
        await self.meet(workers)
        self.processes.clear()
        total = 0
        for _ in range(ROUNDS):
            sessions = await asyncio.gather(*(self._count_in_one() for _ in range(SESSIONS)))
            for session in sessions:
                require_complete(session)
            total += 2 * SESSIONS * CLIENTS * TURNS
            if len(self.processes) >= workers:
                return f"{total} of {total}"
        raise AssertionError(f"only {len(self.processes)} of {workers} workers took part")

    async def meet(self, workers: int) -> None:
        """Send requests on new connections until each worker has answered."""
        due = time.monotonic() + _START
        while len(self.processes) < workers:
            assert time.monotonic() < due, f"{len(self.processes)} of {workers} workers answer"
            try:
                await asyncio.gather(*(self._visit() for _ in range(8)))
            except httpx.TransportError:
                assert self._is_alive(), "the server ended"
                await asyncio.sleep(0.05)

    async def sign_in(self, user_id: str) -> str:
        """Sign a user in; return the cookie."""
        async with self._client() as client:
            response = await self._send(client, "POST", f"/sign-in/{user_id}")
        return response.headers["set-cookie"].partition(";")[0]

    async def _count_in_one(self) -> dict[str, Any]:
        """Let several clients count in a new session; return its content."""
        async with self._client() as client:
            begun = await self._send(client, "POST", "/begin")
            cookie = begun.headers["set-cookie"].partition(";")[0]
            await asyncio.gather(*(self._take_turns(cookie, n) for n in range(CLIENTS)))
            shown = await self._send(client, "GET", "/show", cookie)
        session: dict[str, Any] = shown.json()["session"]
        return session

    async def _take_turns(self, cookie: str, number: int) -> None:
        async with self._client() as client:
            for turn in range(TURNS):
                await self._send(client, "POST", "/count", cookie)
                await self._send(client, "POST", f"/mark/{number}-{turn}", cookie)

    async def _send(
        self, client: httpx.AsyncClient, method: str, path: str, cookie: str = ""
    ) -> httpx.Response:
        # Python's cookie jars send no Secure cookie to http://127.0.0.1; browsers do.
        headers = {"Cookie": cookie} if cookie else {}
        response = await client.request(method, path, headers=headers)
        assert response.status_code == httpx.codes.OK, f"{path}: {response.status_code}"
        self.processes.add(response.json()["process"])
        return response

    async def _visit(self) -> None:
        async with self._client() as client:
            await self._send(client, "GET", "/show")

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.address, timeout=_TIMEOUT, trust_env=False)


def require_complete(session: Mapping[str, Any]) -> None:
    """Raise AssertionError if a session lacks anything that was counted in it."""
    expected = {"count": CLIENTS * TURNS} | {
        f"{client}-{turn}": True for client in range(CLIENTS) for turn in range(TURNS)
    }
    lost = [name for name in expected if session.get(name) != expected[name]]
    assert not lost, f"lost {', '.join(lost)} (the count is {session.get('count')})"
