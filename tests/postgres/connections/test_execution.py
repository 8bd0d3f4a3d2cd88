"""Statements that are prepared are executed without a cursor, as a cursor would execute them."""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Mapping, Sequence

import psycopg
import pytest
from psycopg import AsyncConnection, AsyncCursor
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus

from pgsession.postgres.connections.canceling import canceling_after
from pgsession.postgres.connections.connection import OwnConnection, finish, has_hung_up
from pgsession.postgres.connections.execution import Answer, execute
from pgsession.postgres.connections.failures import Verdict, judge
from pgsession.postgres.connections.statement import Statement

ECHO = Statement(b"SELECT %s::text")
SLEEP = Statement(b"SELECT pg_sleep(%s::float8)")
DIVIDE = Statement(b"SELECT 6 / %s::int")

#: A cancellation does not end it.
STUBBORN = """
CREATE FUNCTION pg_temp.stay(seconds float8) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(seconds);
EXCEPTION WHEN query_canceled THEN
    PERFORM pg_sleep(seconds);
END $$
"""

CHATTY = """
CREATE FUNCTION pg_temp.chat(text text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RAISE WARNING 'one';
    PERFORM pg_notify('own', text);
    RAISE WARNING 'two';
    RETURN text;
END $$
"""


@pytest.fixture(scope="module", params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both event loops: each has its own way to watch a socket."""
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def connection(database_url: str, other: AsyncConnection) -> AsyncIterator[OwnConnection]:
    """A connection of the store's own kind, which has these statements prepared."""
    async with await OwnConnection.connect(database_url, autocommit=True) as connection:
        pid = connection.info.backend_pid
        await run(connection, ECHO, ("a",))
        await run(connection, SLEEP, (0.0,))
        await run(connection, DIVIDE, (1,))
        connection.kept_cursor = None
        yield connection
    # The server goes on with a statement whose client has left, and so keeps its snapshot.
    await terminate(other, pid)


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[AsyncConnection]:
    """Another connection to the same server."""
    async with await AsyncConnection.connect(database_url, autocommit=True) as other:
        yield other


async def run(
    connection: OwnConnection,
    statement: Statement,
    arguments: Sequence[object] | Mapping[str, object],
) -> Answer:
    """Execute a statement that may be prepared. An answer that never comes fails the test."""
    async with asyncio.timeout(20):
        return await execute(connection, statement, arguments, prepare=True)


async def echoed(connection: OwnConnection, text: str) -> bool:
    """Tell whether the connection returns the text that is sent, and not another answer."""
    return (await run(connection, ECHO, (text,))).rows == [(text,)]


async def under_way(connection: OwnConnection, statement: Statement) -> asyncio.Task[Answer]:
    """Begin a statement that takes long, and return once it is sent."""
    task = asyncio.create_task(run(connection, statement, (20.0,)))
    while connection.pgconn.transaction_status != TransactionStatus.ACTIVE:  # noqa: ASYNC110 - there is no event to await
        await asyncio.sleep(0)
    return task


async def terminate(other: AsyncConnection, pid: int) -> None:
    """End the server's process of a connection."""
    await other.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid = %s", (pid,)
    )


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        pytest.param("SELECT %s::text, NULL, 5::int8, true", ("ä",), id="types"),
        pytest.param("SELECT g FROM generate_series(1, %s) AS g", (300,), id="rows"),
        pytest.param("SELECT 1 WHERE %s::bool", (False,), id="none"),
        pytest.param("SELECT %(b)s::int, %(a)s::text, '%%'", {"a": "x", "b": 1}, id="names"),
        pytest.param("SELECT %s::text[], %s::float8", (["x", "y,"], 0.5), id="array"),
        pytest.param("DELETE FROM kept WHERE n < %s", (-1,), id="unchanged"),
        pytest.param("UPDATE kept SET n = n WHERE n > %s", (0,), id="changed"),
        pytest.param("UPDATE kept SET n = n WHERE n > %s RETURNING n", (0,), id="returning"),
    ],
)
async def test_same_answer(
    connection: OwnConnection, text: str, arguments: Sequence[object] | Mapping[str, object]
) -> None:
    """The second execution returns what the first returns, and uses no cursor."""
    await connection.execute("CREATE TEMPORARY TABLE kept AS SELECT * FROM generate_series(1, 3) n")
    statement = Statement(text.encode())
    first = await run(connection, statement, arguments)
    connection.kept_cursor = None

    assert await run(connection, statement, arguments) == first
    assert connection.kept_cursor is None


class OtherCursor(AsyncCursor[tuple[object, ...]]):
    """A cursor of a tool that traces statements."""


@pytest.mark.parametrize(
    "case", ["transaction", "no autocommit", "pooled", "traced", "other types", "unprepared"]
)
async def test_cursor(connection: OwnConnection, case: str) -> None:
    """A cursor is used wherever more is to be done than to execute a prepared statement."""
    arguments, prepare = ("a",) if case != "other types" else (1,), case != "unprepared"
    if case == "no autocommit":
        await connection.set_autocommit(False)
    elif case == "pooled":
        connection.prepare_threshold = None
    elif case == "traced":
        connection.cursor_factory = OtherCursor
    elif case == "transaction":
        await connection.execute("BEGIN")

    answer = await execute(connection, ECHO, arguments, prepare=prepare)

    assert answer.rows == [(str(arguments[0]),)]
    assert connection.kept_cursor is not None


async def test_alternating(connection: OwnConnection) -> None:
    """Cursors, transactions and statements without a cursor follow each other."""
    for number in range(5):
        assert await echoed(connection, f"a{number}")
        async with asyncio.timeout(20):
            await connection.execute("SELECT 1")
        assert await echoed(connection, f"b{number}")
        async with asyncio.timeout(20), connection.transaction():
            assert await echoed(connection, f"c{number}")
    listing = await connection.execute("SELECT name FROM pg_prepared_statements", prepare=False)
    names = [name for (name,) in await listing.fetchall()]
    assert len(names) == len(set(names)) == 3


async def test_cancelled(connection: OwnConnection) -> None:
    """A statement that is cancelled ends on the server, and nobody gets its answer."""
    task = await under_way(connection, SLEEP)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert connection.pgconn.transaction_status == TransactionStatus.IDLE
    assert await echoed(connection, "next")


async def test_cancelled_at_any_moment(connection: OwnConnection) -> None:
    """A cancellation at any moment leaves the connection good for the next statement."""
    for steps in range(30):
        task = asyncio.create_task(run(connection, ECHO, (f"lost {steps}",)))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert await echoed(connection, f"next {steps}")


async def test_cancelled_twice(connection: OwnConnection) -> None:
    """If the server goes on with a cancelled statement, the next cancellation closes at once."""
    await connection.execute(STUBBORN)
    stay = Statement(b"SELECT pg_temp.stay(%s::float8)::text")
    await run(connection, stay, (0.0,))
    number = connection.fileno()
    task = await under_way(connection, stay)
    task.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert connection.closed
    assert not asyncio.get_running_loop().remove_reader(number)


async def test_canceled_by_server(connection: OwnConnection) -> None:
    """A statement that takes too long is canceled by the server, as one of a cursor is."""
    with pytest.raises(psycopg.errors.LockNotAvailable):
        async with canceling_after(connection, 0.05):
            await run(connection, SLEEP, (20.0,))

    assert await echoed(connection, "next")


async def test_error(connection: OwnConnection) -> None:
    """An error is the same as from a cursor, and the connection stays good."""
    with pytest.raises(psycopg.errors.DivisionByZero) as caught:
        await run(connection, DIVIDE, (0,))

    assert caught.value.sqlstate == "22012"
    assert caught.value.diag.message_primary == "division by zero"
    assert await echoed(connection, "next")


async def test_error_of_commit(connection: OwnConnection) -> None:
    """An error that comes after the statement's own result, at the commit, is raised."""
    await connection.execute(
        "CREATE TEMPORARY TABLE u (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)"
    )
    insert = Statement(b"INSERT INTO u VALUES (%s) RETURNING n")
    await run(connection, insert, (1,))

    with pytest.raises(psycopg.errors.UniqueViolation):
        await run(connection, insert, (1,))

    assert await echoed(connection, "next")


async def test_forgotten(connection: OwnConnection) -> None:
    """A prepared statement that is not there is an error after which the call is sent again."""
    connection.pgconn.exec_(b"DISCARD ALL")  # unseen by psycopg, as by a pooler

    with pytest.raises(psycopg.Error) as caught:
        await run(connection, ECHO, ("a",))

    assert judge(caught.value) is Verdict.ASTRAY
    assert (await execute(connection, ECHO, ("a",), prepare=False)).rows == [("a",)]


async def test_terminated(connection: OwnConnection, other: AsyncConnection) -> None:
    """If the server ends the connection while a statement is under way, it tells why."""
    number = connection.fileno()
    task = await under_way(connection, SLEEP)
    await terminate(other, connection.info.backend_pid)

    with pytest.raises(psycopg.errors.AdminShutdown):
        await task
    assert not asyncio.get_running_loop().remove_reader(number)
    finish(connection)


async def test_cut(connection: OwnConnection) -> None:
    """If the connection is cut while a statement is under way, that is an error of connections."""
    number = connection.fileno()
    task = await under_way(connection, SLEEP)
    with socket.socket(fileno=os.dup(number)) as its:
        its.shutdown(socket.SHUT_RDWR)

    with pytest.raises(psycopg.OperationalError) as caught:
        await task
    assert judge(caught.value) is Verdict.LOST
    assert not asyncio.get_running_loop().remove_reader(number)
    assert connection.closed


#: What a server that is shut down says last.
GOODBYE = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0"


async def test_reset(connection: OwnConnection, database_url: str) -> None:
    """If the connection is reset right after the server's last words, it tells why at once."""
    loop, host, port = asyncio.get_running_loop(), connection.info.host, connection.info.port
    is_local = host.startswith("/")
    theirs = socket.socket(socket.AF_UNIX if is_local else socket.AF_INET)
    theirs.settimeout(0)
    await loop.sock_connect(theirs, f"{host}/.s.PGSQL.{port}" if is_local else (host, port))
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0)
    relayed_url = make_conninfo(
        database_url, host="127.0.0.1", port=listener.getsockname()[1], sslmode="disable"
    )
    connecting = asyncio.create_task(OwnConnection.connect(relayed_url, autocommit=True))
    its, _ = await loop.sock_accept(listener)

    async def pump(source: socket.socket, target: socket.socket) -> None:
        while data := await loop.sock_recv(source, 65_536):
            await loop.sock_sendall(target, data)

    pumps = [asyncio.create_task(pump(*way)) for way in ((its, theirs), (theirs, its))]
    relayed = await connecting
    await run(relayed, SLEEP, (0.0,))
    task = await under_way(relayed, SLEEP)
    for each in pumps:
        each.cancel()
    await asyncio.wait(pumps)
    its.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    its.send(b"E" + struct.pack("!I", len(GOODBYE) + 4) + GOODBYE)
    its.close()  # at once, so that both are there when the event loop looks

    with pytest.raises(psycopg.OperationalError, match="terminating connection"):
        await task
    finish(relayed)
    theirs.close()
    listener.close()


async def test_cut_while_idle(connection: OwnConnection) -> None:
    """If an idle connection is cut, the next statement is an error of connections."""
    assert await echoed(connection, "a")
    number = connection.fileno()
    with socket.socket(fileno=os.dup(number)) as its:
        its.shutdown(socket.SHUT_RDWR)

    with pytest.raises(psycopg.OperationalError) as caught:
        await run(connection, ECHO, ("x" * 1_000_000,))
    assert judge(caught.value) is Verdict.LOST
    assert not asyncio.get_running_loop().remove_reader(number)


async def test_closed(connection: OwnConnection) -> None:
    """On a closed connection a statement is an error of connections."""
    finish(connection)

    with pytest.raises(psycopg.OperationalError):
        await run(connection, ECHO, ("a",))


async def test_ended_while_idle(connection: OwnConnection, other: AsyncConnection) -> None:
    """If the server ends an idle connection, that is seen, however long after."""
    assert await echoed(connection, "a")
    await terminate(other, connection.info.backend_pid)
    async with asyncio.timeout(20):
        while not has_hung_up(connection):  # noqa: ASYNC110 - there is no event to await
            await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)

    assert has_hung_up(connection)


async def test_notified_while_idle(connection: OwnConnection, other: AsyncConnection) -> None:
    """Whatever comes to an idle connection counts as its end."""
    await connection.execute("LISTEN own")
    assert await echoed(connection, "a")
    await other.execute("NOTIFY own")
    async with asyncio.timeout(20):
        while not has_hung_up(connection):  # noqa: ASYNC110 - there is no event to await
            await asyncio.sleep(0.001)
    for _ in range(5):
        await asyncio.sleep(0)

    assert has_hung_up(connection)


@pytest.mark.parametrize("size", [7_000, 9_000, 17_000, 200_000, 8_000_000])
async def test_large(connection: OwnConnection, size: int) -> None:
    """A value is sent and read whole, however large it is."""
    assert await echoed(connection, "x" * size)
    assert await echoed(connection, "next")


async def test_cancelled_while_sending(connection: OwnConnection) -> None:
    """After a large value whose sending is cancelled, the connection is good, or closed."""
    task = asyncio.create_task(run(connection, ECHO, ("x" * 50_000_000,)))
    while connection.pgconn.transaction_status != TransactionStatus.ACTIVE:  # noqa: ASYNC110 - there is no event to await
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])

    assert connection.closed or await echoed(connection, "next")


async def test_notices(connection: OwnConnection) -> None:
    """Notices and notifications that come with an answer do not disturb it."""
    notices: list[str | None] = []
    connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    await connection.execute(CHATTY)
    await connection.execute("LISTEN own")
    chat = Statement(b"SELECT pg_temp.chat(%s)")
    for text in ("a", "b", "c"):
        assert (await run(connection, chat, (text,))).rows == [(text,)]

    assert notices == ["one", "two"] * 3


@pytest.mark.parametrize("way", ["finish", "close"])
async def test_reused_number(connection: OwnConnection, way: str) -> None:
    """After a connection was closed, another socket may get its number."""
    assert await echoed(connection, "a")
    number, seen = connection.fileno(), asyncio.Event()
    if way == "finish":
        finish(connection)
    else:
        await connection.close()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        if ours.fileno() != number:
            os.dup2(ours.fileno(), number)
        loop = asyncio.get_running_loop()
        loop.add_reader(number, seen.set)
        theirs.send(b"x")
        async with asyncio.timeout(20):
            await seen.wait()
        loop.remove_reader(number)
        if ours.fileno() != number:
            os.close(number)


def test_ended_loop(database_url: str) -> None:
    """A connection outlives its event loop, and can be used in another one or closed."""

    async def connect() -> OwnConnection:
        connection = await OwnConnection.connect(database_url, autocommit=True)
        assert await echoed(connection, "a")
        assert await echoed(connection, "b")
        return connection

    connection = asyncio.run(connect())
    assert asyncio.run(echoed(connection, "c"))
    finish(connection)

    assert connection.closed
