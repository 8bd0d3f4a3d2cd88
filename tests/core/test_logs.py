"""The fields of log lines, and how often a line may recur."""

import logging
from inspect import signature
from typing import get_args

import pytest

from pgsession import StoreUnavailableError
from pgsession.core.logs import INTERVAL, Event, Pace, event, log_migration, own_logger
from pgsession.postgres.schema import migrate


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_error() -> None:
    """The fields of a line with an error name its class, its text and its SQLSTATE."""
    error = StoreUnavailableError("The database cannot answer now (SQLSTATE 53300).")

    assert event("store_unavailable", error=error, requests=1) == {
        "pgsession_event": "store_unavailable",
        "pgsession_error": "StoreUnavailableError",
        "pgsession_reason": "The database cannot answer now (SQLSTATE 53300).",
        "pgsession_sqlstate": "53300",
        "pgsession_requests": 1,
    }


def test_no_error() -> None:
    """Fields that a line does not need are left out, and zero is a number."""
    assert event("sweep_done", rows=0, seconds=0.5) == {
        "pgsession_event": "sweep_done",
        "pgsession_rows": 0,
        "pgsession_seconds": 0.5,
    }


def test_names() -> None:
    """No event has two meanings, and no field has the name of an attribute of a record."""
    record = logging.makeLogRecord({})
    fields = event("sweep_done", error=ValueError(), count=1, requests=1, rows=1, seconds=1)

    assert len(get_args(Event)) == len(set(get_args(Event)))
    assert not any(hasattr(record, name) for name in fields)


def test_pace() -> None:
    """A line is due at once, and again after ten seconds, with the number of those between."""
    clock = Clock()
    pace = Pace(clock)

    assert [pace.count() for _ in range(3)] == [1, 0, 0]
    clock.now += INTERVAL
    assert [pace.count() for _ in range(2)] == [3, 0]


def test_migration(caplog: pytest.LogCaptureFixture) -> None:
    """What a migration reports is a warning with the text as it is, unless it is told elsewhere."""
    log_migration("try 2 of 3 follows, at 50% of the time")

    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.message == "try 2 of 3 follows, at 50% of the time"
    assert signature(migrate).parameters["report"].default is log_migration


class Raising(logging.Handler):
    """A handler that raises."""

    def handle(self, record: logging.LogRecord) -> bool:
        raise ConnectionError(record.getMessage())


def test_raising_handler(capsys: pytest.CaptureFixture[str]) -> None:
    """What a handler of the application raises is printed, and not raised where the line is."""
    logger, handler = logging.getLogger("pgsession"), Raising()
    logger.addHandler(handler)
    try:
        log_migration("A line.")
    finally:
        logger.removeHandler(handler)

    assert "ConnectionError: A line." in capsys.readouterr().err


def test_caller(caplog: pytest.LogCaptureFixture) -> None:
    """A record names the place of the line, not that of the logger."""
    own_logger().warning("A line.", extra=event("migration_note"))

    (record,) = caplog.records
    assert record.funcName == "test_caller"
    assert record.name == "pgsession"
