"""A TCP proxy between a store and its server, which injects network faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum, auto

_CHUNK = 65_536


class Mode(Enum):
    """What the proxy does with the bytes that it receives."""

    PASS = auto()
    #: Pass no bytes in either direction, and close nothing: a black hole.
    HOLE = auto()
    #: Pass bytes to the server, but none back: a half-open connection.
    DEAF = auto()
    #: Accept new connections and close them at once.
    CUT = auto()


class Proxy:
    """Forwards bytes according to its mode."""

    def __init__(self, port: int) -> None:
        #: The port that new connections go to.
        self.target = port
        self.mode = Mode.PASS
        #: The delay of each chunk, in seconds.
        self.delay = 0.0
        #: How many chunks the server has sent, on all connections.
        self.answers = 0
        #: How many more bytes from the server pass until its connection is cut, once;
        #: None: never.
        self.fuse: int | None = None
        #: How many chunks of each connection's answers pass; None: all.
        self.answers_each: int | None = None
        self.port = 0
        #: Connections with a lower number than this pass no bytes, in any mode.
        self._oldest = 0
        self._count = 0
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Abort all connections without a proper close."""
        for writer in self._writers:
            writer.transport.abort()

    def bury(self) -> None:
        """Pass no more bytes on the current connections, whatever the mode is later."""
        self._oldest = self._count

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one connection."""
        if self.mode is Mode.CUT:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        own = {writer, back}
        self._writers |= own
        number, self._count = self._count, self._count + 1
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(number, reader, back, is_answer=False))
                group.create_task(self._pump(number, there, writer, is_answer=True))
        except* OSError:
            pass
        finally:
            self._writers -= own
            for each in own:
                each.transport.abort()

    async def _pump(
        self,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        is_answer: bool,
    ) -> None:
        passed = 0
        while piece := await reader.read(_CHUNK):
            self.answers += is_answer
            passed += is_answer
            if self.answers_each is not None and passed > self.answers_each:
                continue
            if self.delay:
                await asyncio.sleep(self.delay)
            if number < self._oldest or self._loses(is_answer=is_answer):
                continue
            if is_answer and self.fuse is not None:
                writer.write(piece[: self.fuse])
                self.fuse = max(0, self.fuse - len(piece))
                if self.fuse == 0:
                    self.fuse = None
                    writer.close()
                    break
            else:
                writer.write(piece)
            await writer.drain()
        raise ConnectionResetError  # one side has closed, so close the other

    def _loses(self, *, is_answer: bool) -> bool:
        return self.mode is Mode.HOLE or (self.mode is Mode.DEAF and is_answer)


@asynccontextmanager
async def proxied(port: int) -> AsyncIterator[Proxy]:
    """Run a proxy to a port on the loopback interface."""
    proxy = Proxy(port)
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as listener:
        proxy.port = listener.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            proxy.cut()
