"""PgBouncer is up, and PostgreSQL behind it is down: it accepts connections, but no statement."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgsession import PostgresStore, StoreUnavailableError
from pgsession.cli.check import examine
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.connections.dedicated import dedicated
from pgsession.postgres.connections.failures import translated
from pgsession.postgres.connections.own_pool import OwnPool, PoolSettings
from tests.faults.bouncer import PROGRAM, bouncer
from tests.faults.servers import Server

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no pgbouncer here: install Debian's")

#: What PgBouncer says, and what we say about it.
SAID = r"FATAL: server login has been failing.*; PgBouncer does not reach PostgreSQL"


@pytest.fixture
def conninfo(server: Server, tmp_path: Path) -> Iterator[str]:
    """The conninfo of a PgBouncer that has been connected to its server."""
    more = "server_login_retry = 1\nadmin_users = postgres"
    with bouncer(server, tmp_path / "bouncer", prepared=False, more=more) as it:
        with psycopg.connect(it) as connection:
            connection.execute("SELECT")
        yield it


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    """Stop the server."""
    server.stop()
    try:
        yield
    finally:
        server.start()


def command(conninfo: str, text: bytes) -> list[list[bytes]]:
    """Run a command on PgBouncer's console; return its rows."""
    with psycopg.connect(make_conninfo(conninfo, dbname="pgbouncer"), autocommit=True) as console:
        result = console.pgconn.exec_(text)
        columns = range(result.nfields)
        return [
            [result.get_value(row, column) or b"" for column in columns]
            for row in range(result.ntuples)
        ]


async def select(connection: Connection) -> None:
    await connection.execute("SELECT 1")


async def test_reason(server: Server, conninfo: str, caplog: pytest.LogCaptureFixture) -> None:
    """PgBouncer's own words are in the error of a call, in the log and in `pgsession check`."""
    async with PostgresStore(conninfo, timeout=1) as store:
        key = await store.generate({"a": 1})
        with stopped(server):
            async with asyncio.timeout(30):
                while "server_login_retry" not in (said := await failure(store, key)):
                    assert "not answer in time" in said  # PgBouncer lets the first client wait
            found = await examine(conninfo, schema=None, table="session", environment={})
        async with asyncio.timeout(30):
            while await failure(store, key):  # noqa: ASYNC110 - elsewhere
                await asyncio.sleep(0.05)

    [finding] = [each for each in found if each.subject == "database"]
    assert finding.code == "database.pooler-server"
    assert finding.may_pass
    assert "server login has been failing" in finding.text
    logged = [each for each in caplog.records if "could not be made" in each.message]
    assert "server login has been failing" in logged[0].message


async def failure(store: PostgresStore, key: str) -> str:
    """Return the text of a call's error; nothing if it succeeds."""
    try:
        await store.get(key)
    except StoreUnavailableError as error:
        return str(error)
    return ""


async def test_first_client(server: Server, conninfo: str) -> None:
    """A command that PgBouncer lets wait, as the first client, is told the reason all the same."""
    with stopped(server), pytest.raises(StoreUnavailableError, match=SAID):
        async with dedicated(conninfo, purpose="test", timeout=1) as connection:
            await connection.run(select)


async def test_down(server: Server, conninfo: str) -> None:
    """The pool takes such a server for one that is down, so that further callers need not wait."""
    pool = OwnPool(PoolSettings(conninfo=conninfo, size=2, timeout=1, prepared=None))
    await pool.open(wait=True)
    with stopped(server):
        await pool.drain()
        async with asyncio.timeout(30):
            while (down := pool.down()) is None:
                await pool.check()
                await asyncio.sleep(0.05)
    await pool.close()

    with pytest.raises(StoreUnavailableError, match=SAID):
        raise down


async def test_paused(conninfo: str) -> None:
    """While PgBouncer is paused, as for a switchover, calls wait, and then they succeed."""
    async with PostgresStore(conninfo, timeout=20) as store:
        key = await store.generate({"a": 1})
        await asyncio.to_thread(command, conninfo, b"PAUSE")
        calls = [asyncio.create_task(store.get(key)) for _ in range(8)]
        try:
            async with asyncio.timeout(20):
                while not await asyncio.to_thread(waiting, conninfo):  # noqa: ASYNC110 - elsewhere
                    await asyncio.sleep(0.01)
            assert not any(call.done() for call in calls)
        finally:
            await asyncio.to_thread(command, conninfo, b"RESUME")

        assert all(await asyncio.gather(*calls))


def waiting(conninfo: str) -> int:
    """Return how many clients wait for a server connection."""
    return sum(int(row[3]) for row in command(conninfo, b"SHOW POOLS") if row[0] == b"postgres")


def test_text_of_function(server: Server) -> None:
    """The text of a statement's own error with the same SQLSTATE is not passed on."""
    raising = "DO $$ BEGIN RAISE 'hunter2' USING ERRCODE = '08P01'; END $$"
    with pytest.raises(psycopg.errors.ProtocolViolation, match="hunter2") as caught:
        server.execute(raising)

    assert "hunter2" not in str(translated(caught.value))
