"""What the log says of trouble: that it began, now and then that it goes on, that it is over."""

import logging

import pytest

from pgsession import StoreUnavailableError
from pgsession.asgi.trouble import INTERVAL, Trouble

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
def trouble(clock: Clock, caplog: pytest.LogCaptureFixture) -> Trouble:
    caplog.set_level(logging.INFO, "pgsession")
    return Trouble(clock)


def test_storm(trouble: Trouble, caplog: pytest.LogCaptureFixture) -> None:
    """Any number of requests that are refused at once are one line."""
    for _ in range(1000):
        trouble.note(ERROR)

    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "gone" in caplog.text


def test_going_on(trouble: Trouble, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Trouble that goes on is a line for each interval, with the number of requests so far."""
    for _ in range(30):
        trouble.note(ERROR)
        clock.now += INTERVAL / 10

    assert len(caplog.records) == 3
    assert "(21 requests)" in caplog.text


def test_over(trouble: Trouble, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """An answer ends it, once none was missing for an interval; the next time begins anew."""
    trouble.note(ERROR)
    trouble.note_answer()
    assert trouble.is_on
    clock.now += INTERVAL
    trouble.note_answer()
    trouble.note_answer()
    assert not trouble.is_on
    trouble.note(ERROR)

    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO", "ERROR"]


def test_no_trouble(trouble: Trouble, caplog: pytest.LogCaptureFixture) -> None:
    """An answer without trouble before it is not worth a line."""
    trouble.note_answer()

    assert caplog.records == []
