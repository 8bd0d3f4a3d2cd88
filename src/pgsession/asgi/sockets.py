"""Closing a WebSocket whose session has ended."""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec import Struct
from msgspec.structs import asdict
from starlette.types import ASGIApp, Message, Receive, Scope

from pgsession.asgi.exchange import Exchange
from pgsession.asgi.interruption import Interruption
from pgsession.core.logs import event, own_logger


class Close(Struct, frozen=True):
    """The code and the reason with which a WebSocket is closed."""

    code: int
    reason: str


#: For a session that has ended: 4000 plus the status 401.
SESSION_ENDED: Final = Close(4401, "The session has ended.")

#: For a session whose proof has ended, while the session goes on: 4000 plus the status 408. The
#: browser proves it anew when the page connects again.
PROOF_ENDED: Final = Close(4408, "The proof of the device has ended. Connect again.")

#: After these the WebSocket is closed, or was never accepted.
_ENDS: Final = frozenset({"websocket.close", "websocket.http.response.start"})

_LOGGER = own_logger()


class SocketClosedError(OSError):
    """Raised by `send` in an application whose WebSocket was closed as its session has ended.

    Servers raise an `OSError` too when the client has left, and Starlette turns
    that into `WebSocketDisconnect`.
    """


class WatchedSocket:
    """A WebSocket that is closed once its session has ended, or the proof of it.

    It is watched from its accept on, until it is closed or the client leaves.
    The application receives a disconnect with the same code then, once: what it
    receives afterwards is the server's own disconnect. What it sends afterwards
    is an `OSError`, except a close, which has no effect.
    """

    def __init__(self, exchange: Exchange, receive: Receive) -> None:
        self._exchange = exchange
        self._receive = receive
        self._ended: asyncio.Future[None] | None = None
        #: Why it is closed, once it is.
        self._end: Close | None = None
        #: The application has received the disconnect.
        self._is_told = False
        #: The calls of `receive` under way; usually one at most.
        self._receiving: set[Interruption] = set()
        #: Sends the close.
        self._closing: asyncio.Task[None] | None = None

    async def serve(self, app: ASGIApp, scope: Scope) -> None:
        """Call the application. Return when it has returned and the close is sent, if one is."""
        try:
            await app(scope, self.receive, self.send)
        except SocketClosedError:
            pass  # as servers do with their own error
        finally:
            self._leave()
            if self._closing is not None:
                await self._closing

    async def receive(self) -> Message:
        """Receive a message of the server, or the disconnect once the session has ended."""
        if self._is_told:
            return await self._receive_disconnect()
        if (message := await self._receive_unless_ended()) is not None:
            return message
        self._is_told = True
        assert self._end is not None  # noqa: S101 - else there is a message
        return {"type": "websocket.disconnect", **asdict(self._end)}

    async def _receive_unless_ended(self) -> Message | None:
        """Receive a message of the server; None once the session has ended."""
        with Interruption() as interruption:
            self._receiving.add(interruption)
            try:
                if self._end is None:
                    message = await self._receive()
                    if message["type"] == "websocket.disconnect":
                        self._leave()
                    return message
            finally:
                self._receiving.discard(interruption)
        return None

    async def _receive_disconnect(self) -> Message:
        """Wait for the server's own disconnect, and drop what the client has sent before."""
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return message

    async def send(self, message: Message) -> None:
        """Send a message, unless the session has ended."""
        kind = message["type"]
        if self._end is not None:
            if kind == "websocket.close":
                return
            raise SocketClosedError(self._end.reason)
        if kind in _ENDS:
            self._leave()
        await self._exchange.send(message)
        if kind == "websocket.accept" and not self._exchange.is_replaced:
            self._ended = self._exchange.wait_for_end()
            self._ended.add_done_callback(self._close)

    def _leave(self) -> None:
        if self._ended is not None:
            self._exchange.stop_waiting(self._ended)
            self._ended = None

    def _close(self, ended: asyncio.Future[None]) -> None:
        if ended.cancelled() or self._ended is None:
            return
        self._end = PROOF_ENDED if self._exchange.session.proof_missing else SESSION_ENDED
        self._leave()
        # A task, as the application may wait for something else than the client.
        self._closing = asyncio.get_running_loop().create_task(self._send_close(self._end))
        for each in tuple(self._receiving):
            each.interrupt()

    async def _send_close(self, end: Close) -> None:
        _LOGGER.debug("A WebSocket is closed: %s", end.reason, extra=event("websocket_closed"))
        close: Message = {"type": "websocket.close", **asdict(end)}
        try:
            await self._exchange.send(close)
        except OSError:
            pass  # the client has left
        except Exception:  # the outermost edge: servers raise different errors
            _LOGGER.exception(
                "A WebSocket whose session has ended could not be closed.",
                extra=event("websocket_not_closed"),
            )
