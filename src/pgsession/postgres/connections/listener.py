"""What the server answers to prepared statements, without a cursor of psycopg."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Sequence
from contextvars import Context
from typing import Protocol

import psycopg
from psycopg.abc import Buffer
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult


class Receiver(Protocol):
    """What gets a result, or the error: a future, or what is to be called in the reader's turn."""

    def done(self) -> bool: ...

    def set_result(self, result: PGresult | None, /) -> None: ...

    def set_exception(self, error: psycopg.Error, /) -> None: ...


class Listener:
    """Sends prepared statements on a connection, one after another, and returns their results.

    psycopg adds its reader to the event loop anew for each statement, beside a timer. This one
    stays there from its first statement until `stop`: that saves a third of the client's time for
    a small statement. `stop` must be called

    - before psycopg itself waits for the connection: it would replace the reader, and then
      remove it;
    - before the connection is closed: its socket's number may become another socket's.
    """

    __slots__ = ("_answer", "_is_writing", "_loop", "_pgconn", "_result", "_socket")

    def __init__(self, pgconn: PGconn) -> None:
        self._pgconn = pgconn
        #: The event loop that the reader is in.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._socket = -1
        self._is_writing = False
        #: What gets the result, and the result so far.
        self._answer: Receiver | None = None
        self._result: PGresult | None = None

    async def execute(
        self, name: bytes, parameters: Sequence[Buffer | None], formats: Sequence[Format] | None
    ) -> PGresult:
        """Execute a prepared statement; return its result, which may be an error.

        Raises `psycopg.OperationalError` if the connection is lost. If the
        caller is cancelled, the statement is still under way: see `wait`.
        """
        try:
            self._pgconn.send_query_prepared(name, parameters, param_formats=formats)
            result = await self.wait()
        except psycopg.Error:
            self.stop()  # libpq may have closed the socket
            raise
        if result is None:
            raise psycopg.InternalError("got no result from the query")
        return result

    def begin(
        self,
        name: bytes,
        parameters: Sequence[Buffer | None],
        formats: Sequence[Format] | None,
        receiver: Receiver,
    ) -> None:
        """Send a prepared statement. `receiver` is called once it is over, and calls `end`.

        Raises `psycopg.Error` if it cannot be sent; then `receiver` is not called.
        """
        try:
            self._pgconn.send_query_prepared(name, parameters, param_formats=formats)
            self._expect(receiver)
        except psycopg.Error:
            self.end()
            self.stop()  # libpq may have closed the socket
            raise

    def end(self) -> None:
        """Give the answer to nobody."""
        self._answer = self._result = None
        self._end_writing()

    async def wait(self) -> PGresult | None:
        """Wait until nothing is under way; return the result, an error before any other.

        It may be None if an earlier caller was cancelled meanwhile.
        """
        answer: asyncio.Future[PGresult | None] = asyncio.get_running_loop().create_future()
        try:
            self._expect(answer)
            return await answer
        finally:
            self.end()

    def stop(self) -> None:
        """Stop listening, until the next statement."""
        self._end_writing()
        loop, self._loop = self._loop, None
        if loop is not None and not loop.is_closed():
            loop.remove_reader(self._socket)

    def _expect(self, receiver: Receiver) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._listen(loop)
        self._answer = receiver
        if self._pgconn.flush():
            self._is_writing = True
            Context().run(loop.add_writer, self._socket, self._write)

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        self._socket = self._pgconn.socket
        # In an empty context: it would keep all that this one holds, for as long as it is there.
        Context().run(loop.add_reader, self._socket, self._read)
        self._loop = loop

    def _read(self) -> None:
        answer = self._answer
        if answer is None or answer.done():
            self.stop()  # it stays unread, so that `has_hung_up` sees it
            return
        try:
            self._pgconn.consume_input()
            while True:
                while not self._pgconn.is_busy():  # else `get_result` would block
                    result = self._pgconn.get_result()
                    if result is None:
                        answer.set_result(self._result)
                        return
                    if self._result is None or result.status == ExecStatus.FATAL_ERROR:
                        self._result = result  # a commit may fail after the statement's own result
                # uvloop calls a reader once, and never again, if the connection was reset. What
                # came before that, and the error itself, must be read now.
                if not is_readable(self._socket):
                    return
                self._pgconn.consume_input()
        except psycopg.Error as error:
            self._fail(answer, error)

    def _write(self) -> None:
        try:
            if not self._pgconn.flush():
                self._end_writing()
        except psycopg.Error as error:
            if self._answer is not None:
                self._fail(self._answer, error)

    def _fail(self, answer: Receiver, error: psycopg.Error) -> None:
        """End the wait after the connection was lost, with the reason if the server gave one."""
        self.stop()  # at once, as libpq has closed the socket
        if answer.done():
            return
        if self._result is not None and self._result.status == ExecStatus.FATAL_ERROR:
            answer.set_result(self._result)
        else:
            answer.set_exception(error)

    def _end_writing(self) -> None:
        is_writing, self._is_writing = self._is_writing, False
        if is_writing and self._loop is not None and not self._loop.is_closed():
            self._loop.remove_writer(self._socket)


def is_readable(socket: int) -> bool:
    """Tell whether there is something to read, or the end, without waiting."""
    if hasattr(select, "poll"):  # unlike select, it takes any file descriptor
        poll = select.poll()
        poll.register(socket, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([socket], [], [], 0)[0])
