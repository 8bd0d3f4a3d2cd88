"""The coalescer: which calls share a batch, and how callers are isolated from each other."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from pgsession import (
    SessionError,
    StoreBusyError,
    StoreClosedError,
    StoreUnavailableError,
)
from tests.postgres.wire import Wire


@pytest.fixture
async def wire() -> Wire:
    return Wire()


@pytest.mark.parametrize(
    ("calls", "batches"),
    [
        pytest.param(3, [3], id="fewer than least"),
        pytest.param(9, [5, 4], id="shares of at least five"),
        pytest.param(20, [10, 10], id="halves"),
        pytest.param(60, [25, 25, 10], id="no more than size"),
    ],
)
async def test_shares(wire: Wire, calls: int, batches: list[int]) -> None:
    """Lanes share the waiting calls, so that one batch is in flight while another is read."""
    coalescer = wire.coalescer(lanes=2, size=25, least=5)
    wire.gate.clear()
    tasks = [asyncio.ensure_future(coalescer.call(n)) for n in range(calls)]
    for _ in range(3):
        await asyncio.sleep(0)
    wire.gate.set()
    await asyncio.gather(*tasks)

    assert [len(batch) for batch in wire.batches] == batches


async def test_lone_call(wire: Wire) -> None:
    """A single call is sent at once, alone, and gets its answer."""
    assert await wire.coalescer().call(4) == 40

    assert wire.batches == [[4]]


async def test_together(wire: Wire) -> None:
    """Calls made at the same time are sent together, and each gets its own answer."""
    coalescer = wire.coalescer()

    answers = await asyncio.gather(*(coalescer.call(n) for n in range(20)))

    assert answers == [n * 10 for n in range(20)]
    assert wire.batches == [list(range(20))]


async def test_waiting_calls_leave_together(wire: Wire) -> None:
    """Calls that arrive while the lane is busy are sent together when it is free."""
    coalescer = wire.coalescer()
    wire.gate.clear()
    first = asyncio.ensure_future(coalescer.call(1))
    await wire.under_way.wait()
    rest = [asyncio.ensure_future(coalescer.call(n)) for n in (2, 3, 4)]
    await asyncio.sleep(0)
    wire.gate.set()

    assert [await first, *[await task for task in rest]] == [10, 20, 30, 40]
    assert wire.batches == [[1], [2, 3, 4]]


async def test_lanes(wire: Wire) -> None:
    """There are at most as many batches in flight as there are lanes."""
    coalescer = wire.coalescer(lanes=2)
    wire.gate.clear()
    tasks = []
    for n in range(4):
        tasks.append(asyncio.ensure_future(coalescer.call(n)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    assert wire.batches == [[0], [1]]
    wire.gate.set()
    await asyncio.gather(*tasks)
    assert wire.batches == [[0], [1], [2, 3]]


async def test_size(wire: Wire) -> None:
    """No batch is larger than its limit."""
    coalescer = wire.coalescer(size=3)

    await asyncio.gather(*(coalescer.call(n) for n in range(7)))

    assert wire.batches == [[0, 1, 2], [3, 4, 5], [6]]


async def test_cancelled_in_line(wire: Wire) -> None:
    """A caller that is cancelled while it waits is not sent; the other callers get
    their answers.
    """
    coalescer = wire.coalescer()
    wire.gate.clear()
    first, gone, stays = (asyncio.ensure_future(coalescer.call(n)) for n in (1, 2, 3))
    await wire.under_way.wait()
    late_gone, late = (asyncio.ensure_future(coalescer.call(n)) for n in (4, 5))
    await asyncio.sleep(0)
    gone.cancel()
    late_gone.cancel()
    await asyncio.sleep(0)
    wire.gate.set()

    assert [await first, await stays, await late] == [10, 30, 50]
    assert gone.cancelled()
    assert late_gone.cancelled()
    assert wire.batches == [[1, 2, 3], [5]]


async def test_all_cancelled(wire: Wire) -> None:
    """A lane whose callers are all cancelled can be used by the next caller."""
    coalescer = wire.coalescer()
    wire.gate.clear()
    first, second = (asyncio.ensure_future(coalescer.call(n)) for n in (1, 2))
    await wire.under_way.wait()
    third = asyncio.ensure_future(coalescer.call(3))
    await asyncio.sleep(0)
    for task in (first, second, third):
        task.cancel()
    wire.gate.set()
    await asyncio.gather(first, second, third, return_exceptions=True)

    assert await coalescer.call(4) == 40
    assert wire.batches == [[1, 2], [4]]


async def test_guilty_alone(wire: Wire) -> None:
    """A call that the database rejects fails alone; the other calls are sent again."""
    coalescer = wire.coalescer()
    wire.refusals[2] = SessionError("this one")

    answers = await asyncio.gather(*(coalescer.call(n) for n in (1, 2, 3)), return_exceptions=True)

    assert answers[0] == 10
    assert isinstance(answers[1], SessionError)
    assert answers[2] == 30
    assert wire.batches == [[1, 2, 3], [1], [2], [3]]


async def test_answered_with_an_error(wire: Wire) -> None:
    """An error that is the answer to one call is its caller's alone, and no call is sent again."""
    coalescer = wire.coalescer()
    wire.errors[2] = SessionError("this one")

    answers = await asyncio.gather(*(coalescer.call(n) for n in (1, 2, 3)), return_exceptions=True)

    assert [str(answer) for answer in answers] == ["10", "this one", "30"]
    assert wire.batches == [[1, 2, 3]]


async def test_unavailable(wire: Wire) -> None:
    """If the database is unavailable, each caller in the batch gets its own copy of the error."""
    coalescer = wire.coalescer()
    wire.refusals[2] = StoreUnavailableError("down")

    errors = await asyncio.gather(*(coalescer.call(n) for n in (1, 2, 3)), return_exceptions=True)

    assert all(isinstance(error, StoreUnavailableError) for error in errors)
    assert len({id(error) for error in errors}) == 3
    assert wire.batches == [[1, 2, 3]]


async def test_unexpected(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    """After an unexpected error, no caller waits for ever, and the lane continues."""
    coalescer = wire.coalescer()
    wire.refusals[1] = ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        await coalescer.call(1)

    assert "unexpectedly" in caplog.text
    assert await coalescer.call(2) == 20


async def test_too_many(wire: Wire) -> None:
    """Past the limit, a call is rejected at once; the waiting calls are answered."""
    coalescer = wire.coalescer(most_waiting=2)
    wire.gate.clear()
    first = asyncio.ensure_future(coalescer.call(1))
    await wire.under_way.wait()
    waiting = [asyncio.ensure_future(coalescer.call(n)) for n in (2, 3)]
    await asyncio.sleep(0)

    with pytest.raises(StoreBusyError):
        await coalescer.call(4)

    wire.gate.set()
    assert [await first, *[await task for task in waiting]] == [10, 20, 30]


async def test_close(wire: Wire) -> None:
    """Closing waits for all calls in flight, and leaves no task behind."""
    coalescer = wire.coalescer(size=1)
    before = asyncio.all_tasks()
    answers = [asyncio.ensure_future(coalescer.call(n)) for n in range(3)]
    await wire.under_way.wait()

    await coalescer.close()

    assert [await answer for answer in answers] == [0, 10, 20]
    assert asyncio.all_tasks() == before


async def test_timeout_in_line(wire: Wire) -> None:
    """A call that waits too long to be sent fails on time, and is never sent."""
    coalescer = wire.coalescer(timeout=0.05)
    wire.gate.clear()
    first = asyncio.ensure_future(coalescer.call(1))
    await wire.under_way.wait()

    with pytest.raises(StoreBusyError):
        await coalescer.call(2)

    wire.gate.set()
    with pytest.raises(StoreUnavailableError):
        await first
    assert await coalescer.call(3) == 30
    assert wire.batches == [[1], [3]]


async def test_timeout_under_way(wire: Wire) -> None:
    """A caller that waits too long for its answer fails on time, whatever happens to the batch."""
    coalescer = wire.coalescer(timeout=0.05)
    wire.gate.clear()
    tasks = asyncio.all_tasks()

    with pytest.raises(StoreUnavailableError, match="did not answer"):
        await coalescer.call(1)

    (lane,) = asyncio.all_tasks() - tasks
    wire.gate.set()
    await lane


async def test_timeout_counts_from_the_call(wire: Wire) -> None:
    """The timeout of each call starts when the call is made."""
    coalescer = wire.coalescer(timeout=0.2)
    wire.gate.clear()
    first = asyncio.ensure_future(coalescer.call(1))
    await wire.under_way.wait()
    await asyncio.sleep(0.1)
    second = asyncio.ensure_future(coalescer.call(2))
    await asyncio.wait([first])
    wire.gate.set()

    assert await second == 20
    assert isinstance(first.exception(), StoreUnavailableError)


async def test_uncopiable(wire: Wire) -> None:
    """An error that cannot be copied still reaches its callers."""

    class OddError(StoreUnavailableError):
        def __init__(self, one: str, other: str) -> None:
            super().__init__(one + other)

    wire.refusals[1] = OddError("one", "other")

    results = await asyncio.gather(
        *(wire.coalescer().call(1) for _ in range(2)), return_exceptions=True
    )

    assert [type(result) for result in results] == [OddError, OddError]


async def test_cancelled_lane(wire: Wire) -> None:
    """If a lane is cancelled, no caller waits for ever."""
    coalescer = wire.coalescer(size=1)
    wire.gate.clear()
    before = asyncio.all_tasks()
    calls = [asyncio.ensure_future(coalescer.call(n)) for n in range(3)]
    await wire.under_way.wait()
    for lane in asyncio.all_tasks() - before - set(calls):
        lane.cancel()

    results = await asyncio.gather(*calls, return_exceptions=True)

    assert isinstance(results[0], asyncio.CancelledError)
    assert [type(result) for result in results[1:]] == [StoreUnavailableError] * 2
    wire.gate.set()
    assert await coalescer.call(4) == 40


async def test_cancelled_before_it_began(wire: Wire) -> None:
    """A lane that is cancelled before its first step is replaced for the next call."""
    coalescer = wire.coalescer(lanes=1)
    before = asyncio.all_tasks()
    answer = coalescer.call(1)
    for lane in asyncio.all_tasks() - before:
        lane.cancel()

    with pytest.raises(StoreUnavailableError):
        await answer
    assert await coalescer.call(2) == 20


async def test_closed(wire: Wire) -> None:
    """After closing, a call is rejected."""
    coalescer = wire.coalescer()
    await coalescer.close()

    with pytest.raises(StoreClosedError):
        coalescer.call(1)


async def test_eager_tasks(wire: Wire) -> None:
    """With eager tasks, calls are answered, and closing completes."""
    factory = getattr(asyncio, "eager_task_factory", None)
    loop = asyncio.get_running_loop()
    loop.set_task_factory(factory)  # Python 3.11 has no eager tasks: there this is a plain test
    try:
        coalescer = wire.coalescer()
        wire.refusals[1] = SessionError("no")
        with pytest.raises(SessionError):
            await coalescer.call(1)
        assert await asyncio.gather(*(coalescer.call(n) for n in (2, 3))) == [20, 30]
        await coalescer.close()
    finally:
        loop.set_task_factory(None)


def test_threads() -> None:
    """Coalescers of event loops in different threads do not affect each other."""

    async def work() -> int:
        wire = Wire()
        coalescer = wire.coalescer(lanes=2)
        answers = [await coalescer.call(n) for n in range(2_000)]
        await coalescer.close()
        return len(answers)

    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(asyncio.run, asyncio.wait_for(work(), 30)) for _ in range(4)]

    assert [each.result() for each in done] == [2_000] * 4
