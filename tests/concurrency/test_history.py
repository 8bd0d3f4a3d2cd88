"""A history that many clients record while their server is killed repeatedly."""

import asyncio
import os
from collections import Counter

from tests.concurrency.checker import violations
from tests.concurrency.clients import Clients
from tests.concurrency.history import History, Outcome
from tests.concurrency.nemesis import own_server
from tests.concurrency.user_checker import user_violations
from tests.concurrency.user_clients import UserClients
from tests.concurrency.user_history import Act

#: How many faults are injected. About seven fit in a second.
STRIKES = int(os.environ.get("PGSESSION_TEST_STRIKES", "20"))

#: Every n-th fault is a crash of the server; the others end its connections.
CRASH_EVERY = 7


async def test_history() -> None:
    """A history with killed backends and server crashes breaks no law."""
    history = History()
    with own_server() as server:
        clients = Clients(server, history, clients=6, sessions=4)
        users = UserClients(server, clients=3, keys=6)
        works = [asyncio.create_task(it.run()) for it in (clients, users)]
        for strike in range(1, STRIKES + 1):
            await clients.progress(100)
            await (server.restart() if strike % CRASH_EVERY == 0 else server.kill_backends())
        await clients.progress(100)
        for work in works:
            work.cancel()
        await asyncio.wait(works)
        await clients.finish()
        await users.finish()
    print(history, *Counter(event.act for event in users.events).items())
    assert violations(history.operations) == []
    assert user_violations(users.events, exact=False) == []
    assert {event.act for event in users.events if event.is_sure} == set(Act)
    assert {operation.outcome for operation in history.operations} == set(Outcome)
