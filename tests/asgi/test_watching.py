"""When sessions of open streams are asked for, and what is left behind."""

import asyncio
import gc
import logging
import time
import weakref
from collections.abc import Collection, Mapping
from contextvars import ContextVar
from itertools import pairwise

import pytest

from pgsession import LoginState, MemoryStore, PostgresStore, StoreUnavailableError
from pgsession.asgi.binding import Binding
from pgsession.asgi.watching import SLICE
from pgsession.core.current import current
from tests.waiting import policy_of, request

#: How often the sessions are asked for here, in seconds.
EVERY = 0.05


class Noting(MemoryStore):
    """Notes what it is asked for, and fails if it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Collection[str]] = []
        self.times: list[float] = []
        self.failure: Exception | None = None
        self.context: list[str] = []

    async def login_states(self, handles: Collection[str]) -> Mapping[str, LoginState]:
        self.asked.append(handles)
        self.times.append(time.monotonic())
        self.context.append(REQUEST.get())
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        return await super().login_states(handles)

    async def rounds(self, count: int) -> None:
        """Wait until it has been asked so many times more."""
        due = len(self.asked) + count
        async with asyncio.timeout(10):
            while len(self.asked) < due:  # noqa: ASYNC110 - there is no event to await
                await asyncio.sleep(EVERY / 10)


#: What a request keeps in its context.
REQUEST: ContextVar[str] = ContextVar("REQUEST", default="none")


@pytest.fixture
def store() -> Noting:
    return Noting()


async def test_two_tabs(counted: PostgresStore, statements: list[str]) -> None:
    """Two streams of one session are one statement in each period, and none is one before the
    first and after the last stream.
    """
    policy = policy_of(counted, EVERY)
    key = await counted.generate({})
    tabs = [await request(policy, key) for _ in range(2)]
    statements.clear()
    await asyncio.sleep(3 * EVERY)
    assert statements == []

    began = time.monotonic()
    waiting = [asyncio.ensure_future(tab.ended()) for tab in tabs]
    while len(statements) < 3:  # noqa: ASYNC110 - there is no event to await
        await asyncio.sleep(EVERY / 10)
    assert time.monotonic() - began > 3 * EVERY - 0.01
    assert all("login_number" in each for each in statements)

    for tab in tabs:
        tab.end_streams()
    await asyncio.wait(waiting)
    await asyncio.sleep(EVERY)  # for a statement that is under way
    statements.clear()
    await asyncio.sleep(3 * EVERY)
    assert statements == []


async def test_without_row(store: Noting) -> None:
    """A stream of a visitor without a row is never asked for."""
    policy = policy_of(store, EVERY)
    visitor = Binding(policy, {"type": "http", "headers": []})
    waiting = asyncio.ensure_future(visitor.ended())
    await asyncio.sleep(3 * EVERY)

    assert not waiting.done()
    assert store.asked == []
    waiting.cancel()


async def test_slices(store: Noting) -> None:
    """Many sessions are asked for in statements of a thousand at most, each once in a period, and
    the statements are spread over it.
    """
    every, sessions = 0.5, 4 * SLICE + 10
    policy = policy_of(store, every)
    requests = [await request(policy, await store.generate({})) for _ in range(sessions)]
    for each in requests:
        each.wait_for_end()
    await store.rounds(10)  # all are due at once in the first period, since they began at once
    first = len(store.asked)
    await store.rounds(10)

    asked, times = store.asked[first : first + 10], store.times[first : first + 10]
    assert max(map(len, asked)) <= SLICE
    for start in (0, 5):
        assert len(set().union(*asked[start : start + 5])) >= sessions - 10
    pauses = [after - before for before, after in pairwise(times)]
    assert all(every / 5 * 0.5 < pause < every / 5 * 2 for pause in pauses), pauses
    for each in requests:
        each.end_streams()


async def test_burst(store: Noting) -> None:
    """Streams that begin at once are all asked for within one period."""
    policy = policy_of(store, 4)
    first = await request(policy, await store.generate({}))
    first.wait_for_end()
    requests = [await request(policy, await store.generate({})) for _ in range(3 * SLICE)]
    began = time.monotonic()
    futures = [each.wait_for_end() for each in requests]
    await store.rounds(4)

    assert store.times[3] - began < 5.4  # 6.8 if what is overdue waits for its turn
    assert len(set().union(*store.asked[:4])) == 3 * SLICE + 1
    assert not any(future.done() for future in futures)
    for each in (first, *requests):
        each.end_streams()


async def test_outage(store: Noting, caplog: pytest.LogCaptureFixture) -> None:
    """While the store cannot answer nobody is told anything, and a line is logged at the begin and
    at the end; afterwards it goes on.
    """
    caplog.set_level(logging.INFO, "pgsession")
    policy = policy_of(store, EVERY)
    key = await store.generate({})
    stream = await request(policy, key)
    future = stream.wait_for_end()
    store.failure = StoreUnavailableError("It is down.")
    await store.rounds(3)
    assert not future.done()
    pauses = [after - before for before, after in pairwise(store.times)]
    assert min(pauses) > EVERY * 0.9

    store.failure = None
    await store.rounds(2)
    assert not future.done()
    await store.clear(key)
    async with asyncio.timeout(5):
        await future

    assert caplog.messages == [
        "Open streams are not told of ended sessions now: It is down.",
        "Open streams are told of ended sessions again.",
    ]
    stream.end_streams()


async def test_store_closed(postgres: PostgresStore, caplog: pytest.LogCaptureFixture) -> None:
    """While the store is closed nobody is told anything, which is one line of level INFO, without a
    traceback; if it is opened again, watching goes on.
    """
    policy = policy_of(postgres, EVERY)
    key = await postgres.generate({})
    stream = await request(policy, key)
    future = stream.wait_for_end()
    caplog.set_level(logging.INFO, "pgsession")
    await postgres.close()
    await asyncio.sleep(5 * EVERY)
    assert not future.done()
    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("INFO", None)
    assert "The store is closed." in record.message

    await postgres.open()
    await postgres.clear(key)
    async with asyncio.timeout(5):
        await future
    stream.end_streams()


async def test_survives(store: Noting, caplog: pytest.LogCaptureFixture) -> None:
    """An error that nothing expects is one traceback in the log, and watching goes on."""
    policy = policy_of(store, EVERY)
    key = await store.generate({})
    stream = await request(policy, key)
    future = stream.wait_for_end()
    store.failure = ZeroDivisionError("unexpected")
    await store.rounds(3)
    store.failure = None
    await store.clear(key)
    async with asyncio.timeout(5):
        await future

    (record,) = caplog.records
    assert record.exc_info is not None
    stream.end_streams()


async def test_survives_cancellation(store: Noting) -> None:
    """If the task of a statement is cancelled, before or after its first step, watching goes on."""
    policy = policy_of(store, EVERY)
    key = await store.generate({})
    stream = await request(policy, key)
    future = stream.wait_for_end()
    cancelled = 0
    async with asyncio.timeout(5):
        while cancelled < 2:
            await asyncio.sleep(0)
            tasks = (it for it in asyncio.all_tasks() if "Watcher" in repr(it.get_coro()))
            cancelled += sum(task.cancel() for task in tasks)
    await store.rounds(1)
    await store.clear(key)
    async with asyncio.timeout(5):
        await future
    stream.end_streams()


async def test_context(store: Noting) -> None:
    """The statements do not run in the context of a request."""
    REQUEST.set("one")
    stream = await request(policy_of(store, EVERY), await store.generate({}))
    stream.wait_for_end()
    await store.rounds(2)

    assert store.context == ["none", "none"]
    stream.end_streams()


async def test_answer_from_before(store: Noting) -> None:
    """An answer to a statement that was sent before a stream began does not end it."""
    policy = policy_of(store, EVERY)
    key = await store.generate({})
    first, second = [await request(policy, key) for _ in range(2)]
    entered, answered = asyncio.Event(), asyncio.Event()
    real = MemoryStore.login_states

    async def late(handles: Collection[str]) -> Mapping[str, LoginState]:
        states = await real(store, handles)
        entered.set()
        await answered.wait()
        return dict.fromkeys(states, LoginState(1))  # as of another login

    store.login_states = late  # type: ignore[method-assign] # a store of one's own
    older = first.wait_for_end()
    await entered.wait()
    newer = second.wait_for_end()
    answered.set()
    async with asyncio.timeout(5):
        await older
    assert not newer.done()
    for each in (first, second):
        each.end_streams()


def test_several_loops(store: Noting) -> None:
    """Each event loop watches for itself, and one that has ended is forgotten."""
    policy = policy_of(store, EVERY)
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def visit() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        key = await store.generate({})
        stream = await request(policy, key)
        await store.clear(key)
        async with asyncio.timeout(5):
            await stream.ended()
        stream.wait_for_end()  # and nobody ends it

    for _ in range(3):
        asyncio.run(visit())
    gc.collect()

    assert [loop() is None for loop in loops] == [True, True, False]


async def test_ten_thousand(store: Noting) -> None:
    """Ten thousand streams that were opened and closed leave no task, timer or entry behind."""
    policy = policy_of(store, EVERY)
    loop, tasks = asyncio.get_running_loop(), len(asyncio.all_tasks())
    keys = [await store.generate({}) for _ in range(5000)]
    requests = [await request(policy, key) for key in keys * 2]
    left = [weakref.ref(each) for each in requests]
    waiting = [asyncio.ensure_future(each.ended()) for each in requests]
    await asyncio.sleep(0)
    await store.rounds(10)
    for task in waiting[::2]:
        task.cancel()
    for each in requests:
        each.end_streams()
    await asyncio.wait(waiting)
    watcher = policy.watching.here()
    current.set(None)
    del waiting, requests, each, task
    while len(asyncio.all_tasks()) > tasks:  # noqa: ASYNC110 - a statement may be under way
        await asyncio.sleep(0)
    gc.collect()

    assert len(watcher) == 0
    assert not [it for it in scheduled(loop) if not it.cancelled()]
    assert not any(each() for each in left)


def scheduled(loop: asyncio.AbstractEventLoop) -> list[asyncio.TimerHandle]:
    """Return the timers of asyncio's own event loop."""
    timers: list[asyncio.TimerHandle] = vars(loop)["_scheduled"]
    return timers
