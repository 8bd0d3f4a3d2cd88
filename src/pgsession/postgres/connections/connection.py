"""One connection to PostgreSQL, and whether its server is still there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self, TypeAlias, TypeVar

from psycopg import AsyncConnection, AsyncCursor, OperationalError
from psycopg.abc import PQGen, Transformer
from psycopg.rows import TupleRow, tuple_row

from pgsession.postgres.connections.listener import Listener, is_readable
from pgsession.postgres.connections.prepared import NamedByText

Connection: TypeAlias = AsyncConnection[Any]

_T = TypeVar("_T")


class OwnConnection(AsyncConnection[Any]):
    """A connection of a pool made here, with what all its statements share.

    Making a cursor for each statement costs a tenth of a small statement.
    """

    #: It holds the last result that came through it until the next one.
    kept_cursor: AsyncCursor[Any] | None = None
    #: It converts the parameters and results of statements that are executed without a cursor.
    kept_transformer: Transformer | None = None
    #: How many seconds it took to make.
    made_in: float = 0.0

    def __init__(self, *arguments: Any, **settings: Any) -> None:  # noqa: ANN401 - psycopg's
        super().__init__(*arguments, **settings)
        self._named = NamedByText()
        self._prepared = self._named
        #: What sends the statements that are prepared, without a cursor.
        self.listener: Listener = Listener(self.pgconn)

    @classmethod
    async def connect(  # type: ignore[override] # psycopg's own keywords pass through
        cls,
        conninfo: str = "",
        *,
        on_failure: Callable[[OperationalError], None] | None = None,
        **settings: Any,  # noqa: ANN401 - psycopg's
    ) -> Self:
        """Connect as a pool does, so that the pool's task can be cancelled meanwhile.

        Calls `on_failure` with the reason if the server cannot be reached.
        """
        begin = time.monotonic()
        with ending_if_cancelled():
            try:
                connection = await super().connect(conninfo, **settings)
            except OperationalError as error:
                if on_failure is not None:
                    on_failure(error)
                raise
        connection.made_in = time.monotonic() - begin
        return connection

    def let_go(self) -> None:
        """Drop what statements share, before the connection goes back to psycopg's pool."""
        self.kept_cursor = self.kept_transformer = None
        self.listener.stop()

    def name_of_prepared(self, query: bytes, types: tuple[int, ...]) -> bytes | None:
        """Return the name of a statement if it is prepared, and count that as its latest use."""
        return self._named.name_of(query, types)

    async def wait(self, gen: PQGen[_T], *arguments: Any, **settings: Any) -> _T:  # noqa: ANN401 - psycopg's
        """Wait as psycopg does, in all that it does itself on the connection."""
        self.listener.stop()
        return await super().wait(gen, *arguments, **settings)

    async def close(self) -> None:
        """Close it."""
        self.listener.stop()
        await super().close()


@contextmanager
def ending_if_cancelled() -> Iterator[None]:
    """Make a cancellation end the task of a pool.

    psycopg's pool takes it for a failed attempt to connect, and its task goes
    on. `asyncio.run` cancels all tasks at its end and would wait for that one
    for ever.
    """
    try:
        yield
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None:
            task.cancel()
        raise


@asynccontextmanager
async def closing(connection: Connection) -> AsyncIterator[Connection]:
    """Close a connection at the end of the block, also if that is cancelled several times.

    A second cancellation interrupts the rollback after the first, and psycopg
    leaves the connection open then.
    """
    try:
        async with connection:
            yield connection
    finally:
        finish(connection)


def finish(connection: Connection) -> None:
    """Close a connection at once, whatever is under way."""
    if isinstance(connection, OwnConnection):
        connection.listener.stop()
    connection.pgconn.finish()


def cursor_of(connection: Connection) -> AsyncCursor[TupleRow]:
    """Return a cursor that returns tuples, for one statement and its result."""
    if not isinstance(connection, OwnConnection):
        return connection.cursor(row_factory=tuple_row)
    if connection.kept_cursor is None:
        connection.kept_cursor = connection.cursor(row_factory=tuple_row)
    return connection.kept_cursor


def has_hung_up(connection: Connection) -> bool:
    """Tell whether the server has closed an idle connection, without a round trip.

    PostgreSQL sends an idle client nothing but the reason why it disconnects,
    so anything to read means that the connection is over.
    """
    if connection.closed:
        return True
    return is_readable(connection.fileno())
