"""A deadline ends what it was set for, however often it must be told."""

import asyncio

import pytest

from pgsession.postgres.connections.deadline import GRACE, Deadline, Watch


async def tidying_up(seconds: float) -> None:
    """Wait for ever; when interrupted, tidy up for so long."""
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(seconds)


async def test_in_time() -> None:
    """What ends in time is not disturbed, then or later."""
    with Deadline(0.01) as deadline:
        await asyncio.sleep(0)
    await asyncio.sleep(0.02)

    assert deadline.strikes == 0


async def test_late() -> None:
    """What takes too long ends with `TimeoutError`, and the task is as if nothing had been."""
    with pytest.raises(TimeoutError), Deadline(0.01):
        await asyncio.Event().wait()

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_deaf() -> None:
    """What tidies up for longer than the grace allows is interrupted again."""
    before = asyncio.get_running_loop().time()

    with pytest.raises(TimeoutError), Deadline(0.01) as deadline:
        await tidying_up(60)

    assert deadline.strikes == 2
    assert asyncio.get_running_loop().time() - before < GRACE + 1


async def test_allowed_anew() -> None:
    """More time can be allowed, and no end of it."""
    with Deadline(0.01) as deadline:
        deadline.allow(None)
        await asyncio.sleep(0.02)

    async def work() -> None:
        with Deadline(None) as deadline:
            deadline.allow(0.01)
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await work()


async def test_cancelled_by_another() -> None:
    """A cancellation by somebody else stays one, though the deadline passes meanwhile."""

    async def work() -> None:
        with Deadline(0.01):
            await tidying_up(0.02)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()


async def test_other_error() -> None:
    """An error of the block's own is not replaced."""

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise LookupError from None

    with pytest.raises(LookupError), Deadline(0.01):
        await work()


async def test_watched_in_time() -> None:
    """What ends in time is not disturbed, then or later, though others are watched too."""
    watch = Watch(0.01)
    with watch.deadline() as deadline:
        await asyncio.sleep(0)
    with watch.deadline() as another:
        await asyncio.sleep(0)
    await asyncio.sleep(0.03)

    assert deadline.strikes == 0
    assert another.strikes == 0


async def test_watched() -> None:
    """Each of many that overlap is interrupted at its own time, and again if it must be."""
    watch = Watch(0.05)
    clock = asyncio.get_running_loop().time

    async def work(pause: float, tidying: float) -> tuple[float, int]:
        await asyncio.sleep(pause)
        begin = clock()
        with pytest.raises(TimeoutError), watch.deadline() as deadline:
            await tidying_up(tidying)
        return clock() - begin, deadline.strikes

    seen = await asyncio.gather(work(0, 0), work(0.02, 0), work(0.03, 60))

    assert [strikes for _, strikes in seen] == [1, 1, 2]
    assert all(0.045 < seconds < 0.05 + GRACE for seconds, _ in seen[:2])


async def test_watched_allowed_anew() -> None:
    """A watched deadline can be given more time, and is watched no longer."""
    with Watch(0.01).deadline() as deadline:
        deadline.allow(None)
        await asyncio.sleep(0.03)

    assert deadline.strikes == 0
