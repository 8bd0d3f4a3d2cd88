"""The coalescer: what leaves together, and what its neighbours never notice."""

import asyncio
from collections.abc import Sequence

import pytest

from pgsession import SessionError, StoreBusyError, StoreUnavailableError
from pgsession.batch import Coalescer


class Wire:
    """What a coalescer sends to: it notes each batch, and holds it until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.under_way = asyncio.Event()
        self.refusals: dict[int, Exception] = {}

    async def send(self, calls: Sequence[int]) -> list[int]:
        self.batches.append(list(calls))
        self.under_way.set()
        await self.gate.wait()
        for call in calls:
            if call in self.refusals:
                raise self.refusals[call]
        return [call * 10 for call in calls]

    def coalescer(
        self, *, lanes: int = 1, size: int = 100, most_waiting: int = 1_000
    ) -> Coalescer[int, int]:
        return Coalescer(self.send, lanes=lanes, size=size, most_waiting=most_waiting)


@pytest.fixture
async def wire() -> Wire:
    return Wire()


async def test_lone_call(wire: Wire) -> None:
    """A lone call leaves at once, alone, and gets its answer."""
    assert await wire.coalescer().call(4) == 40

    assert wire.batches == [[4]]


async def test_together(wire: Wire) -> None:
    """Calls made in the same breath leave together, and each gets its own answer."""
    coalescer = wire.coalescer()

    answers = await asyncio.gather(*(coalescer.call(n) for n in range(20)))

    assert answers == [n * 10 for n in range(20)]
    assert wire.batches == [list(range(20))]


async def test_waiting_calls_leave_together(wire: Wire) -> None:
    """What arrives while the lane is busy leaves together when it returns."""
    coalescer = wire.coalescer()
    wire.gate.clear()
    first = asyncio.create_task(coalescer.call(1))
    await wire.under_way.wait()
    rest = [asyncio.create_task(coalescer.call(n)) for n in (2, 3, 4)]
    await asyncio.sleep(0)
    wire.gate.set()

    assert [await first, *[await task for task in rest]] == [10, 20, 30, 40]
    assert wire.batches == [[1], [2, 3, 4]]


async def test_lanes(wire: Wire) -> None:
    """As many batches are under way at once as there are lanes, no more."""
    coalescer = wire.coalescer(lanes=2)
    wire.gate.clear()
    tasks = []
    for n in range(4):
        tasks.append(asyncio.create_task(coalescer.call(n)))
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
    """Who is cancelled while waiting is not sent, and the neighbours are answered."""
    coalescer = wire.coalescer()
    wire.gate.clear()
    first, gone, stays = (asyncio.create_task(coalescer.call(n)) for n in (1, 2, 3))
    await wire.under_way.wait()
    late_gone, late = (asyncio.create_task(coalescer.call(n)) for n in (4, 5))
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
    """A lane whose waiters have all gone is free for the next."""
    coalescer = wire.coalescer()
    wire.gate.clear()
    first, second = (asyncio.create_task(coalescer.call(n)) for n in (1, 2))
    await wire.under_way.wait()
    third = asyncio.create_task(coalescer.call(3))
    await asyncio.sleep(0)
    for task in (first, second, third):
        task.cancel()
    wire.gate.set()
    await asyncio.gather(first, second, third, return_exceptions=True)

    assert await coalescer.call(4) == 40
    assert wire.batches == [[1, 2], [4]]


async def test_guilty_alone(wire: Wire) -> None:
    """A call that the database refuses fails alone; its neighbours are sent again."""
    coalescer = wire.coalescer()
    wire.refusals[2] = SessionError("this one")

    answers = await asyncio.gather(*(coalescer.call(n) for n in (1, 2, 3)), return_exceptions=True)

    assert answers[0] == 10
    assert isinstance(answers[1], SessionError)
    assert answers[2] == 30
    assert wire.batches == [[1, 2, 3], [1], [2], [3]]


async def test_unavailable(wire: Wire) -> None:
    """If the database cannot answer, all who were sent get that, each an error of its own."""
    coalescer = wire.coalescer()
    wire.refusals[2] = StoreUnavailableError("down")

    errors = await asyncio.gather(*(coalescer.call(n) for n in (1, 2, 3)), return_exceptions=True)

    assert all(isinstance(error, StoreUnavailableError) for error in errors)
    assert len({id(error) for error in errors}) == 3
    assert wire.batches == [[1, 2, 3]]


async def test_unforeseen(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong, nobody waits for ever, and the lane goes on."""
    coalescer = wire.coalescer()
    wire.refusals[1] = ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        await coalescer.call(1)

    assert "unforeseen" in caplog.text
    assert await coalescer.call(2) == 20


async def test_too_many(wire: Wire) -> None:
    """Past the limit a caller is refused at once, and those in line are served."""
    coalescer = wire.coalescer(most_waiting=2)
    wire.gate.clear()
    first = asyncio.create_task(coalescer.call(1))
    await wire.under_way.wait()
    waiting = [asyncio.create_task(coalescer.call(n)) for n in (2, 3)]
    await asyncio.sleep(0)

    with pytest.raises(StoreBusyError):
        await coalescer.call(4)

    wire.gate.set()
    assert [await first, *[await task for task in waiting]] == [10, 20, 30]


async def test_drain(wire: Wire) -> None:
    """Draining waits for every call that was made, and leaves no task behind."""
    coalescer = wire.coalescer(size=1)
    before = asyncio.all_tasks()
    answers = [asyncio.create_task(coalescer.call(n)) for n in range(3)]
    await wire.under_way.wait()

    await coalescer.drain()

    assert [await answer for answer in answers] == [0, 10, 20]
    assert asyncio.all_tasks() == before


def test_another_loop() -> None:
    """A loop that ended with calls under way leaves nothing behind for the next."""

    async def leave(wire: Wire, coalescer: Coalescer[int, int]) -> None:
        wire.gate = asyncio.Event()
        task = asyncio.create_task(coalescer.call(1))
        await wire.under_way.wait()
        assert not task.done()

    async def come(wire: Wire, coalescer: Coalescer[int, int]) -> int:
        wire.gate = asyncio.Event()
        wire.gate.set()
        return await coalescer.call(2)

    wire = Wire()
    coalescer = wire.coalescer()
    asyncio.run(leave(wire, coalescer))

    assert asyncio.run(come(wire, coalescer)) == 20
