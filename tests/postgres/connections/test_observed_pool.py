"""A pool that is observed loses no connection by its observer."""

from typing import NoReturn

import pytest

from pgsession.core.observer import PoolObserver, UsedPool
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.connections.observed_pool import ObservedPool
from pgsession.postgres.connections.own_pool import PoolSettings


async def accept(_connection: Connection) -> None:
    """Accept any database."""


class Raising:
    """An observer of a pool that raises where a connection is in use."""

    def note_made(self, seconds: float) -> None: ...

    def note_timeout(self, reason: str) -> None: ...

    def note_wait(self, seconds: float) -> None:
        raise LookupError(seconds)

    def note_use(self, seconds: float) -> None:
        raise LookupError(seconds)


class Store:
    """An observer of a store that is asked for that of its pool alone."""

    def of_pool(self, pool: UsedPool) -> PoolObserver:
        del pool
        return Raising()

    def of_statement(self, name: str) -> NoReturn:
        raise NotImplementedError(name)

    def revoke(self, count: int, reason: str) -> None: ...

    def sweep(self, seconds: float, rows: int, error: BaseException | None = None) -> None: ...


async def test_raising(database_url: str) -> None:
    """An observer that raises costs the call, and not the connection."""
    settings = PoolSettings(conninfo=database_url, size=1, timeout=10, prepared=True)
    pool = ObservedPool(
        settings,
        observer=Store(),
        check=accept,
        inspect=accept,
        on_open=lambda: None,
        timeout=10,
    )
    for _ in range(2):
        with pytest.raises(LookupError):
            await pool.acquire()
    usage = pool.usage()
    await pool.close()

    assert usage is not None
    assert (usage.idle, usage.used) == (1, 0)
