"""Streams while the database is away, behind a pooler, and on a frozen server."""

import asyncio
import time
from pathlib import Path

import pytest

from pgsession import PostgresStore
from pgsession.core.keys import digest
from pgsession.core.login import Login
from pgsession.core.store import Changes
from pgsession.settings import DEFAULT_WATCH_EVERY
from tests.faults.bouncer import PROGRAM, bouncer
from tests.faults.conftest import Report
from tests.faults.servers import Server, new_server
from tests.faults.site import HEALING, tasks_left
from tests.waiting import policy_of, request

#: Streams learn of an end within these seconds.
LIMIT = 2.0

DELETE = "DELETE FROM session WHERE session_key = %s"


async def test_database_away(tmp_path: Path, report: Report) -> None:
    """While the database is away no stream is told that its session has ended. When it is back,
    what was deleted meanwhile, and what is deleted later, is told.
    """
    with new_server(tmp_path / "server") as server:
        async with PostgresStore(server.conninfo(), timeout=1) as store:
            policy = policy_of(store, 0.2)
            keys = [await store.generate({}) for _ in range(3)]
            streams = [await request(policy, key) for key in keys]
            stays, early, late = [each.wait_for_end() for each in streams]

            server.stop()
            await asyncio.sleep(1.5)  # there is no event when nothing happens
            assert not any(each.done() for each in (stays, early, late))
            server.start()
            server.execute(DELETE, digest(keys[1]))
            began = time.monotonic()
            async with asyncio.timeout(HEALING):
                await early
            report.healed = time.monotonic() - began
            server.execute(DELETE, digest(keys[2]))
            async with asyncio.timeout(LIMIT):
                await late

            assert not stays.done()
            for each in streams:
                each.end_streams()
    assert tasks_left() == []


async def test_frozen_database(server: Server, report: Report) -> None:
    """A server that does not answer ends no stream, and watching goes on when it does."""
    async with PostgresStore(server.conninfo(), timeout=0.5) as store:
        policy = policy_of(store, 0.2)
        key = await store.generate({})
        stream = await request(policy, key)
        future = stream.wait_for_end()
        with server.frozen():
            await asyncio.sleep(2)  # there is no event when nothing happens
            assert not future.done()
        server.execute(DELETE, digest(key))
        began = time.monotonic()
        async with asyncio.timeout(HEALING):
            await future
        report.healed = time.monotonic() - began
        stream.end_streams()


@pytest.mark.skipif(PROGRAM is None, reason="no pgbouncer here: install Debian's")
async def test_behind_pgbouncer(server: Server, tmp_path: Path) -> None:
    """Behind PgBouncer in transaction mode a stream learns of a revocation within two seconds."""
    with bouncer(server, tmp_path / "bouncer", prepared=False) as conninfo:
        async with PostgresStore(conninfo) as store:
            policy = policy_of(store, DEFAULT_WATCH_EVERY)
            key = await store.login(None, Login("dan"), Changes())
            stream = await request(policy, key)
            future = stream.wait_for_end()
            assert await store.revoke_all("dan") == 1
            async with asyncio.timeout(LIMIT):
                await future
            stream.end_streams()
