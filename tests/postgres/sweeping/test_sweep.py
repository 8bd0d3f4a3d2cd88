"""Batch sizes, pauses between sweeps, and how a sweeper handles errors."""

import asyncio
import contextvars
import logging
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsession import StoreClosedError, StoreUnavailableError, Swept
from pgsession.postgres.sweeping.sweep import fitted
from pgsession.postgres.sweeping.sweeper import Sweeper, jittered, stretched

SOON = timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("pages", "seconds", "next_pages"),
    [
        pytest.param(32, 0.01, 32, id="as wanted"),
        pytest.param(32, 0.02, 16, id="slow"),
        pytest.param(32, 0.008, 40, id="fast"),
        pytest.param(32, 0.0, 64, id="no time: twice as many at most"),
        pytest.param(100, 0.001, 128, id="never more than 128"),
        pytest.param(1, 5.0, 1, id="never none"),
    ],
)
def test_fitted(pages: int, seconds: float, next_pages: int) -> None:
    """The next batch has the size that takes ten milliseconds; it grows slowly."""
    assert fitted(pages, seconds) == next_pages


@given(st.floats(min_value=0.001, max_value=1e6))
def test_jittered(pause: float) -> None:
    """A pause is 50 to 150 % of the setting."""
    assert 0.5 * pause <= jittered(pause) <= 1.5 * pause


def test_jittered_anew() -> None:
    """Pauses are random, so that processes do not sweep in step."""
    assert len({jittered(600) for _ in range(10)}) == 10


@pytest.mark.parametrize(
    ("stretch", "swept", "next_stretch"),
    [
        pytest.param(1, Swept(rows=1, pages=5000), 2, id="rare in a large table"),
        pytest.param(4, Swept(rows=0, pages=5000), 8, id="rarer"),
        pytest.param(8, Swept(rows=0, pages=5000), 8, id="eight times at most"),
        pytest.param(8, Swept(rows=5000, pages=5000), 1, id="worth it again"),
        pytest.param(4, Swept(rows=0, pages=100), 1, id="a small table costs nothing"),
        pytest.param(4, Swept(rows=0, pages=5000, is_whole=False), 4, id="another's sweep"),
    ],
)
def test_stretched(stretch: int, swept: Swept, next_stretch: int) -> None:
    """A large table with few expired rows is swept less often."""
    assert stretched(stretch, swept) == next_stretch


class Rounds:
    """A fake sweep: each round returns or raises the next of `outcomes`; then it hangs."""

    def __init__(self, *outcomes: Swept | Exception) -> None:
        self.outcomes = list(outcomes)
        self.are_over = asyncio.Event()

    async def sweep(self) -> Swept:
        if not self.outcomes:
            self.are_over.set()
            await asyncio.Event().wait()
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


async def logged(caplog: pytest.LogCaptureFixture, *outcomes: Swept | Exception) -> list[str]:
    """Run some rounds and return the log messages."""
    caplog.set_level(logging.INFO, "pgsession")
    rounds = Rounds(*outcomes)
    sweeper = Sweeper(rounds.sweep, every=SOON)
    sweeper.start()
    async with asyncio.timeout(20):
        await rounds.are_over.wait()
    await sweeper.stop()
    return [record.message for record in caplog.records if record.name == "pgsession"]


async def test_counts(caplog: pytest.LogCaptureFixture) -> None:
    """A sweep that removed rows logs one line with its counts; a sweep that removed none logs
    nothing.
    """
    rounds = Swept(rows=3, pages=7, seconds=0.52), Swept(pages=7)

    assert await logged(caplog, *rounds) == [
        "Removed 3 expired sessions in 0.5 s (7 pages looked at)"
    ]


async def test_failing(caplog: pytest.LogCaptureFixture) -> None:
    """Repeated failures are logged once, until a sweep succeeds; sweeping continues."""
    down = StoreUnavailableError("The database is down.")

    said = await logged(caplog, down, down, down, Swept(), down)

    line = f"Expired sessions could not be removed; the next sweep tries again: {down}"
    assert said == [line, line]


async def test_unexpected(caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected error is logged with its traceback, and sweeping continues."""
    assert await logged(caplog, ZeroDivisionError(), Swept(rows=1)) == [
        "Expired sessions could not be removed.",
        "Removed 1 expired sessions in 0.0 s (0 pages looked at)",
    ]
    assert caplog.records[0].exc_info is not None


async def ended(*outcomes: Exception) -> bool:
    """Return whether the task ends by itself."""
    rounds = Rounds(*outcomes)
    sweeper = Sweeper(rounds.sweep, every=SOON)
    others = asyncio.all_tasks()
    sweeper.start()
    done, _ = await asyncio.wait(asyncio.all_tasks() - others, timeout=20)
    await sweeper.stop()
    return bool(done)


async def test_closed() -> None:
    """Sweeping ends when the store is closed."""
    assert await ended(StoreClosedError())


async def test_start_twice() -> None:
    """Starting twice starts one task, and stopping leaves none."""
    sweeper = Sweeper(Rounds().sweep, every=timedelta(days=1))
    before = asyncio.all_tasks()

    sweeper.start()
    sweeper.start()
    begun = asyncio.all_tasks() - before
    await sweeper.stop()
    await sweeper.stop()

    assert len(begun) == 1
    assert asyncio.all_tasks() == before


def test_next_loop() -> None:
    """A sweeper whose event loop has ended starts in the next one, which does not wait for the old
    task.
    """
    sweeper = Sweeper(Rounds().sweep, every=timedelta(days=1))

    async def begin() -> int:
        sweeper.start()
        return len(asyncio.all_tasks())

    async def stop() -> None:
        await sweeper.stop()

    assert [asyncio.run(begin()), asyncio.run(begin())] == [2, 2]
    asyncio.run(stop())


async def test_context() -> None:
    """A sweep runs in an empty context, not in that of the request that opened the store."""
    request = contextvars.ContextVar("request", default="none")
    seen = asyncio.get_running_loop().create_future()

    async def look() -> Swept:
        seen.set_result(request.get())
        raise StoreClosedError

    request.set("the first")
    sweeper = Sweeper(look, every=SOON)
    sweeper.start()

    assert await seen == "none"
    await sweeper.stop()
