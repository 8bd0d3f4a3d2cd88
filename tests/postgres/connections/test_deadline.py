"""A deadline interrupts a block that takes too long, repeatedly if necessary."""

import asyncio

import pytest

from pgsession.postgres.connections.deadline import GRACE, Deadline


async def tidying_up(seconds: float) -> None:
    """Wait for ever; when interrupted, clean up for this many seconds."""
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(seconds)


async def test_in_time() -> None:
    """A block that ends in time is not interrupted, neither then nor later."""
    with Deadline(0.01) as deadline:
        await asyncio.sleep(0)
    await asyncio.sleep(0.02)

    assert deadline.interruptions == 0


async def test_late() -> None:
    """A block that takes too long ends with `TimeoutError`; the task is not marked as cancelled."""
    with pytest.raises(TimeoutError), Deadline(0.01):
        await asyncio.Event().wait()

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_deaf() -> None:
    """A block whose cleanup takes longer than the grace period is interrupted again."""
    before = asyncio.get_running_loop().time()

    with pytest.raises(TimeoutError), Deadline(0.01) as deadline:
        await tidying_up(60)

    assert deadline.interruptions == 2
    assert asyncio.get_running_loop().time() - before < GRACE + 1


async def test_extended() -> None:
    """A deadline can be extended, or removed."""
    with Deadline(0.01) as deadline:
        deadline.extend(None)
        await asyncio.sleep(0.02)

    async def work() -> None:
        with Deadline(None) as deadline:
            deadline.extend(0.01)
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await work()


async def test_cancelled_by_another() -> None:
    """A cancellation by another task stays a cancellation, even if the deadline passes too."""

    async def work() -> None:
        with Deadline(0.01):
            await tidying_up(0.02)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()


async def test_other_error() -> None:
    """An error that the block raises itself is not replaced."""

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise LookupError from None

    with pytest.raises(LookupError), Deadline(0.01):
        await work()
