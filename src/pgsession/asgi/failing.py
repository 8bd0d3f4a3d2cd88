"""What a request does if the store fails: a 503 takes the place of its response."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any, Final

from starlette.requests import ClientDisconnect
from starlette.types import Message, Send
from starlette.websockets import WebSocketDisconnect

from pgsession.asgi.binding import Binding
from pgsession.asgi.unavailable import send_unavailable
from pgsession.errors import SchemaError, StoreUnavailableError


class ResponseReplacedError(OSError):
    """Raised by `send` in an application that streams after its response was replaced by 503."""


#: The errors with which an application may end because it got a 503 or the store failed.
UNAVAILABLE_ERRORS: Final = (StoreUnavailableError, ResponseReplacedError, ClientDisconnect)


class FailingRequest(Binding):
    """One request, and what becomes of it if the store fails."""

    # Defaults live on the class: most requests never set them.

    #: A 503 was sent in place of the application's response.
    _is_replaced: bool = False
    #: The outage log has counted this request, under one reason.
    _is_reported: bool = False
    #: The last failure of the store in an operation of this request.
    _failure: StoreUnavailableError | None = None
    _send: Send

    @property
    def is_replaced(self) -> bool:
        """True once a 503 was sent in place of the application's response."""
        return self._is_replaced

    async def _drop(self, message: Message) -> None:
        """Drop the rest of a response that was replaced. Raise to end one that streams."""
        if message.get("more_body"):
            raise ResponseReplacedError

    async def save(self) -> None:
        with self._noting_failure():
            await super().save()

    async def reload(self) -> None:
        with self._noting_failure():
            await super().reload()

    @asynccontextmanager
    async def exclusive(self, timeout: timedelta) -> AsyncIterator[None]:
        with self._noting_failure():
            async with super().exclusive(timeout):
                yield

    async def take(self, name: str, default: object) -> Any:  # noqa: ANN401 - JSON
        with self._noting_failure():
            return await super().take(name, default)

    @contextmanager
    def _noting_failure(self) -> Iterator[None]:
        """Record a failure of the store: a mounted application may turn it into its own 500."""
        try:
            yield
        except StoreUnavailableError as error:
            self._failure = error
            raise
        except SchemaError as error:
            self.report_unfit(error)
            raise

    async def answer_error(self, error: Exception) -> bool:
        """Send a 503 if the request failed because of the store. Return whether it was answered."""
        errors = list(_leaves(error))
        for each in errors:
            if isinstance(each, SchemaError):
                self.report_unfit(each)
        if self._is_replaced:
            return all(isinstance(each, UNAVAILABLE_ERRORS) for each in errors)
        match errors[0]:
            case StoreUnavailableError() as first if not self.started and all(
                isinstance(each, StoreUnavailableError) for each in errors
            ):
                await self._replace(first)
        return self._is_replaced

    async def _replace(self, error: StoreUnavailableError) -> None:
        """Send a 503 in place of the application's response."""
        self._is_replaced, self._is_visitor = True, False  # `send` must drop what comes
        self._report(error)
        own, name = self._policy.own_response, self._policy.cookie.name
        if own is None:
            await send_unavailable(self._scope, self._send)
        else:
            await own.send(self._scope, self._send, error, cookies=(name, f"{name}-bound"))

    def _report(self, error: StoreUnavailableError) -> None:
        """Count this request in the outage log, at most once."""
        if self._is_reported:
            return
        self._is_reported = True
        self._policy.outage_log.record(error)

    def report_unfit(self, error: SchemaError) -> None:
        """Count this request among those that fail because of the table or the role, once."""
        if not self._is_reported:
            self._is_reported = True
            self._policy.outage_log.record_unfit(error)


def has_left(error: Exception) -> bool:
    """Return True if a WebSocket function ends with `error` only because the client left."""
    return all(isinstance(each, WebSocketDisconnect) for each in _leaves(error))


def _leaves(error: Exception) -> Iterator[Exception]:
    """Yield the errors in a group, at any depth, or `error` itself if it is not a group."""
    if isinstance(error, ExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error
