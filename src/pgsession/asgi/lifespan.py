"""The store's life with the application's: opened before its startup, closed after its shutdown."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pgsession.core.store import Store
from pgsession.errors import SessionError

#: With these the server may end the process: the store must be closed before.
_ENDS: Final = frozenset(
    {"lifespan.startup.failed", "lifespan.shutdown.complete", "lifespan.shutdown.failed"}
)


class Lifespan:
    """Passes the lifespan on, with an open store around it."""

    def __init__(self, app: ASGIApp, store: Store) -> None:
        self._app = app
        self._store = store
        self._startup: Message | None = None
        self._is_ours = False
        self._is_answered = False
        self._receive: Receive
        self._send: Send

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Open the store, run the application's lifespan, close the store if it was closed before.

        If the store cannot be opened, the server is told why in one line and
        the application never starts. An application that knows no lifespan is
        served all the same, as are its sessions: the store stays open.
        """
        self._receive, self._send = receive, send
        self._startup = await receive()
        try:
            self._is_ours = await self._store.open()
        except SessionError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        try:
            await self._app(scope, self._pass_receive, self._pass_send)
        finally:
            if self._is_answered:
                await self._close()

    async def _pass_receive(self) -> Message:
        if self._startup is None:
            return await self._receive()
        startup, self._startup = self._startup, None
        return startup

    async def _pass_send(self, message: Message) -> None:
        self._is_answered = True
        if message["type"] in _ENDS:
            await self._close()
        await self._send(message)

    async def _close(self) -> None:
        if self._is_ours:
            await self._store.close()
