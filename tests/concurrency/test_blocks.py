"""`store.exclusive`: what its block may do, for how long, and beside how many others."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from typing import Final

import psycopg
import pytest

from pgsession import (
    Changes,
    HeldTooLongError,
    MemoryStore,
    PostgresStore,
    Session,
    SessionError,
    SessionNotFoundError,
    SettingsError,
    Store,
    StoreBusyError,
    StoreUnavailableError,
    ValueTooLargeError,
)
from pgsession.core.keys import digest
from pgsession.core.store import Written
from pgsession.postgres.connections.locks import lock_number
from tests.concurrency.visits import application, filling, key_in, visit
from tests.concurrency.witness import TIMEOUT, Witness, eventually

pytestmark = pytest.mark.usefixtures("long_patience")

#: Blocks that may be held at once, in each process.
MOST: Final = 16

MakeEither = Callable[..., Store]


@pytest.fixture(params=["memory", "postgres"])
def make_either(
    request: pytest.FixtureRequest, make_store: Callable[..., PostgresStore]
) -> MakeEither:
    """Makes each of the two stores, with settings."""
    return MemoryStore if request.param == "memory" else make_store


async def value(store: Store, key: str) -> object:
    entry = await store.get(key)
    return None if entry is None else entry.value


async def nest(store: Store, key: str) -> None:
    async with store.exclusive(key):
        pass


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda held, _key: held.generate(), id="generate"),
        pytest.param(lambda held, key: held.get(key), id="get"),
        pytest.param(lambda held, key: held.get_newest([key, "x"]), id="get_newest"),
        pytest.param(lambda held, key: held.set(key, {}), id="set"),
        pytest.param(lambda held, key: held.merge(key, Changes(set={"n": 2})), id="merge"),
        pytest.param(lambda held, key: held.touch(key), id="touch"),
        pytest.param(lambda held, key: held.renew(key), id="renew"),
        pytest.param(lambda held, key: held.take(key, "n"), id="take"),
        pytest.param(lambda held, key: held.clear(key), id="clear"),
        pytest.param(lambda held, key: held.clear(key, "x"), id="clear several"),
        pytest.param(lambda held, key: held.clear(key, only_if_empty=True), id="clear empty"),
        pytest.param(nest, id="exclusive"),
    ],
)
@pytest.mark.parametrize("raises", [False, True], ids=["committed", "raised"])
async def test_over(
    either: Store, *, raises: bool, use: Callable[[Store, str], Awaitable[object]]
) -> None:
    """The store of a block that is over raises an error, and writes nothing."""
    key = await either.generate({"n": 1})

    with suppress(ZeroDivisionError):
        async with either.exclusive(key) as held:
            if raises:
                raise ZeroDivisionError

    with pytest.raises(SessionError, match="block that gave out this store is over"):
        await use(held, key)

    assert await value(either, key) == {"n": 1}


async def test_over_while_in_use(store: PostgresStore, witness: Witness) -> None:
    """A call under way at the end of a block belongs to it; one that waits behind is an error."""
    key, other = await store.generate({}), await store.generate({})

    async def release() -> None:
        await witness.waiting(1)
        await row.aclose()

    async with AsyncExitStack() as row, asyncio.TaskGroup() as group:
        await row.enter_async_context(witness.holding_row(key))
        async with store.exclusive(key) as held:
            writing = group.create_task(held.merge(key, Changes(set={"n": 1})))
            await witness.waiting(1)
            late = asyncio.create_task(held.merge(other, Changes(set={"n": 1})))
            await asyncio.sleep(0)
            group.create_task(release())

    assert writing.result() == Written()
    with pytest.raises(SessionError, match="is over"):
        await late
    assert await value(store, key) == {"n": 1}
    assert await value(store, other) == {}


async def test_cancelled_while_in_use(store: PostgresStore, witness: Witness) -> None:
    """A block that is cancelled while it waits for such a call ends after it, and is undone."""
    key = await store.generate({})
    writing: list[asyncio.Task[Written]] = []

    async def leave_open() -> None:
        async with store.exclusive(key) as held:
            writing.append(asyncio.create_task(held.merge(key, Changes(set={"n": 1}))))
            await witness.waiting(1)

    async with witness.holding_row(key):
        leaving = asyncio.create_task(leave_open())
        await witness.waiting(1)
        for _ in range(3):  # the first may come before the end of the block
            await store.get(key)
            leaving.cancel()
        await store.get(key)
        assert not leaving.done()
    await asyncio.wait([leaving, *writing])

    assert leaving.cancelled()
    assert writing[0].result() == Written()
    assert await value(store, key) == {}


async def test_rolled_back(either: Store) -> None:
    """Nothing of a block that raises is kept, and nothing of it is seen before it ends."""
    keys = [await either.generate({"n": n}) for n in range(4)]
    made: list[str] = []

    async def work(held: Store) -> None:
        made.append(await held.generate({}))
        await held.merge(keys[0], Changes(set={"m": 1}, removed={"n"}))
        await held.set(keys[1], {"m": 1}, period=60, granted=True)
        made.append(await held.renew(keys[2]))
        await held.clear(keys[3])
        found = [await value(held, each) for each in (*keys, *made)]
        assert found == [{"m": 1}, {"m": 1}, None, None, {}, {"n": 2}]
        assert await held.get_newest(keys) is not None

    with suppress(ZeroDivisionError):
        async with either.exclusive(keys[0]) as held:
            await work(held)
            assert [await value(either, each) for each in keys] == [{"n": n} for n in range(4)]
            raise ZeroDivisionError
    assert [await value(either, each) for each in keys] == [{"n": n} for n in range(4)]
    assert [await value(either, each) for each in made] == [None, None]

    made.clear()
    async with either.exclusive(keys[0]) as held:
        await work(held)
    found = [await value(either, each) for each in (*keys, *made)]
    assert found == [{"m": 1}, {"m": 1}, None, None, {}, {"n": 2}]


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        pytest.param(Changes(set={"n": 1}, removed={"user"}), {"n": 1, "cart": [1]}, id="merged"),
        pytest.param(Changes(set={"n": 1}, replaced=True), {"n": 1}, id="replaced"),
        pytest.param(None, {"n": 1}, id="set"),
    ],
)
async def test_beside_others(changes: Changes | None, left: object) -> None:
    """In memory, where nothing waits, what others store meanwhile is merged with the block's."""
    store = MemoryStore()
    key = await store.generate({"user": "ann", "n": 0})

    async with store.exclusive(key) as held:
        if changes is None:
            await held.set(key, {"n": 1})
        else:
            await held.merge(key, changes)
        await store.merge(key, Changes(set={"cart": [1], "n": 5}), period=60, granted=True)

    assert await value(store, key) == left


async def test_limit_beside_others() -> None:
    """In memory, a block is refused that would make the value too large with what others stored."""
    store = MemoryStore(value_limit=1000)
    key = await store.generate({})

    async def fill() -> None:
        async with store.exclusive(key) as held:
            await held.merge(key, Changes(set={"a": "x" * 600}))
            await store.merge(key, Changes(set={"b": "x" * 600}))

    with pytest.raises(ValueTooLargeError):
        await fill()

    assert await value(store, key) == {"b": "x" * 600}


async def test_period_beside_others() -> None:
    """In memory, a block extends the session by the period that another has given it meanwhile."""
    store = MemoryStore()
    key = await store.generate({}, period=86400, granted=True)

    async with store.exclusive(key) as held:
        await held.touch(key)
        await store.touch(key, period=60, granted=True)

    entry = await store.get(key)
    assert entry is not None
    assert entry.granted == timedelta(seconds=60)
    assert entry.period <= timedelta(seconds=60)


async def test_ended_by_others() -> None:
    """In memory, a block writes nothing if another has ended a session that it changed."""
    store = MemoryStore()
    key, other = await store.generate({}), await store.generate({})

    async def lose() -> None:
        async with store.exclusive(key) as held:
            await held.merge(other, Changes(set={"n": 1}))
            await held.merge(key, Changes(set={"n": 1}))
            await store.clear(key)

    with pytest.raises(SessionNotFoundError):
        await lose()

    assert await value(store, key) is None
    assert await value(store, other) == {}


async def test_take(either: Store) -> None:
    """What a block took stays taken if the block raises; it must take before it writes."""
    key = await either.generate({"code": "1234", "n": 0})

    async def take_late() -> None:
        async with either.exclusive(key) as held:
            assert await held.take(key, "code") == "1234"
            assert await value(held, key) == {"n": 0}
            await held.merge(key, Changes(set={"n": 1}))
            await held.take(key, "n")

    with pytest.raises(SessionError, match="must come before"):
        await take_late()

    assert await value(either, key) == {"n": 0}


async def test_nested(make_either: MakeEither) -> None:
    """As many blocks as may be held at once can each have a block of another session in them."""
    store = make_either()
    keys = [await store.generate({}) for _ in range(2 * MOST)]
    begun = asyncio.Barrier(MOST)

    async def hold_two(one: str, two: str) -> None:
        async with store.exclusive(one) as outer:
            await begun.wait()
            async with store.exclusive(two, timeout=TIMEOUT) as inner:
                await inner.merge(two, Changes(set={"n": 2}))
            assert await value(store, two) == {"n": 2}
            await outer.merge(one, Changes(set={"n": 1}))

    async with asyncio.timeout(TIMEOUT):
        await asyncio.gather(*map(hold_two, keys[:MOST], keys[MOST:]))

    assert [await value(store, key) for key in keys] == MOST * [{"n": 1}] + MOST * [{"n": 2}]


@pytest.mark.parametrize("timeout", [0, -1, 1e-9])
async def test_no_time(make_either: MakeEither, timeout: float) -> None:
    """With no time to wait, a free lock is acquired, and a held one is an error at once."""
    store = make_either()
    key = await store.generate({})

    async with asyncio.timeout(TIMEOUT), store.exclusive(key, timeout=timeout) as held:
        await held.merge(key, Changes(set={"n": 1}))
        with pytest.raises(StoreBusyError):
            await asyncio.create_task(nest_now(store, key, timeout))

    assert await value(store, key) == {"n": 1}
    async with store.exclusive(key, timeout=timeout):
        pass


async def nest_now(store: Store, key: str, timeout: float) -> None:
    async with store.exclusive(key, timeout=timeout):
        pytest.fail("the lock is held by another")


async def test_no_time_elsewhere(make_store: Callable[..., PostgresStore]) -> None:
    """The same holds for a lock that another process holds."""
    store = make_store()
    key = await store.generate({})

    async with make_store().exclusive(key), asyncio.timeout(TIMEOUT):
        for _ in range(2):
            with pytest.raises(StoreBusyError):
                await nest_now(store, key, 0)
    await nest(store, key)


@pytest.mark.parametrize("swallows", [False, True], ids=["cancelled", "swallowed"])
async def test_too_long(make_either: MakeEither, *, swallows: bool) -> None:
    """A block that holds its lock for too long is cancelled, and nothing of it is committed."""
    store = make_either(exclusive_limit=0.05)
    key = await store.generate({})

    async def hold() -> None:
        async with store.exclusive(key) as held:
            await held.merge(key, Changes(set={"n": 1}))
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if not swallows:
                    raise

    with pytest.raises(HeldTooLongError, match="exclusive_limit"):
        await hold()
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()
    assert await value(store, key) == {}
    async with store.exclusive(key, timeout=0) as held:
        await held.merge(key, Changes(set={"n": 2}))
    assert await value(store, key) == {"n": 2}


async def test_own_timeout(make_either: MakeEither) -> None:
    """A block's own `TimeoutError`, and its own cancellation, pass unchanged."""
    store = make_either()
    key = await store.generate({})

    async def hold() -> None:
        async with store.exclusive(key):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError) as caught:
        async with store.exclusive(key), asyncio.timeout(0):
            await asyncio.Event().wait()
    assert not isinstance(caught.value, SessionError)
    holding = asyncio.create_task(hold())
    await asyncio.sleep(0)
    holding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holding


async def test_request_too_long(make_either: MakeEither) -> None:
    """A request whose block holds the lock for too long is a 503, and stores nothing."""
    store = make_either(exclusive_limit=0.05)
    cookie = (await visit(application(store, filling(user="ann")))).cookie

    async def hold(session: Session) -> None:
        async with session.exclusive():
            session["user"] = "eve"
            await asyncio.Event().wait()

    async def catch(session: Session) -> None:
        session["before"] = 1
        with suppress(HeldTooLongError):
            await hold(session)

    assert (await visit(application(store, hold), cookie)).status == 503
    assert (await visit(application(store, catch), cookie)).status == 200

    assert await value(store, key_in(cookie)) == {"user": "ann", "before": 1}


@pytest.mark.parametrize("limit", [0, -1])
def test_no_limit(limit: int) -> None:
    """A block cannot be given no time at all."""
    for kind in (MemoryStore, PostgresStore):
        with pytest.raises(SettingsError, match="exclusive_limit"):
            kind(exclusive_limit=limit)


async def test_timeouts_of_the_role(
    make_store: Callable[..., PostgresStore], witness: Witness
) -> None:
    """A block may take its limit, whatever the role says about idle and long transactions."""
    options = "-c idle_in_transaction_session_timeout=50"
    if await witness.execute("SELECT count(*) FROM pg_settings WHERE name='transaction_timeout'"):
        options += " -c transaction_timeout=50"
    store = make_store(options=options)
    key = await store.generate({})

    async with store.exclusive(key) as held:
        await held.get(key)
        await witness.execute("SELECT pg_sleep(0.3)")
        await held.merge(key, Changes(set={"n": 1}))

    assert await value(store, key) == {"n": 1}


@pytest.mark.parametrize("limit", ["lock_timeout", "statement_timeout"])
async def test_waits_of_the_role(
    make_store: Callable[..., PostgresStore], witness: Witness, limit: str
) -> None:
    """A caller waits for a lock as long as it has said, whatever the role says about waits."""
    other, store = make_store(), make_store(options=f"-c {limit}=50")
    key = await store.generate({})

    async def count() -> None:
        async with store.exclusive(key, timeout=TIMEOUT) as held:
            await held.merge(key, Changes(set={"n": 1}))

    async with other.exclusive(key):
        waiting = asyncio.create_task(count())
        await witness.waiting(1)
        await witness.execute("SELECT pg_sleep(0.2)")
    await waiting

    assert await value(store, key) == {"n": 1}


async def test_hung_process(make_store: Callable[..., PostgresStore], witness: Witness) -> None:
    """If a process hangs in a block, the server ends the block and frees its lock."""
    store = make_store(exclusive_limit=0.1, timeout=0.3)
    key = await store.generate({})
    taken = threading.Event()

    def take_lock() -> None:
        with psycopg.connect(witness.conninfo, application_name=witness.name) as connection:
            number = lock_number(digest(key))
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (number,))
            taken.set()

    async def hang() -> None:
        async with store.exclusive(key) as held:
            await held.merge(key, Changes(set={"n": 1}))
            waiting = asyncio.create_task(asyncio.to_thread(take_lock))
            await witness.waiting(1)
            assert taken.wait(TIMEOUT)  # in the event loop, which stands still meanwhile
            await waiting

    with pytest.raises(StoreUnavailableError):
        await hang()

    assert await value(store, key) == {}


async def test_slow_holders(make_store: Callable[..., PostgresStore], witness: Witness) -> None:
    """Slow blocks take no connection from other calls, and no lock from other sessions."""
    store = make_store(pool_size=1)
    keys = [await store.generate({"n": 0}) for _ in range(MOST)]
    slow = asyncio.Event()

    async def hold(key: str) -> None:
        async with store.exclusive(key) as held:
            await held.merge(key, Changes(set={"n": 1}))
            await slow.wait()

    async def are_held() -> bool:
        return len(await witness.in_transaction()) == MOST - 1

    async with asyncio.TaskGroup() as group, asyncio.timeout(TIMEOUT):
        for key in keys[1:]:
            group.create_task(hold(key))
        await eventually(are_held)
        async with store.exclusive(keys[0], timeout=1) as held:
            await held.merge(keys[0], Changes(set={"n": 1}))
            assert await asyncio.gather(*(value(store, key) for key in keys)) == MOST * [{"n": 0}]
            await store.merge(await store.generate({}), Changes(set={"n": 1}))
        slow.set()

    assert await asyncio.gather(*(value(store, key) for key in keys)) == MOST * [{"n": 1}]


async def test_renewed_while_waiting(either: Store) -> None:
    """A block whose session is renewed while it waits for the lock does not run."""
    cookie = (await visit(application(either, filling(user="ann")))).cookie
    waits, held = asyncio.Event(), asyncio.Event()

    async def renew(session: Session) -> None:
        async with session.exclusive():
            held.set()
            await waits.wait()
            session.renew()

    async def ask(session: Session) -> None:
        await held.wait()
        waits.set()
        with pytest.raises(SessionNotFoundError):
            async with session.exclusive(TIMEOUT):
                pytest.fail("the session has another key")

    renewed, asked = await asyncio.gather(
        visit(application(either, renew), cookie), visit(application(either, ask), cookie)
    )

    assert asked.cookies == []
    assert await value(either, renewed.key) == {"user": "ann"}


async def test_dead_keys_stay_known(store: PostgresStore) -> None:
    """A block does not make the store forget that other keys were not found."""
    dead = "no such key"
    key = await store.generate({})
    assert await store.get(dead) is None

    async with store.exclusive(key) as held:
        await held.merge(key, Changes(set={"n": 1}))
        assert await held.get(dead) is None

    store._calls = lambda: pytest.fail("asked again")  # type: ignore[method-assign] # noqa: SLF001
    assert await store.get(dead) is None


async def test_looked_up_while_committing(store: PostgresStore) -> None:
    """A key that a block makes is found once committed, whenever a look-up before comes back."""
    key = await store.generate({})
    async with AsyncExitStack() as block:
        held = await block.enter_async_context(store.exclusive(key))
        made = await held.generate({"n": 1})
        changes = store._dead.changes  # noqa: SLF001 - how a look-up under way is told
        assert await store.get(made) is None
    assert store._dead.changes > changes  # noqa: SLF001
    assert await value(store, made) == {"n": 1}
