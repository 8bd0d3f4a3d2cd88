"""The log of the connections: our lines replace the warnings of psycopg's pool, for our pools."""

import logging
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.connections.own_pool import OwnPool, PoolSettings
from pgsession.postgres.connections.pool import Pool


async def accept(_connection: Connection) -> None:
    """Accept any database."""


async def fail(pool: AsyncConnectionPool[Any]) -> None:
    """Open a pool whose server is not there, and close it."""
    with pytest.raises(PoolTimeout):
        await pool.open(wait=True, timeout=0.3)
    await pool.close()


def ours(port: int) -> OwnPool:
    conninfo = f"postgresql://127.0.0.1:{port}/app"
    return OwnPool(PoolSettings(conninfo=conninfo, size=1, timeout=1, prepared=True))


def theirs(port: int) -> AsyncConnectionPool:
    """Return a pool of the application, with the name of ours."""
    return AsyncConnectionPool(
        f"postgresql://127.0.0.1:{port}/app", open=False, min_size=1, name="pgsession"
    )


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.name for record in caplog.records if record.levelno == logging.WARNING]


class Raising(logging.Handler):
    """A handler that raises for every line, and counts them by their loggers."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def handle(self, record: logging.LogRecord) -> bool:
        self.names.add(record.name)
        raise ConnectionError("The collector is away.")


@pytest.fixture
def raising() -> Iterator[Raising]:
    """Add a handler that raises to the loggers of this package and of psycopg's pool."""
    handler, loggers = Raising(), [logging.getLogger(it) for it in ("pgsession", "psycopg.pool")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    yield handler
    for logger, level in zip(loggers, levels, strict=True):
        logger.removeHandler(handler)
        logger.setLevel(level)


async def test_raising(database_url: str, migrated_schema: str, raising: Raising) -> None:
    """A handler that raises for every line loses no connection, however many are closed."""
    conninfo = make_conninfo(database_url, application_name=migrated_schema)
    settings = PoolSettings(conninfo=conninfo, size=1, timeout=10, prepared=True)
    pool = Pool(settings, check=accept, inspect=accept, on_open=lambda: None, timeout=10)
    for _ in range(4):
        connection = await pool.acquire()
        with pytest.raises(psycopg.OperationalError):
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        pool.release(connection)
    pool.release(await pool.acquire())
    await pool.close()

    assert raising.names == {"pgsession", "psycopg.pool"}


async def test_not_reached(closed_port: int, caplog: pytest.LogCaptureFixture) -> None:
    """A server that cannot be reached is one line with the reason, however many attempts fail."""
    await fail(ours(closed_port))

    assert warnings(caplog) == ["pgsession"]
    (record,) = caplog.records
    assert vars(record)["pgsession_event"] == "connection_failed"
    assert "refused" in record.message
    assert "\n" not in record.message


async def test_theirs(closed_port: int, caplog: pytest.LogCaptureFixture) -> None:
    """The application's pools log what they always do, beside ours and under the same name."""
    await fail(ours(closed_port))
    await fail(theirs(closed_port))

    assert warnings(caplog)[:2] == ["pgsession", "psycopg.pool"]


async def test_debug(closed_port: int, caplog: pytest.LogCaptureFixture) -> None:
    """At level DEBUG, psycopg's pool logs each attempt of ours too."""
    caplog.set_level(logging.DEBUG, "psycopg.pool")
    await fail(ours(closed_port))

    assert "psycopg.pool" in warnings(caplog)


async def test_closed(
    database_url: str, migrated_schema: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Connections that the server ends are one line at level INFO, and no warning."""
    caplog.set_level(logging.INFO, "pgsession")
    conninfo = make_conninfo(database_url, application_name=migrated_schema)
    settings = PoolSettings(conninfo=conninfo, size=1, timeout=10, prepared=True)
    pool = Pool(settings, check=accept, inspect=accept, on_open=lambda: None, timeout=10)
    await pool.open()
    for _ in range(2):
        connection = await pool.acquire()
        with pytest.raises(psycopg.OperationalError):
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        pool.release(connection)
    await pool.close()

    assert warnings(caplog) == []
    assert [vars(record)["pgsession_event"] for record in caplog.records] == ["connection_closed"]
