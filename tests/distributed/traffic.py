"""Clients that count in sessions of their own, while something happens to the cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pgsession import Changes, PostgresStore, SessionError
from tests.concurrency.witness import eventually


@dataclass(slots=True)
class Client:
    """A session, and what its client has done and seen."""

    key: str
    #: The steps that were acknowledged, and those that were tried.
    counted: int = 0
    tried: int = 0
    #: The errors since `Traffic.forget`.
    errors: list[SessionError] = field(default_factory=list)
    #: Seconds that the slowest step took, since `Traffic.forget`.
    slowest: float = 0.0

    async def step(self, store: PostgresStore) -> None:
        """Count one more, and read it."""
        self.tried += 1
        start = time.monotonic()
        try:
            await store.merge(self.key, Changes(set={"count": self.tried}))
            entry = await store.get(self.key)
            assert entry is not None
            assert entry.value == {"count": self.tried}
            self.counted = self.tried
        except SessionError as error:
            self.errors.append(error)
            await asyncio.sleep(0.02)
        self.slowest = max(self.slowest, time.monotonic() - start)


class Traffic:
    """Clients that go on until the end."""

    def __init__(self, store: PostgresStore, clients: list[Client]) -> None:
        self.store = store
        self.clients = clients

    @classmethod
    @asynccontextmanager
    async def of(cls, store: PostgresStore, clients: int) -> AsyncIterator[Traffic]:
        """Let clients step; at the end, all of them have made another step."""
        keys = [await store.generate({"count": 0}) for _ in range(clients)]
        traffic = cls(store, [Client(key) for key in keys])
        working = [asyncio.create_task(traffic._work(client)) for client in traffic.clients]
        yield traffic
        await traffic.progress()
        for task in working:
            task.cancel()
        await asyncio.wait(working)

    def forget(self) -> None:
        """Forget the errors and the times so far."""
        for client in self.clients:
            client.errors.clear()
            client.slowest = 0.0

    async def progress(self, clients: list[Client] | None = None, *, steps: int = 5) -> None:
        """Wait until each of these clients has counted some more steps."""
        due = [(client, client.counted + steps) for client in clients or self.clients]

        async def is_due() -> bool:
            return all(client.counted >= count for client, count in due)

        await eventually(is_due)

    @property
    def errors(self) -> list[SessionError]:
        """All errors."""
        return [error for client in self.clients for error in client.errors]

    @property
    def slowest(self) -> float:
        """Seconds that the slowest step took."""
        return max(client.slowest for client in self.clients)

    async def _work(self, client: Client) -> None:
        while True:
            await client.step(self.store)
