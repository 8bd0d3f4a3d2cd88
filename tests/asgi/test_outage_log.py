"""The log lines of an outage: its start, its continuation and its end, and how many they are."""

import logging
from collections import Counter
from collections.abc import Callable

import pytest
from httpx import AsyncClient

from pgsession import (
    MemoryStore,
    SchemaError,
    Session,
    SessionBusyError,
    StoreUnavailableError,
)
from pgsession.asgi.unavailable import ExtensionPause, OutageLog
from pgsession.core.logs import INTERVAL
from pgsession.postgres.connections.connection_log import ConnectionLog
from tests.pages import fill, key_of

ERROR = StoreUnavailableError("gone")


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outage_log(clock: Clock, caplog: pytest.LogCaptureFixture) -> OutageLog:
    caplog.set_level(logging.INFO, "pgsession")
    return OutageLog(clock)


def test_storm(outage_log: OutageLog, caplog: pytest.LogCaptureFixture) -> None:
    """The requests that fail at once, however many, give one line."""
    for _ in range(1000):
        outage_log.record_failure(ERROR)

    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "gone" in caplog.text


def test_going_on(outage_log: OutageLog, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A continuing outage gives one line per interval, with the number of requests so far."""
    for _ in range(30):
        outage_log.record_failure(ERROR)
        clock.now += INTERVAL / 10

    assert len(caplog.records) == 3
    assert "(21 requests)" in caplog.text


def test_over(outage_log: OutageLog, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """An answer ends the outage after an interval without failures; the next failure is logged."""
    outage_log.record_failure(ERROR)
    outage_log.record_answer()
    assert outage_log.in_outage
    clock.now += INTERVAL
    outage_log.record_answer()
    outage_log.record_answer()
    assert not outage_log.in_outage
    outage_log.record_failure(ERROR)

    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO", "ERROR"]


def test_how_long(outage_log: OutageLog, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """The line at the end says how long the outage was and how many requests it affected."""
    for _ in range(5):
        outage_log.record_failure(ERROR)
        clock.now += 1
    clock.now += INTERVAL
    outage_log.record_answer()

    assert caplog.messages[-1] == (
        "The store is available again after 4 s; 5 requests were affected."
    )
    fields = vars(caplog.records[-1])
    assert (fields["pgsession_requests"], fields["pgsession_seconds"]) == (5, 4)


def test_a_minute(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """In a minute of an outage, each kind of line comes at most six times, whatever fails."""
    caplog.set_level(logging.DEBUG)
    outage_log, pause, connections = OutageLog(clock), ExtensionPause(clock), ConnectionLog(clock)
    for _ in range(60 * 20):
        outage_log.record(ERROR)
        outage_log.record(SessionBusyError("busy"))
        outage_log.record_lost_changes(ERROR)
        outage_log.record_unfit(SchemaError("no table"))
        pause.begin(ERROR)
        connections.record_failure(ERROR)
        connections.record_closed()
        clock.now += 0.05

    counts = Counter(vars(record)["pgsession_event"] for record in caplog.records)
    assert counts == {
        "store_unavailable": 1,
        "store_still_unavailable": 5,
        "session_busy": 6,
        "late_changes_lost": 6,
        "table_unfit": 6,
        "extension_paused": 6,
        "connection_failed": 6,
        "connection_closed": 6,
    }


def test_no_outage(outage_log: OutageLog, caplog: pytest.LogCaptureFixture) -> None:
    """An answer without an earlier outage is not logged."""
    outage_log.record_answer()

    assert caplog.records == []


async def test_busy_session(
    visit: Callable[..., AsyncClient], caplog: pytest.LogCaptureFixture
) -> None:
    """A session that something else holds is no outage: it is a warning, once in ten seconds."""
    caplog.set_level(logging.INFO, "pgsession")

    async def ask(session: Session) -> None:
        async with session.exclusive(0):
            pytest.fail("the lock is held by another")

    store = MemoryStore()
    client = visit(store, fill, ask)
    await client.get("/fill")
    async with store.exclusive(key_of(client)):
        responses = [await client.get("/ask") for _ in range(2)]

    assert [response.status_code for response in responses] == [503, 503]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "One session was busy" in caplog.text
