"""A store without load: reads one after the other need no task, and lose nothing by it."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar

import anyio
import pytest
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from pgsession import Entry, PostgresStore, StoreUnavailableError
from pgsession.postgres.connections.failures import StatementCanceledError
from tests.blocking import blocked, blocked_pids, cancel_blocked, until_blocked

#: Statements that have waited for the table for a second.
OLD = """
    SELECT FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND query_start < clock_timestamp() - interval '1 s'
"""


@pytest.fixture(scope="module", params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both event loops: each has its own way to watch a socket."""
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def impatient(database_url: str, migrated_schema: str) -> AsyncIterator[PostgresStore]:
    """A store as `postgres`, whose calls time out soon."""
    url = make_conninfo(database_url, application_name=migrated_schema)
    async with PostgresStore(url, schema=migrated_schema, pool_size=2, timeout=0.3) as store:
        yield store


async def quiet(store: PostgresStore) -> str:
    """Return the key of a session that was read until the next read needs no task."""
    key = await store.generate({"n": 1})
    for _ in range(8):
        await read(store, key)
    return key


async def read(store: PostgresStore, key: str) -> object:
    """Return the member of a session."""
    async with asyncio.timeout(20):
        entry = await store.get(key)
    assert isinstance(entry, Entry)
    assert entry.value is not None
    return entry.value["n"]


def lanes() -> list[asyncio.Task[object]]:
    """Return the tasks of coalescers."""
    return [task for task in asyncio.all_tasks() if "Coalescer" in repr(task.get_coro())]


def pids(table: Connection, migrated_schema: str) -> set[int]:
    """Return the server's processes of the store's connections."""
    query = "SELECT pid FROM pg_stat_activity WHERE application_name = %s"
    return {pid for (pid,) in table.execute(query, (migrated_schema,))}


async def begin(store: PostgresStore, key: str, table: Connection) -> asyncio.Task[object]:
    """Begin a read that waits for the table, without a lane."""
    task = asyncio.create_task(read(store, key))
    await until_blocked(table)
    assert lanes() == []
    return task


async def test_without_a_task(postgres: PostgresStore, table: Connection) -> None:
    """A read that follows others that were alone is under way without a task of the store."""
    key = await quiet(postgres)

    with blocked(table):
        task = await begin(postgres, key, table)

    assert await task == 1


async def test_cancelled(postgres: PostgresStore, table: Connection, migrated_schema: str) -> None:
    """A caller that is cancelled leaves at once, and its statement ends as if it had stayed."""
    key = await quiet(postgres)
    before = pids(table, migrated_schema)
    other = await postgres.generate({"n": 2})

    with blocked(table):
        task = await begin(postgres, key, table)
        task.cancel()
        await asyncio.wait([task])
        assert len(blocked_pids(table)) == 1

    assert task.cancelled()
    assert await read(postgres, other) == 2
    assert before <= pids(table, migrated_schema)


async def test_cancelled_at_any_moment(
    postgres: PostgresStore, table: Connection, migrated_schema: str
) -> None:
    """Scopes that cancel again and again cost no connection, and no caller another's answer."""
    key = await quiet(postgres)
    before = pids(table, migrated_schema)

    for steps in range(40):
        expected = await postgres.generate({"n": steps})
        async with anyio.create_task_group() as group:
            group.start_soon(read, postgres, key)
            for _ in range(steps % 5):
                await asyncio.sleep(0)
            group.cancel_scope.cancel()
        assert await read(postgres, expected) == steps

    assert before <= pids(table, migrated_schema)
    with blocked(table):  # both connections are still there
        reads = []
        for count in (1, 2):
            reads.append(asyncio.create_task(read(postgres, key)))
            await until_blocked(table, count)
    assert await asyncio.gather(*reads) == [1, 1]


@pytest.mark.parametrize("is_cancelled", [False, True], ids=["waiting", "cancelled"])
async def test_timeout(
    impatient: PostgresStore, table: Connection, migrated_schema: str, is_cancelled: bool
) -> None:
    """A read that takes too long is ended at the server, and its connection is used again."""
    key = await quiet(impatient)
    before = pids(table, migrated_schema)

    with blocked(table):
        task = await begin(impatient, key, table)
        if is_cancelled:
            task.cancel()
        await asyncio.wait([task])
        await until_blocked(table, 0)

    if not is_cancelled:
        with pytest.raises(StoreUnavailableError, match="did not answer in time"):
            task.result()
    assert await read(impatient, key) == 1
    assert before <= pids(table, migrated_schema)


async def test_lost(
    postgres: PostgresStore, table: Connection, end_connections: Callable[[], None]
) -> None:
    """A read whose connection is lost is made again on another."""
    key = await quiet(postgres)

    with blocked(table):
        task = await begin(postgres, key, table)
        end_connections()

    assert await task == 1


async def test_hung_up(postgres: PostgresStore, end_connections: Callable[[], None]) -> None:
    """A read that finds the server gone from its connection uses another."""
    key = await quiet(postgres)
    end_connections()

    assert await read(postgres, key) == 1


async def test_canceled_by_server(postgres: PostgresStore, table: Connection) -> None:
    """A read that the server has canceled fails with that reason: it is not made again."""
    key = await quiet(postgres)

    with blocked(table):
        task = await begin(postgres, key, table)
        cancel_blocked(table)
        await asyncio.wait([task])
        assert blocked_pids(table) == []

    with pytest.raises(StatementCanceledError):
        task.result()


async def test_time_of_retry(
    database_url: str,
    migrated_schema: str,
    table: Connection,
    end_connections: Callable[[], None],
) -> None:
    """A read that is made again has what is left of its time: then it is ended at the server."""
    url = make_conninfo(database_url, application_name=migrated_schema)
    async with PostgresStore(url, schema=migrated_schema, pool_size=2, timeout=3) as store:
        key = await quiet(store)

        with blocked(table):
            task = await begin(store, key, table)
            while not table.execute(OLD).fetchall():  # noqa: ASYNC110 - there is no event to await
                await asyncio.sleep(0.01)
            first = blocked_pids(table)
            end_connections()
            async with asyncio.timeout(20):
                while blocked_pids(table) in ([], first):  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.001)
            # Two seconds are left at most; with a time of its own it would take three.
            async with asyncio.timeout(2.5):
                await asyncio.wait([task])
                await until_blocked(table, 0)

        with pytest.raises(StoreUnavailableError, match="did not answer in time"):
            task.result()
        assert await read(store, key) == 1


@pytest.mark.parametrize("is_cancelled", [False, True], ids=["waiting", "cancelled"])
async def test_close(postgres: PostgresStore, table: Connection, is_cancelled: bool) -> None:
    """Closing waits for a read without a task, also after its caller was cancelled."""
    key = await quiet(postgres)

    with blocked(table):
        task = await begin(postgres, key, table)
        if is_cancelled:
            task.cancel()
        closing = asyncio.create_task(postgres.close())
        for _ in range(200):
            await asyncio.sleep(0)
        assert not closing.done()
        assert len(blocked_pids(table)) == 1

    await closing
    await asyncio.wait([task])
    assert task.cancelled() if is_cancelled else task.result() == 1


class Held:
    """What a request keeps in its context."""


_HELD: ContextVar[Held] = ContextVar("_HELD")


async def test_context(database_url: str, migrated_schema: str) -> None:
    """Nothing that a read leaves behind keeps its caller's context."""
    async with PostgresStore(database_url, schema=migrated_schema, pool_size=1) as store:
        key = await quiet(store)
        await store.take(key, "other")  # by a cursor, which ends the listening
        left: list[weakref.ref[Held]] = []

        async def request() -> None:
            held = Held()
            left.append(weakref.ref(held))
            _HELD.set(held)
            await store.get(key)

        await asyncio.create_task(request())
        await asyncio.sleep(0)  # the wake-up itself refers to the task
        gc.collect()
        assert left[0]() is None
