"""What many clients recorded while the server was being killed under them."""

import asyncio
import logging
import os

import pytest

from tests.concurrency.checker import violations
from tests.concurrency.clients import Clients
from tests.concurrency.history import History, Outcome
from tests.concurrency.nemesis import own_server

#: How often the nemesis strikes. Some seven strikes take a second.
STRIKES = int(os.environ.get("PGSESSION_TEST_STRIKES", "20"))

#: Every so many strikes is a crash of the server; the others cut its connections.
CRASH_EVERY = 7


async def test_history(caplog: pytest.LogCaptureFixture) -> None:
    """No history of killed backends and a crashing server breaks a law."""
    caplog.set_level(logging.ERROR, "psycopg.pool")  # it warns of each connection it loses
    history = History()
    with own_server() as server:
        clients = Clients(server, history, clients=6, sessions=4)
        work = asyncio.create_task(clients.run())
        for strike in range(1, STRIKES + 1):
            await clients.progress(100)
            await (server.restart() if strike % CRASH_EVERY == 0 else server.kill_backends())
        await clients.progress(100)
        work.cancel()
        await asyncio.wait([work])
        await clients.finish()
    print(history)
    assert violations(history.operations) == []
    assert {operation.outcome for operation in history.operations} == set(Outcome)
