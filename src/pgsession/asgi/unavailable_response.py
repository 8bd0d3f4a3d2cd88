"""The application's own response while the store is unavailable."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Collection
from inspect import isawaitable
from typing import Any, Final

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Scope, Send

from pgsession.asgi.denial import can_answer
from pgsession.asgi.unavailable import send_unavailable
from pgsession.core.logs import INTERVAL, event, own_logger
from pgsession.errors import StoreUnavailableError
from pgsession.request_settings import UnavailableResponse

_LOGGER = own_logger()

#: So many seconds may pass until the response starts. Visitors have waited for the store already.
LONGEST: Final = 1.0

_STARTS: Final = frozenset({"http.response.start", "websocket.http.response.start"})

#: The headers that are added where the response lacks them.
_ADDED: Final = ((b"retry-after", b"5"), (b"cache-control", b"no-store"))


class OwnResponse:
    """Sends what `make` returns, or the usual 503 if that fails or is too slow."""

    def __init__(
        self, make: UnavailableResponse, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._make = make
        self._clock = clock
        self._last_line = -math.inf

    async def send(
        self, scope: Scope, send: Send, error: StoreUnavailableError, *, cookies: Collection[str]
    ) -> None:
        """Send the response. It sets none of these `cookies`.

        `make` gets the scope without a session. A WebSocket whose server cannot
        send a response is closed with the code 1013. An error after the response
        has started is raised, as that of any application.
        """
        if not can_answer(scope):
            await send_unavailable(scope, send)
            return
        answer = _Answer(send, cookies)
        try:
            async with asyncio.timeout(LONGEST) as answer.limit:
                await self._serve(scope, error, answer)
        except Exception as failure:  # the outermost edge: `make` may raise anything
            if answer.has_started:
                raise
            self._log(failure)
        if not answer.has_started:
            await send_unavailable(scope, send)

    async def _serve(self, scope: Scope, error: StoreUnavailableError, answer: _Answer) -> None:
        bare = {name: member for name, member in scope.items() if name != "session"}
        made: Any = self._make(HTTPConnection(bare), error)
        response: ASGIApp = await made if isawaitable(made) else made
        await response(bare, _receive, answer.send)
        if not answer.has_started:
            raise RuntimeError("It has sent no response.")

    def _log(self, failure: Exception) -> None:
        """Log a failure, once per `INTERVAL`: it may occur in each request of an outage."""
        if self._clock() - self._last_line >= INTERVAL:
            self._last_line = self._clock()
            _LOGGER.error(
                "unavailable_response has failed, or has taken more than %g s. Requests get the "
                "usual 503.",
                LONGEST,
                exc_info=failure,
                extra=event("unavailable_response_failed"),
            )


class _Answer:
    """Passes the response on, with the headers that it needs."""

    def __init__(self, send: Send, cookies: Collection[str]) -> None:
        self._send = send
        self._cookies = tuple(f"{name}=".encode("ascii") for name in cookies)
        #: The time limit, which holds until the response starts.
        self.limit: asyncio.Timeout
        self.has_started: bool = False

    async def send(self, message: Message) -> None:
        if message["type"] in _STARTS:
            self.limit.reschedule(None)  # raises if the time is over: then the usual 503 is sent
            self.has_started = True
            message = {**message, "headers": self._completed(message.get("headers", ()))}
        await self._send(message)

    def _completed(self, headers: Collection[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        kept = [
            (name, value)
            for name, value in headers
            if name.lower() != b"set-cookie" or not value.lstrip().startswith(self._cookies)
        ]
        named = {name.lower() for name, _ in kept}
        return kept + [(name, value) for name, value in _ADDED if name not in named]


async def _receive() -> Message:
    """Wait: the body of the request is the application's, which may be reading it."""
    never: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
    return await never
