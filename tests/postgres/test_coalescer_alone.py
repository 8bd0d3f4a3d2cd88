"""The coalescer without load: a call that follows others that were alone needs no lane."""

import asyncio
from collections.abc import Sequence

import pytest

from pgsession import SessionError, StoreBusyError, StoreUnavailableError
from pgsession.postgres.coalescer import Coalescer
from tests.postgres.wire import Wire


@pytest.fixture
async def wire() -> Wire:
    return Wire()


async def quiet(wire: Wire, coalescer: Coalescer[int, int]) -> None:
    """Make calls one after the other, until the next is sent without a lane."""
    for _ in range(8):
        await coalescer.call(0)
    assert wire.begun == []
    wire.batches.clear()


async def test_without_a_task(wire: Wire) -> None:
    """Calls one after the other are sent in the turn in which they are made, without a task."""
    coalescer = wire.coalescer(has_begin=True)
    await quiet(wire, coalescer)
    before = asyncio.all_tasks()

    for call in (1, 2):
        answer = coalescer.call(call)
        assert wire.begun[-1] == call
        wire.end(call * 10)
        assert await answer == call * 10

    assert asyncio.all_tasks() == before
    assert wire.batches == []


@pytest.mark.parametrize("callers", [2, 3, 20])
async def test_no_smaller_batches(wire: Wire, callers: int) -> None:
    """Callers that make their calls in the same turn share one batch, in every round."""
    coalescer = wire.coalescer(lanes=2, least=32, has_begin=True)

    for _ in range(20):
        await asyncio.gather(*(coalescer.call(n) for n in range(callers)))

    assert wire.begun == []
    assert wire.batches == [list(range(callers))] * 20


@pytest.mark.parametrize("lanes", [1, 2])
async def test_others_meanwhile(wire: Wire, lanes: int) -> None:
    """Calls that come meanwhile leave together: at once if a lane is free, else after it."""
    coalescer = wire.coalescer(lanes=lanes, has_begin=True)
    await quiet(wire, coalescer)
    lone = coalescer.call(1)
    others = [coalescer.call(n) for n in (2, 3)]
    wire.gate.clear()
    for _ in range(3):
        await asyncio.sleep(0)
    assert wire.batches == ([] if lanes == 1 else [[2, 3]])

    wire.end(10)
    wire.gate.set()

    assert [await lone, *[await other for other in others]] == [10, 20, 30]
    assert wire.begun == [1]
    assert wire.batches == [[2, 3]]


async def test_lanes(wire: Wire) -> None:
    """A call that was sent without a lane takes the place of one while it is under way."""
    coalescer = wire.coalescer(lanes=2, least=1, has_begin=True)
    await quiet(wire, coalescer)
    wire.gate.clear()
    answers = []
    for n in (1, 2, 3):
        answers.append(coalescer.call(n))
        for _ in range(3):
            await asyncio.sleep(0)
    assert wire.batches == [[2]]

    wire.end(10)
    for _ in range(3):
        await asyncio.sleep(0)
    assert wire.batches == [[2], [3]]

    wire.gate.set()
    assert await asyncio.gather(*answers) == [10, 20, 30]


async def test_not_ready(wire: Wire) -> None:
    """A call that cannot be sent without a lane is sent in one."""
    coalescer = wire.coalescer(has_begin=True)
    await quiet(wire, coalescer)
    wire.is_ready = False

    assert await coalescer.call(1) == 10

    assert wire.batches == [[1]]


async def test_failed(wire: Wire) -> None:
    """A call that fails without a lane is made again, and those that wait come after it."""
    coalescer = wire.coalescer(lanes=1, has_begin=True)
    await quiet(wire, coalescer)
    answers = [coalescer.call(n) for n in (1, 2)]

    wire.end(StoreUnavailableError("lost"))

    assert await asyncio.gather(*answers) == [10, 20]
    assert wire.batches == [[1], [2]]
    await coalescer.call(3)
    assert wire.begun == [1]


async def test_failed_again(wire: Wire) -> None:
    """If the second attempt fails too, the caller gets that error, and the others are served."""
    coalescer = wire.coalescer(lanes=1, has_begin=True)
    await quiet(wire, coalescer)
    wire.errors[1] = SessionError("again")
    answers = [coalescer.call(n) for n in (1, 2)]

    wire.end(StoreUnavailableError("lost"))

    with pytest.raises(SessionError, match="again"):
        await answers[0]
    assert await answers[1] == 20


async def test_interrupted_again(wire: Wire) -> None:
    """If the second attempt is cancelled from outside, the callers get an error at once."""
    coalescer = wire.coalescer(lanes=1, has_begin=True)
    await quiet(wire, coalescer)
    answers, before = [coalescer.call(n) for n in (1, 2)], asyncio.all_tasks()
    wire.gate.clear()
    wire.end(StoreUnavailableError("lost"))
    [lane] = asyncio.all_tasks() - before
    await asyncio.sleep(0)

    lane.cancel()

    for answer in answers:
        with pytest.raises(StoreUnavailableError, match="interrupted"):
            await answer


@pytest.mark.parametrize("is_closed", [False, True], ids=["open", "closed"])
async def test_interrupted_before_it_began(wire: Wire, is_closed: bool) -> None:
    """So they do if that is before its first step, and the store is closed then."""
    coalescer = wire.coalescer(lanes=1, has_begin=True)
    await quiet(wire, coalescer)
    answers, before = [coalescer.call(n) for n in (1, 2)], asyncio.all_tasks()
    wire.end(StoreUnavailableError("lost"))
    [lane] = asyncio.all_tasks() - before

    lane.cancel()

    async with asyncio.timeout(5):
        if is_closed:
            await coalescer.close()
        for answer in answers:
            with pytest.raises(StoreUnavailableError, match="interrupted"):
                await answer


async def test_failed_for_good(wire: Wire) -> None:
    """A call that fails in a way that another attempt does not mend is not made again."""
    coalescer = wire.coalescer(lanes=1, has_begin=True)
    await quiet(wire, coalescer)
    answers = [coalescer.call(n) for n in (1, 2)]

    wire.end(SessionError("wrong"), may_retry=False)

    with pytest.raises(SessionError, match="wrong"):
        await answers[0]
    assert await answers[1] == 20
    assert wire.batches == [[2]]


async def test_cancelled(wire: Wire) -> None:
    """A caller that is cancelled leaves at once; its call stays under way, and holds its lane."""
    coalescer = wire.coalescer(lanes=1, has_begin=True)
    await quiet(wire, coalescer)
    lone = coalescer.call(1)
    lone.cancel()
    other = coalescer.call(2)
    for _ in range(3):
        await asyncio.sleep(0)
    assert wire.batches == []

    wire.end(10)

    assert await other == 20
    assert lone.cancelled()


async def test_failed_after_its_caller_was_cancelled(wire: Wire) -> None:
    """A call that fails after its caller was cancelled is not made again."""
    coalescer = wire.coalescer(lanes=1, has_begin=True)
    await quiet(wire, coalescer)
    coalescer.call(1).cancel()

    wire.end(SessionError("no"))

    await coalescer.close()
    assert wire.batches == []


@pytest.mark.parametrize("is_cancelled", [False, True], ids=["waiting", "cancelled"])
async def test_timeout(wire: Wire, is_cancelled: bool) -> None:
    """A call without a lane is stopped after the timeout, and those that wait time out, too."""
    coalescer = wire.coalescer(lanes=1, timeout=0.1, has_begin=True)
    await quiet(wire, coalescer)
    lone, other = coalescer.call(1), coalescer.call(2)
    if is_cancelled:
        lone.cancel()

    async with asyncio.timeout(10):
        errors: Sequence[object] = await asyncio.gather(lone, other, return_exceptions=True)

    expected = asyncio.CancelledError if is_cancelled else StoreUnavailableError
    assert [type(error) for error in errors] == [expected, StoreBusyError]
    assert wire.is_stopped
    assert await coalescer.call(3) == 30
    assert wire.batches == [[3]]


@pytest.mark.parametrize("is_cancelled", [False, True], ids=["waiting", "cancelled"])
async def test_close(wire: Wire, is_cancelled: bool) -> None:
    """Closing waits for the call without a lane, and for those that wait behind it."""
    coalescer = wire.coalescer(lanes=1, has_begin=True)
    await quiet(wire, coalescer)
    lone, other = coalescer.call(1), coalescer.call(2)
    if is_cancelled:
        lone.cancel()
    closing = [asyncio.ensure_future(coalescer.close()) for _ in range(2)]
    for _ in range(3):
        await asyncio.sleep(0)
    assert not any(task.done() for task in closing)

    wire.end(10)
    await asyncio.gather(*closing)

    assert other.done()
    assert await other == 20
