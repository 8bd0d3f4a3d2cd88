"""What telemetry is told of a pool whose server freezes."""

import pytest
from psycopg_pool import PoolTimeout

from pgsession.core.observer import Place
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.connections.observed_pool import ObservedPool
from pgsession.postgres.connections.own_pool import PoolSettings
from pgsession.telemetry.choice import find_observer
from tests.faults.proxy import Mode, proxied
from tests.faults.servers import Server
from tests.telemetry.reported import Reported


async def accept(_connection: Connection) -> None:
    """Accept any database."""


async def test_not_made(server: Server) -> None:
    """A connection that cannot be made is not in use, and whoever waits for it is told apart."""
    reported = Reported()
    observer = find_observer(reported.telemetry)
    assert observer is not None
    async with proxied(server.port) as proxy:
        settings = PoolSettings(
            conninfo=server.conninfo(port=proxy.port), size=2, timeout=0.5, prepared=True
        )
        pool = ObservedPool(
            settings,
            observer=observer.of_store(Place(None, None, None, "session")),
            check=accept,
            inspect=accept,
            on_open=lambda: None,
            timeout=0.5,
        )
        await pool.open()
        connection = await pool.acquire()
        proxy.mode = Mode.HOLE
        with pytest.raises(PoolTimeout):
            await pool.acquire()
        usage = pool.usage()
        proxy.mode = Mode.PASS
        pool.release(connection)
        await pool.close()

    assert usage is not None
    assert (usage.used, usage.idle) == (1, 0)
    timeouts = reported.counts("db.client.connection.timeouts", "pgsession.reason")
    assert timeouts == {"in_use": 0, "not_made": 1}
    reported.end()
