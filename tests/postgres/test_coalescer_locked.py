"""The coalescer and locked rows: their calls wait apart, and delay no others."""

import asyncio
from typing import Any

import pytest

from pgsession import SessionBusyError, SessionError, StoreUnavailableError
from pgsession.postgres.coalescer import Coalescer
from tests.postgres.wire import Wire


@pytest.fixture
async def wire() -> Wire:
    return Wire()


async def set_apart(
    wire: Wire, coalescer: Coalescer[int, int], *calls: int
) -> list[asyncio.Future[int]]:
    """Make calls whose rows are locked, and return once they wait apart."""
    wire.locked.update(calls)
    answers = [coalescer.call(call) for call in calls]
    assert await coalescer.call(0) == 0  # one lane, so they were sent before, or together
    assert wire.locked_rows.waiting == len(calls)
    return answers


async def test_sent_again(wire: Wire) -> None:
    """A call whose row is locked is sent again until it gets another answer."""
    coalescer = wire.coalescer()
    [answer] = await set_apart(wire, coalescer, 1)
    for _ in range(2):
        wire.under_way.clear()
        await wire.under_way.wait()
    assert not answer.done()

    wire.locked.clear()

    assert await answer == 10
    assert wire.batches[:3] == [[1, 0], [1], [1]]
    assert wire.locked_rows.waiting == 0


async def test_others_go_on(wire: Wire) -> None:
    """While calls wait for locked rows, others are sent at once, and told to skip such rows."""
    coalescer = wire.coalescer()
    [answer] = await set_apart(wire, coalescer, 1)

    assert await coalescer.call(2) == 20

    assert not answer.done()
    assert wire.batches == [[1, 0], [2]]
    assert wire.skipping == [False, True]
    wire.locked.clear()
    assert await answer == 10
    assert await coalescer.call(3) == 30
    assert wire.skipping == [False, True, True, False]


async def test_other_coalescers(wire: Wire) -> None:
    """Batches of other coalescers of the same store skip locked rows too."""
    await set_apart(wire, wire.coalescer(), 1)

    await wire.coalescer().call(2)

    assert wire.skipping == [False, True]
    wire.locked.clear()


async def test_none_behind_another(wire: Wire) -> None:
    """Of the calls that wait for locked rows, each gets its answer when its own row is free."""
    coalescer = wire.coalescer()
    first, second = await set_apart(wire, coalescer, 1, 2)

    wire.locked.remove(2)

    assert await second == 20
    assert not first.done()
    wire.locked.clear()
    assert await first == 10


@pytest.mark.parametrize("size", [1, 100])
async def test_timeout(wire: Wire, size: int) -> None:
    """A call whose row stays locked gets `SessionBusyError` after the timeout of its own."""
    coalescer = wire.coalescer(size=size, timeout=0.2)
    answers = await set_apart(wire, coalescer, *range(1, 6))

    async with asyncio.timeout(10):
        errors = await asyncio.gather(*answers, return_exceptions=True)

    assert [type(error) for error in errors] == [SessionBusyError] * 5
    assert all("held the session" in str(error) for error in errors)
    await coalescer.close()
    assert wire.locked_rows.waiting == 0


async def test_timeout_under_way(wire: Wire) -> None:
    """An attempt that is under way when the time is over may succeed: its answer is waited for."""
    coalescer = wire.coalescer(timeout=0.2)
    [answer] = await set_apart(wire, coalescer, 1)
    wire.gate.clear()
    wire.under_way.clear()
    await wire.under_way.wait()
    wire.locked.clear()

    await asyncio.sleep(0.3)  # past the timeout
    assert not answer.done()
    wire.gate.set()

    assert await answer == 10
    await coalescer.close()
    assert wire.locked_rows.waiting == 0


async def test_timeout_after_attempt(wire: Wire) -> None:
    """If the row was locked in that attempt too, the caller is told so, and it is the last one."""
    coalescer = wire.coalescer(timeout=0.2)
    [answer] = await set_apart(wire, coalescer, 1)
    wire.gate.clear()
    wire.under_way.clear()
    await wire.under_way.wait()
    await asyncio.sleep(0.3)  # past the timeout
    sent = len(wire.batches)

    wire.gate.set()

    with pytest.raises(SessionBusyError):
        await answer
    await coalescer.close()
    assert len(wire.batches) == sent
    assert wire.locked_rows.waiting == 0


async def test_timeout_behind_another(wire: Wire) -> None:
    """A call times out also while those before it are being sent again, in vain."""
    coalescer = wire.coalescer(size=1, timeout=0.2)
    answers = await set_apart(wire, coalescer, 1, 2, 3)
    wire.gate.clear()

    async with asyncio.timeout(10):
        errors = await asyncio.gather(*answers, return_exceptions=True)

    kinds = [StoreUnavailableError, SessionBusyError, SessionBusyError]
    assert [type(error) for error in errors] == kinds
    wire.gate.set()
    await coalescer.close()
    assert wire.locked_rows.waiting == 0


async def test_cancelled(wire: Wire) -> None:
    """A caller that is cancelled while it waits for a locked row is not sent again."""
    coalescer = wire.coalescer()
    first, second = await set_apart(wire, coalescer, 1, 2)
    first.cancel()
    wire.locked.clear()

    assert await second == 20

    assert wire.batches == [[1, 2, 0], [2]]
    assert wire.locked_rows.waiting == 0


async def test_close(wire: Wire) -> None:
    """Closing waits for the calls that wait for locked rows, and leaves no task behind."""
    coalescer = wire.coalescer()
    before = asyncio.all_tasks()
    [answer] = await set_apart(wire, coalescer, 1)
    closing = asyncio.ensure_future(coalescer.close())
    await asyncio.sleep(0)
    assert not closing.done()

    wire.locked.clear()
    await closing

    assert await answer == 10
    assert asyncio.all_tasks() == before


async def test_fails_later(wire: Wire) -> None:
    """A call that is sent again may fail, and then fails alone."""
    coalescer = wire.coalescer()
    answers = await set_apart(wire, coalescer, 1, 2)
    wire.refusals[1] = SessionError("no")
    wire.locked.clear()

    first, second = await asyncio.gather(*answers, return_exceptions=True)

    assert isinstance(first, SessionError)
    assert second == 20
    assert wire.locked_rows.waiting == 0


@pytest.mark.parametrize("is_sending", [True, False], ids=["sending", "waiting"])
async def test_cancelled_lane(wire: Wire, is_sending: bool) -> None:
    """If the lane for locked rows is cancelled, no caller waits for ever."""
    coalescer = wire.coalescer(size=1)
    before = asyncio.all_tasks()
    answers = await set_apart(wire, coalescer, 1, 2, 3)
    if is_sending:
        wire.under_way.clear()
        wire.gate.clear()
        await wire.under_way.wait()
    for lane in asyncio.all_tasks() - before:
        lane.cancel()

    async with asyncio.timeout(10):
        errors = await asyncio.gather(*answers, return_exceptions=True)

    kinds = [type(error) for error in errors]
    expected = [StoreUnavailableError] * 3
    assert kinds == ([asyncio.CancelledError, *expected[1:]] if is_sending else expected)
    assert wire.locked_rows.waiting == 0
    wire.gate.set()
    wire.locked.clear()
    assert await coalescer.call(1) == 10


async def test_cancelled_before_it_began(wire: Wire) -> None:
    """If their lane is cancelled before its first step, they fail, and another lane follows."""
    coalescer = wire.coalescer()
    loop, made = asyncio.get_running_loop(), list[asyncio.Task[Any]]()

    def make(loop: asyncio.AbstractEventLoop, work: Any, /, **how: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **how)
        if "CallsApart" in work.__qualname__:
            made.append(task)
            if len(made) == 1:
                task.cancel()
        return task

    loop.set_task_factory(make)
    wire.locked.add(1)
    async with asyncio.timeout(5):
        with pytest.raises(StoreUnavailableError, match="interrupted"):
            await coalescer.call(1)
        answer = coalescer.call(1)
        while len(made) < 2:  # noqa: ASYNC110 - there is no event to await
            await asyncio.sleep(0)
        wire.locked.clear()
        assert await answer == 10
        await coalescer.close()
    assert wire.locked_rows.waiting == 0
