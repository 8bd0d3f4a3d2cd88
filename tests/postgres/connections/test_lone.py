"""A statement that no task waits for: where it is possible, and how it ends."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence

import pytest
from psycopg import AsyncCursor, Connection
from psycopg.adapt import Transformer
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from pgsession import SessionError, StoreUnavailableError
from pgsession.postgres.connections.connection import Connection as PoolConnection
from pgsession.postgres.connections.execution import Prepared, execute
from pgsession.postgres.connections.lone import LoneStatement, Question, begin_alone
from pgsession.postgres.connections.own_pool import PoolSettings
from pgsession.postgres.connections.pool import Pool
from pgsession.postgres.connections.statement import Statement
from tests.blocking import blocked, until_blocked

COUNT = Statement(b"SELECT count(*), %s::text FROM session")

#: Larger than what a socket takes at once.
LONG = "x" * 5_000_000


async def accept(_connection: PoolConnection) -> None:
    """Accept any database."""


@pytest.fixture(scope="module", params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both event loops: each has its own way to watch a socket."""
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def pool(database_url: str, migrated_schema: str) -> AsyncIterator[Pool]:
    """A pool of one connection, which is ready and has the statement prepared."""
    url = make_conninfo(database_url, options=f"-csearch_path={migrated_schema}")
    settings = PoolSettings(conninfo=url, size=1, timeout=10, prepared=True)
    pool = Pool(settings, check=accept, inspect=accept, on_open=lambda: None, timeout=10)
    await pool.open()
    connection = await pool.acquire()
    await execute(connection, COUNT, ("a",), prepare=True)
    pool.release(connection)
    yield pool
    await pool.close()


class Told:
    """What is told of a statement."""

    def __init__(self, pool: Pool, text: str) -> None:
        self.answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        question = Question(COUNT, (text,), self.read)
        self.statement: LoneStatement[str] | None = begin_alone(pool, question, self.tell)

    def read(self, rows: Sequence[TupleRow]) -> str:
        [(_, text)] = rows
        return str(text)

    def tell(self, found: str | SessionError, may_retry: bool) -> None:
        self.answer.set_result(found)
        self.may_retry = may_retry


@pytest.mark.parametrize("text", ["a", LONG], ids=["short", "long"])
async def test_answer(pool: Pool, text: str) -> None:
    """The answer is told once it has come, and the connection is ready again."""
    for _ in range(3):
        told = Told(pool, text)
        assert told.statement is not None
        assert not told.answer.done()
        assert pool.ready is None

        assert await told.answer == text
        assert pool.ready is not None


class OtherCursor(AsyncCursor[TupleRow]):
    """A cursor of a tool that traces statements."""


@pytest.mark.parametrize("case", ["in use", "traced", "not prepared", "hung up"])
async def test_impossible(pool: Pool, table: Connection, case: str) -> None:
    """Where it is not possible nothing is done, and the connection stays in the pool."""
    connection = await pool.acquire()
    if case == "traced":
        connection.cursor_factory = OtherCursor
    elif case == "not prepared":
        connection.prepare_threshold = None
    if case != "in use":
        pool.release(connection)
    if case == "hung up":
        table.execute("SELECT pg_terminate_backend(%s, 5000)", (connection.info.backend_pid,))

    told = Told(pool, "a")

    assert told.statement is None
    assert not told.answer.done()
    if case == "in use":
        pool.release(connection)
    async with asyncio.timeout(10):
        other = await pool.acquire()
    assert (other is connection) == (case != "hung up")
    pool.release(other)


async def test_cut(pool: Pool, table: Connection) -> None:
    """If the connection is cut, our error is told, and the pool makes another."""
    connection = pool.ready
    assert connection is not None
    with blocked(table):
        told = Told(pool, "a")
        await until_blocked(table)
        with socket.socket(fileno=os.dup(connection.fileno())) as its:
            its.shutdown(socket.SHUT_RDWR)
        async with asyncio.timeout(10):
            assert isinstance(await told.answer, StoreUnavailableError)

    async with asyncio.timeout(10):
        other = await pool.acquire()
    assert other is not connection
    pool.release(other)


async def test_stopped(pool: Pool, table: Connection) -> None:
    """A statement that is stopped ends at the server, and nothing is told of it."""
    connection = pool.ready
    with blocked(table):
        told = Told(pool, "a")
        assert told.statement is not None
        await until_blocked(table)
        told.statement.stop()
        await until_blocked(table, 0)

        async with asyncio.timeout(10):
            assert await pool.acquire() is connection
    assert connection is not None
    pool.release(connection)
    assert not told.answer.done()
    assert await Told(pool, "b").answer == "b"


def test_secrecy() -> None:
    """No repr shows an argument."""
    assert repr(Question(COUNT, ("a secret",), str)) == "Question()"
    assert repr(Prepared(b"name", [b"a secret"], Transformer())) == "Prepared()"
