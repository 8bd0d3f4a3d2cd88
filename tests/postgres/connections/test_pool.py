"""A pool passes connections from one caller to the next, and returns them in time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
from msgspec.structs import replace
from psycopg.conninfo import make_conninfo
from psycopg.errors import DivisionByZero
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool

from pgsession import SchemaError, StoreClosedError, StoreUnavailableError
from pgsession.postgres.connections.connection import Connection, OwnConnection, cursor_of
from pgsession.postgres.connections.own_pool import OwnPool, PoolSettings
from pgsession.postgres.connections.pool import Pool


async def accept(_connection: Connection) -> None:
    """Accept any database."""


@pytest.fixture
def settings(database_url: str, migrated_schema: str) -> PoolSettings:
    """A pool of one connection, whose application name is the schema's name."""
    conninfo = make_conninfo(database_url, application_name=migrated_schema)
    return PoolSettings(conninfo=conninfo, size=1, timeout=10, prepared=True)


@pytest.fixture
async def pool(settings: PoolSettings) -> AsyncIterator[Pool]:
    """A pool that opens its own connections."""
    pool = Pool(settings, check=accept, inspect=accept, on_open=lambda: None, timeout=10)
    await pool.open()
    yield pool
    await pool.close()


@pytest.fixture
async def theirs(settings: PoolSettings) -> AsyncIterator[AsyncConnectionPool]:
    """A caller's pool with psycopg's default settings: connections without autocommit."""
    async with AsyncConnectionPool(settings.conninfo, open=False, min_size=1, max_size=1) as theirs:
        await theirs.wait()
        yield theirs


@pytest.fixture
async def shared(theirs: AsyncConnectionPool) -> AsyncIterator[Pool]:
    """A pool that uses the caller's pool."""
    shared = Pool(theirs, check=accept, inspect=accept, on_open=lambda: None, timeout=10)
    await shared.open()
    yield shared
    await shared.close()


def driver_pool(pool: Pool) -> AsyncConnectionPool[OwnConnection]:
    """Return the psycopg pool that a pool uses."""
    inner = pool._pool  # noqa: SLF001 - to see what it holds
    assert inner is not None
    return inner


async def until_returned(pool: Pool) -> None:
    """Wait until psycopg's pool has its one connection."""
    async with asyncio.timeout(10):
        while not driver_pool(pool).get_stats()["pool_available"]:  # noqa: ASYNC110 - there is no event to await
            await asyncio.sleep(0.01)


async def use(pool: Pool) -> Connection:
    """Use a connection for one statement."""
    connection = await pool.acquire()
    try:
        await connection.execute("SELECT 1")
    finally:
        pool.release(connection)
    return connection


async def test_kept(pool: Pool) -> None:
    """Of many uses in a row, only the first requests a connection from psycopg's pool."""
    first = await use(pool)
    driver_pool(pool).pop_stats()

    for _ in range(5):
        assert await use(pool) is first

    assert driver_pool(pool).pop_stats().get("requests_num", 0) == 0


async def test_returns(pool: Pool) -> None:
    """An unused connection soon returns to psycopg's pool, without its cursor."""
    connection = await use(pool)
    cursor_of(connection)

    await until_returned(pool)

    assert isinstance(connection, OwnConnection)
    assert connection.kept_cursor is None
    assert connection.kept_transformer is None
    assert await use(pool) is connection


async def test_returns_under_load(pool: Pool) -> None:
    """A connection in constant use returns to psycopg's pool, which replaces it when it is old."""
    await use(pool)
    driver_pool(pool).pop_stats()

    async with asyncio.timeout(10):
        while not driver_pool(pool).get_stats().get("requests_num"):
            await use(pool)


async def test_waiting(pool: Pool) -> None:
    """A waiting caller gets the connection that is released."""
    connection = await pool.acquire()
    other = asyncio.create_task(use(pool))
    while not driver_pool(pool).get_stats()["requests_waiting"]:  # noqa: ASYNC110 - there is no event to await
        await asyncio.sleep(0)
    pool.release(connection)

    assert await other is connection


async def test_ended(pool: Pool, end_connections: Callable[[], None]) -> None:
    """A connection that the server has ended is not acquired again."""
    first = await use(pool)
    end_connections()

    assert await use(pool) is not first


async def test_broken(pool: Pool) -> None:
    """A connection that broke in use is replaced when it is released."""
    first = await pool.acquire()
    first.pgconn.finish()
    pool.release(first)

    assert await use(pool) is not first


async def test_replaced(pool: Pool) -> None:
    """All connections are replaced: idle ones at once, used ones when they are released."""
    first = await use(pool)
    await pool.replace_all()

    second = await use(pool)
    assert second is not first

    third = await pool.acquire()
    assert third is second
    pool._replaced_at = 0  # noqa: SLF001 - some time has passed
    await pool.replace_all()
    pool.release(third)
    assert await use(pool) is not third


async def test_closed(settings: PoolSettings) -> None:
    """Closing the pool closes idle connections; after that, no connection can be acquired."""
    pool = Pool(settings, check=accept, inspect=accept, on_open=lambda: None, timeout=10)
    ready = await use(pool)
    await pool.close()
    assert ready.closed

    with pytest.raises(StoreClosedError):
        await pool.acquire()


async def test_closed_while_in_use(settings: PoolSettings) -> None:
    """A connection that is released after the pool was closed is closed."""
    pool = Pool(settings, check=accept, inspect=accept, on_open=lambda: None, timeout=10)
    connection = await pool.acquire()
    await pool.close()
    pool.release(connection)

    async with asyncio.timeout(10):
        while not connection.closed:  # noqa: ASYNC110 - there is no event to await
            await asyncio.sleep(0)


async def test_closed_while_opening(settings: PoolSettings) -> None:
    """A caller gets `StoreClosedError` if the pool is closed while it opens."""
    checking, allowed = asyncio.Event(), asyncio.Event()

    async def wait(_connection: Connection) -> None:
        checking.set()
        await allowed.wait()

    pool = Pool(settings, check=wait, inspect=accept, on_open=lambda: None, timeout=10)
    caller = asyncio.create_task(pool.acquire())
    await checking.wait()
    closing = asyncio.create_task(pool.close())
    await asyncio.sleep(0)
    allowed.set()
    await closing

    with pytest.raises(StoreClosedError, match="while it was being opened"):
        await caller


async def test_opened_once(settings: PoolSettings) -> None:
    """Callers that arrive while the pool opens share one attempt; each gets its own error."""
    attempts: list[Connection] = []

    async def reject(connection: Connection) -> None:
        attempts.append(connection)
        raise SchemaError("no table")

    pool = Pool(settings, check=reject, inspect=accept, on_open=lambda: None, timeout=10)

    errors = await asyncio.gather(*(pool.open() for _ in range(3)), return_exceptions=True)

    assert [str(error) for error in errors] == ["no table"] * 3
    assert len({id(error) for error in errors}) == 3
    assert len(attempts) == 1
    await pool.close()


async def test_cancelled_opener(settings: PoolSettings) -> None:
    """A cancelled caller does not stop the opening of the pool for the others."""
    allowed = asyncio.Event()

    async def wait(_connection: Connection) -> None:
        await allowed.wait()

    pool = Pool(settings, check=wait, inspect=accept, on_open=lambda: None, timeout=10)
    first, second = (asyncio.create_task(pool.open()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    allowed.set()

    await second
    assert first.cancelled()
    await pool.close()


async def test_reconnects(
    settings: PoolSettings, point: Callable[..., None], migrated_schema: str
) -> None:
    """A pool that cannot connect retries while a caller waits, and then serves that caller."""
    movable = make_conninfo(service="movable", application_name=migrated_schema)
    own = OwnPool(replace(settings, conninfo=movable))
    point(there=False)
    await own.open()
    waiting = asyncio.create_task(own.getconn(10))
    while own.get_stats().get("connections_errors", 0) < 3:  # noqa: ASYNC110 - there is no event to await
        await asyncio.sleep(0.01)

    point(there=True)

    connection = await waiting
    assert not connection.closed
    await own.putconn(connection)
    await own.close()


async def test_cancelled_while_returning(pool: Pool) -> None:
    """A connection is not lost when its user is cancelled while returning it to psycopg's pool."""
    connection = await pool.acquire()
    pool._taken_at.clear()  # noqa: SLF001 - as if it had been in use for a long time

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            pool.release(connection)

    async with driver_pool(pool)._lock:  # noqa: SLF001 - psycopg's pool is busy
        user = asyncio.create_task(work())
        await asyncio.sleep(0)
        user.cancel()
        await asyncio.wait([user])

    assert await use(pool) is connection


async def test_shared(shared: Pool) -> None:
    """A connection of a caller's pool is returned after each use."""
    await use(shared)

    await until_returned(shared)


async def test_shared_transaction(shared: Pool) -> None:
    """A transaction left open on a connection of a caller's pool is rolled back."""
    connection = await use(shared)

    await until_returned(shared)

    assert connection.pgconn.transaction_status == TransactionStatus.IDLE


async def test_shared_ended(shared: Pool, end_connections: Callable[[], None]) -> None:
    """A connection of a caller's pool that the server has ended is not acquired again."""
    first = await use(shared)
    await until_returned(shared)
    end_connections()

    assert await use(shared) is not first


async def test_cursor(pool: Pool, shared: Pool) -> None:
    """A connection of our own reuses one cursor; a connection of a caller's pool does not."""
    for each, shares in ((pool, True), (shared, False)):
        connection = await each.acquire()
        assert (cursor_of(connection) is cursor_of(connection)) is shares
        each.release(connection)


async def test_down_at_once(settings: PoolSettings, point: Callable[..., None]) -> None:
    """Once a server has been away for a while, callers are told why at once, and it is retried."""
    point(there=True)
    pool = Pool(
        replace(settings, conninfo="service=movable"),
        check=accept,
        inspect=accept,
        on_open=lambda: None,
        timeout=10,
    )
    first = await pool.acquire()
    point(there=False)
    first.pgconn.finish()
    pool.release(first)

    errors: list[StoreUnavailableError] = []
    while not errors:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                try:
                    await pool.acquire()
                except StoreUnavailableError as error:
                    errors.append(error)
    assert "PostgreSQL cannot be reached: " in str(errors[0])
    with pytest.raises(StoreUnavailableError, match="cannot be reached"):
        await pool.acquire()

    point(there=True)
    async with asyncio.timeout(10):
        while True:
            try:
                pool.release(await pool.acquire())
                break
            except StoreUnavailableError:
                await asyncio.sleep(0.01)  # nobody tells when the next attempt has succeeded
    await pool.close()


async def test_waiting_caller_is_told(settings: PoolSettings, point: Callable[..., None]) -> None:
    """A caller that already waits when the server goes away gets the reason, not a timeout."""
    point(there=True)
    movable = replace(settings, conninfo="service=movable")
    pool = Pool(movable, check=accept, inspect=accept, on_open=lambda: None, timeout=30)
    first = await pool.acquire()
    point(there=False)
    first.pgconn.finish()
    pool.release(first)

    with pytest.raises(StoreUnavailableError, match="cannot be reached"):
        await pool.acquire()

    await pool.close()


async def test_back_before_it_is_needed(settings: PoolSettings, point: Callable[..., None]) -> None:
    """A server that was away while nobody asked is found when somebody asks again."""
    point(there=True)
    movable = replace(settings, conninfo="service=movable")
    pool = Pool(movable, check=accept, inspect=accept, on_open=lambda: None, timeout=10)
    first = await pool.acquire()
    point(there=False)
    first.pgconn.finish()
    pool.release(first)
    own = driver_pool(pool)
    while own.get_stats().get("connections_errors", 0) < 2:  # noqa: ASYNC110 - it can only be asked
        await asyncio.sleep(0.01)
    point(there=True)
    assert isinstance(own, OwnPool)
    own._failed_at -= 3600  # noqa: SLF001 - the last attempt was long ago

    pool.release(await pool.acquire())

    await pool.close()


async def test_names_of_statements(settings: PoolSettings) -> None:
    """The same statement has the same name on every connection, and another has another."""
    names = []
    for statements in (("SELECT 1", "SELECT 2"), ("SELECT 2", "SELECT 1")):
        async with await OwnConnection.connect(settings.conninfo) as connection:
            for statement in statements:
                await connection.execute(statement, prepare=True)
            cursor = await connection.execute(
                "SELECT statement, name FROM pg_prepared_statements", prepare=False
            )
            names.append(dict(await cursor.fetchall()))

    assert names[0] == names[1]
    assert len(set(names[0].values())) == 2
    assert all(name.startswith("pgsession_") for name in names[0].values())


async def test_inspected(theirs: AsyncConnectionPool) -> None:
    """Each later connection of a caller's pool is inspected once; one that fails goes back."""
    seen: list[Connection] = []

    async def inspect(connection: Connection) -> None:
        seen.append(connection)
        await connection.execute("SELECT 1")
        if len(seen) == 1:
            raise SchemaError

    shared = Pool(theirs, check=accept, inspect=inspect, on_open=lambda: None, timeout=10)
    first = await shared.acquire()
    assert not seen
    first.pgconn.finish()
    shared.release(first)
    with pytest.raises(SchemaError):
        await shared.acquire()
    for _ in range(2):
        connection = await shared.acquire()
        assert connection.pgconn.transaction_status == TransactionStatus.IDLE
        shared.release(connection)
    await shared.close()

    assert len(seen) == 2


async def test_failed_first_execution(settings: PoolSettings) -> None:
    """A statement whose first execution failed after it was prepared can be executed again."""
    async with await OwnConnection.connect(settings.conninfo, autocommit=True) as connection:
        for divisor in (0, 0, 1):
            with contextlib.suppress(DivisionByZero):
                await connection.execute("SELECT 1 / %s::int", (divisor,), prepare=True)
        cursor = await connection.execute("SELECT * FROM pg_prepared_statements", prepare=False)
        assert len(await cursor.fetchall()) == 1
