"""`session.exclusive`: one block at a time, no delay for other requests, all or nothing."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import Any, Final

import pytest
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool

from pgsession import (
    Changes,
    PostgresStore,
    Session,
    SessionNotFoundError,
    Store,
    StoreBusyError,
    StoreUnavailableError,
)
from tests.concurrency.visits import Gate, Work, application, filling, key_in, visit
from tests.concurrency.witness import TIMEOUT, Witness

pytestmark = pytest.mark.usefixtures("long_patience")

#: Every commit fails: the server terminates the connection first.
FAILING_COMMIT: Final = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER fail AFTER UPDATE OR INSERT OR DELETE ON session
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail();
"""

#: Every commit waits for a lock that the test holds.
HELD_COMMIT: Final = """
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_advisory_xact_lock(3); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER wait AFTER UPDATE OR INSERT OR DELETE ON session
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait();
"""


async def counting(session: Session) -> None:
    """Read, let other tasks run, then write."""
    async with session.exclusive(TIMEOUT):
        count = session.get("count", 0)
        await asyncio.sleep(0)
        session["count"] = count + 1


async def renewing(session: Session) -> None:
    session.renew()


async def clearing(session: Session) -> None:
    session.clear()


@pytest.fixture
async def cookie(store: PostgresStore) -> str:
    """The cookie of a session with the user ann."""
    return (await visit(application(store, filling(user="ann")))).cookie


@pytest.mark.parametrize("processes", [1, 2], ids=["one process", "two processes"])
async def test_waiting(
    make_store: Callable[..., PostgresStore], witness: Witness, cookie: str, processes: int
) -> None:
    """A block that waited for the lock sees what the previous block wrote."""
    stores = [make_store() for _ in range(processes)]
    gate = Gate()
    seen: list[object] = []

    async def first(session: Session) -> None:
        async with session.exclusive():
            session["count"] = 1
            await gate.passed()

    async def second(session: Session) -> None:
        assert "count" not in session
        asking.set()
        async with session.exclusive(TIMEOUT):
            seen.append(session["count"])
            session["count"] += 1

    asking = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(visit(application(stores[0], first), cookie))
        await gate.reached.wait()
        group.create_task(visit(application(stores[-1], second), cookie))
        await asking.wait()
        if processes == 2:
            await witness.waiting(1)
        gate.opened.set()

    assert seen == [1]
    assert await witness.value(key_in(cookie)) == {"user": "ann", "count": 2}


async def test_counting(
    make_store: Callable[..., PostgresStore], witness: Witness, cookie: str
) -> None:
    """Thirty requests to three processes that each add one add up to thirty."""
    stores = [make_store() for _ in range(3)]

    await asyncio.gather(*(visit(application(stores[n % 3], counting), cookie) for n in range(30)))

    assert await witness.value(key_in(cookie)) == {"user": "ann", "count": 30}


@pytest.mark.parametrize(
    ("work", "value"),
    [
        pytest.param(filling(cart=[1]), {"user": "ann", "cart": [1], "held": 1}, id="merge"),
        pytest.param(filling(held=0), {"user": "ann", "held": 1}, id="same key"),
    ],
)
async def test_merge_passes(
    store: PostgresStore, witness: Witness, cookie: str, work: Work, value: dict[str, object]
) -> None:
    """A request that does not use the lock does not wait for it; both changes are kept."""

    async def hold(session: Session) -> None:
        async with session.exclusive():
            session["held"] = 1
            async with asyncio.timeout(TIMEOUT):
                await visit(application(store, work), cookie)

    await visit(application(store, hold), cookie)

    assert await witness.value(key_in(cookie)) == value


async def test_merge_afterwards(store: PostgresStore, witness: Witness, cookie: str) -> None:
    """A request loaded before a block that responds after it merges over the block's changes."""
    gate = Gate()
    async with asyncio.TaskGroup() as group:
        slow = application(store, gate.after(filling(count=10, cart=[1])))
        group.create_task(visit(slow, cookie))
        await gate.reached.wait()
        await visit(application(store, counting), cookie)
        gate.opened.set()

    assert await witness.value(key_in(cookie)) == {"user": "ann", "count": 10, "cart": [1]}


@pytest.mark.parametrize("asking", [1, 2], ids=["one process", "two processes"])
async def test_busy(make_store: Callable[..., PostgresStore], asking: int) -> None:
    """A caller that does not get the lock in time gets `StoreBusyError` and writes nothing."""
    stores = [make_store() for _ in range(asking)]
    key = await stores[0].generate({"a": 1})

    async with stores[0].exclusive(key):
        with pytest.raises(StoreBusyError):
            async with stores[-1].exclusive(key, timeout=0.05):
                pytest.fail("the lock is held by another")

    async with stores[-1].exclusive(key, timeout=TIMEOUT) as held:
        assert await held.get(key) is not None


async def test_locked_row(
    make_store: Callable[..., PostgresStore],
    witness: Witness,
    cookie: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A row that another transaction holds is a busy session of one visitor, in the log too."""
    store = make_store(timeout=0.5)

    async with witness.holding_row(key_in(cookie)):
        answer = await visit(application(store, counting), cookie)

    assert answer.status == 503
    events = [vars(it)["pgsession_event"] for it in caplog.records if it.name == "pgsession"]
    assert events == ["session_busy"]


async def test_refused_request(store: PostgresStore, cookie: str) -> None:
    """A request that does not get the lock in time gets 503, and its cookie is unchanged."""

    async def ask(session: Session) -> None:
        async with session.exclusive(0.05):
            pytest.fail("the lock is held by another")

    async with store.exclusive(key_in(cookie)):
        answer = await visit(application(store, ask), cookie)

    assert answer.status == 503
    assert answer.cookies == []


async def test_limit(make_store: Callable[..., PostgresStore], witness: Witness) -> None:
    """Lock holders and waiters use at most half of a caller's pool, however many there are."""
    named = {"autocommit": True, "application_name": witness.name}
    pool = AsyncConnectionPool(witness.conninfo, kwargs=named, min_size=4, open=False)
    store = PostgresStore(pool)
    async with store:
        await count_in_blocks(store, make_store, witness)


async def count_in_blocks(
    store: PostgresStore, make_store: Callable[..., PostgresStore], witness: Witness
) -> None:
    keys = [await store.generate({"count": 0}) for _ in range(10)]

    async def count(key: str) -> None:
        async with store.exclusive(key, timeout=TIMEOUT) as held:
            entry = await held.get(key)
            assert entry is not None
            assert entry.value is not None
            await held.merge(key, Changes(set={"count": entry.value["count"] + 1}))

    async with asyncio.TaskGroup() as group, AsyncExitStack() as others:
        for key in keys[:4]:
            await others.enter_async_context(make_store().exclusive(key))
        for key in keys + keys:
            group.create_task(count(key))
        await witness.waiting(2)
        async with asyncio.timeout(TIMEOUT):
            entries = await asyncio.gather(*(store.get(key) for key in keys * 10))
        held = await witness.in_transaction()

    assert None not in entries
    assert len(held) == 4 + 2  # four of the other stores, and two of this one
    assert await witness.values() == [{"count": 2}] * 10


async def test_cancelled_waiters(
    make_store: Callable[..., PostgresStore], witness: Witness
) -> None:
    """Cancelled waiters leave no connection and no place in the queue behind."""
    store = make_store(pool_size=4)
    keys = [await store.generate() for _ in range(4)]

    async def wait(key: str) -> None:
        async with store.exclusive(key):
            pytest.fail("the lock is held by another")

    async with make_store().exclusive(keys[0]), make_store().exclusive(keys[1]):
        tasks = [asyncio.create_task(wait(key)) for key in keys[:2] * 5]
        await witness.waiting(2)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    assert all(task.cancelled() for task in tasks)
    assert await witness.in_transaction() == []
    async with asyncio.timeout(TIMEOUT), store.exclusive(keys[0]), store.exclusive(keys[1]):
        await asyncio.gather(*(store.get(key) for key in keys))


async def test_undone(either: Store) -> None:
    """Changes in a block that raises are undone; changes before it are kept."""
    cookie = (await visit(application(either, filling(user="ann", cart=[1])))).cookie

    async def fail(session: Session) -> None:
        session["before"] = 1
        with suppress(ZeroDivisionError):
            async with session.exclusive():
                session["user"] = "eve"
                session["cart"].append(2)
                session.period = 60
                session.renew()
                session.clear()
                raise ZeroDivisionError
        session["after"] = 1

    answer = await visit(application(either, fail), cookie)

    entry = await either.get(key_in(cookie))
    assert entry is not None
    assert entry.value == {"user": "ann", "cart": [1], "before": 1, "after": 1}
    assert entry.granted is None
    assert answer.cookies == []


async def test_new_undone(either: Store) -> None:
    """A block that raises is undone even if the session has no row yet."""

    async def fail(session: Session) -> None:
        session["before"] = 1
        with suppress(ZeroDivisionError):
            async with session.exclusive():
                session["user"] = "eve"
                raise ZeroDivisionError

    answer = await visit(application(either, fail))

    entry = await either.get(answer.key)
    assert entry is not None
    assert entry.value == {"before": 1}


@pytest.mark.parametrize("rounds", [1, 2], ids=["at once", "asked again"])
async def test_ended(either: Store, rounds: int) -> None:
    """A block of a session that has ended meanwhile does not run."""
    cookie = (await visit(application(either, filling(user="ann")))).cookie

    async def ask(session: Session) -> None:
        await either.clear(key_in(cookie))
        for _ in range(rounds):
            with pytest.raises(SessionNotFoundError):
                async with session.exclusive():
                    pytest.fail("the session has ended")

    assert (await visit(application(either, ask), cookie)).cookies == []


async def test_expired_while_waiting(
    make_store: Callable[..., PostgresStore], witness: Witness, cookie: str
) -> None:
    """A session that expires while a request waits for its lock has ended, and is not extended."""
    key = key_in(cookie)

    async def prolong(session: Session) -> None:
        with suppress(SessionNotFoundError):
            async with session.exclusive(TIMEOUT):
                session.period = 60
            pytest.fail("the session has expired")

    async with asyncio.TaskGroup() as group, make_store().exclusive(key):
        prolonging = group.create_task(visit(application(make_store(), prolong), cookie))
        await witness.waiting(1)
        await witness.execute("UPDATE session SET expire_date = now()")

    assert prolonging.result().cookies == []
    row = await witness.row(key)
    assert row is not None
    assert row.remaining < 0


async def test_period(store: PostgresStore, witness: Witness, cookie: str) -> None:
    """A period set in a block starts at the end of the block, however long the block takes."""

    async def prolong(session: Session) -> None:
        async with session.exclusive():
            session.period = 60
            await witness.execute("UPDATE session SET created_on = now()")

    assert (await visit(application(store, prolong), cookie)).max_age == 60

    late = "SELECT 1 FROM session WHERE expire_date >= created_on + interval '60 seconds'"
    assert await witness.execute(late) == 1


async def test_killed_holder(store: PostgresStore, witness: Witness, cookie: str) -> None:
    """If the connection with the lock is lost, nothing is written and the response is 503."""

    async def lose(session: Session) -> None:
        async with session.exclusive():
            session["cart"] = [1]
            (holder,) = await witness.in_transaction()
            await witness.kill(holder)

    answer = await visit(application(store, lose), cookie)

    assert answer.status == 503
    assert answer.cookies == []
    assert await witness.value(key_in(cookie)) == {"user": "ann"}
    await visit(application(store, counting), cookie)
    assert await witness.value(key_in(cookie)) == {"user": "ann", "count": 1}


async def test_save_of_killed_holder(
    make_store: Callable[..., PostgresStore], witness: Witness, cookie: str
) -> None:
    """A block that has lost its lock saves nothing: the next holder may have committed."""
    store, other = make_store(), make_store()

    async def lose(session: Session) -> None:
        async with session.exclusive():
            count = session.get("count", 0)
            (holder,) = await witness.in_transaction()
            await witness.kill(holder)
            await visit(application(other, counting), cookie)
            session["count"] = count + 1
            await session.save()

    answer = await visit(application(store, lose), cookie)
    await visit(application(other, counting), cookie)

    assert answer.status == 503
    assert await witness.value(key_in(cookie)) == {"user": "ann", "count": 2}


async def test_lost_holder_raising(store: PostgresStore) -> None:
    """The block's own error is raised even if its connection is lost before the rollback."""

    async def die(connection: AsyncConnection[Any]) -> None:
        await asyncio.sleep(0)
        connection.pgconn.finish()
        connection.lock.release()

    async def lose() -> None:
        locks = store._here().locks  # noqa: SLF001 - what the store runs on
        async with locks.hold(7, TIMEOUT) as connection:
            await connection.lock.acquire()  # as another task's statement would
            dying.append(asyncio.create_task(die(connection)))
            raise LookupError

    dying: list[asyncio.Task[None]] = []
    await store.open()
    with pytest.raises(LookupError):
        await lose()


async def test_killed_holder_caught(store: PostgresStore, witness: Witness, cookie: str) -> None:
    """A handler that catches the loss of the lock keeps only the changes made outside the block."""

    async def lose(session: Session) -> None:
        with suppress(StoreUnavailableError):
            async with session.exclusive():
                session["cart"] = [1]
                (holder,) = await witness.in_transaction()
                await witness.kill(holder)
            pytest.fail("nothing can have been committed")
        session["after"] = 1

    answer = await visit(application(store, lose), cookie)

    assert answer.cookies == []
    assert await witness.value(key_in(cookie)) == {"user": "ann", "after": 1}


@pytest.mark.parametrize(
    "work", [filling(cart=[1]), renewing, clearing], ids=["merge", "renewal", "clear"]
)
async def test_failed_commit(database_url: str, migrated_schema: str, work: Work) -> None:
    """Changes in a block whose commit fails are undone in the session too."""
    store = PostgresStore(database_url, schema=migrated_schema)
    async with store, Witness.on(database_url, migrated_schema) as witness:
        cookie = (await visit(application(store, filling(user="ann")))).cookie
        await witness.execute(FAILING_COMMIT)

        async def lose(session: Session) -> None:
            with suppress(StoreUnavailableError):
                async with session.exclusive():
                    await work(session)
                pytest.fail("nothing can have been committed")
            await witness.execute("DROP TRIGGER fail ON session")
            assert session == {"user": "ann"}
            session["after"] = 1

        answer = await visit(application(store, lose), cookie)

        assert answer.cookies == []
        assert await witness.values() == [{"user": "ann", "after": 1}]


async def test_logout_after_failed_commit(database_url: str, migrated_schema: str) -> None:
    """A logout ends the session of a second cookie, even if a renewal was rolled back before."""
    store = PostgresStore(database_url, schema=migrated_schema)
    async with store, Witness.on(database_url, migrated_schema) as witness:
        cookies = [
            (await visit(application(store, filling(user=user)))).cookie for user in ("eve", "ann")
        ]
        await witness.execute(FAILING_COMMIT)

        async def leave(session: Session) -> None:
            with suppress(StoreUnavailableError):
                async with session.exclusive():
                    session.renew()
            await witness.execute("DROP TRIGGER fail ON session")
            session.clear()

        assert (await visit(application(store, leave), "; ".join(cookies))).status == 200

        assert await witness.values() == []


async def test_reload_beside_renewal(database_url: str, migrated_schema: str) -> None:
    """A reload while a renewal is in flight waits for its commit, and then reads the new key."""
    named = make_conninfo(database_url, application_name=f"{migrated_schema}_store")
    store = PostgresStore(named, schema=migrated_schema)
    async with store, Witness.on(database_url, migrated_schema) as witness:
        cookie = (await visit(application(store, filling(user="ann")))).cookie
        await witness.execute(HELD_COMMIT)

        async def renew(session: Session) -> None:
            async with session.exclusive():
                session.renew()
                session["cart"] = [1]

        async def work(session: Session) -> None:
            async with witness.holding("SELECT pg_advisory_xact_lock(3)"):
                renewal = asyncio.create_task(renew(session))
                await witness.waiting(1)
                reload = asyncio.create_task(session.reload())
                for _ in range(3):  # later reads, which are answered
                    await asyncio.sleep(0)
                    await store.get(key_in(cookie))
            await asyncio.gather(renewal, reload)
            assert session == {"user": "ann", "cart": [1]}

        answer = await visit(application(store, work), cookie)

        assert answer.cookie != cookie
        assert await witness.values() == [{"user": "ann", "cart": [1]}]
        assert await witness.value(key_in(answer.cookie)) == {"user": "ann", "cart": [1]}
