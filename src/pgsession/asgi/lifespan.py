"""The lifespan: opens the store before the application starts, closes it after it has ended."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pgsession.core.logs import event, own_logger
from pgsession.core.store import Store
from pgsession.errors import SessionError, StoreRejectedError, StoreUnavailableError

_LOGGER = own_logger()

#: After these messages the server may end the process, so the store is closed before.
_FINAL: Final = frozenset(
    {"lifespan.startup.failed", "lifespan.shutdown.complete", "lifespan.shutdown.failed"}
)


class Lifespan:
    """Runs the application's lifespan while the store is open."""

    def __init__(self, app: ASGIApp, store: Store, *, is_strict: bool) -> None:
        self._app = app
        self._store = store
        self._is_strict = is_strict
        self._startup: Message | None = None
        self._has_opened = False
        self._has_sent = False
        self._receive: Receive
        self._send: Send

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Open the store, run the application's lifespan, and close the store.

        A store that was open before stays open. If the database cannot answer
        now, the application starts all the same, and its requests get a 503 until
        the store can be opened (unless `is_strict`). If the store cannot be
        opened for a reason that does not pass by itself, the server gets
        ``lifespan.startup.failed`` with the error message, the application does
        not start, and the error is raised, as Starlette does. If the application
        does not support the lifespan, the store stays open, because requests are
        served anyway.
        """
        self._receive, self._send = receive, send
        self._startup = await receive()
        try:
            self._has_opened = await self._store.open()
        except SessionError as error:
            if self._is_strict or not _may_pass(error):
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                raise
            _LOGGER.error(  # noqa: TRY400 - the message says it all, and the cause is libpq's
                "The application starts without its database, and requests get a 503, or what "
                "on_unavailable says: %s",
                error,
                extra=event("started_without_database", error=error),
            )
            self._has_opened = True  # the first request will open it
        try:
            await self._app(scope, self._pass_receive, self._pass_send)
        finally:
            if self._has_sent:
                await self._close()

    async def _pass_receive(self) -> Message:
        if self._startup is None:
            return await self._receive()
        startup, self._startup = self._startup, None
        return startup

    async def _pass_send(self, message: Message) -> None:
        self._has_sent = True
        if message["type"] in _FINAL:
            await self._close()
        await self._send(message)

    async def _close(self) -> None:
        """Close the store if it was opened here, once: servers cancel what comes after the end."""
        if self._has_opened:
            self._has_opened = False
            await self._store.close()


def _may_pass(error: SessionError) -> bool:
    """Tell whether the database may answer later, without a change to it or to the settings."""
    return isinstance(error, StoreUnavailableError) and not isinstance(error, StoreRejectedError)
