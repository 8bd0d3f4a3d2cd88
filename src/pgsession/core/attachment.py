"""What attaches a session to a request and a store, as the session sees it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any, Protocol

from pgsession import rare


class Attachment(Protocol):
    """What attaches a session to a request and a store, as the session sees it."""

    #: True once the response has started, so that no cookie can be set any more.
    started: bool

    @property
    def is_writing(self) -> bool:
        """True while a task of the request writes to the store."""
        ...

    @property
    def default_period(self) -> timedelta:
        """The period of a session that has none of its own."""
        ...

    @property
    def value_limit(self) -> int:
        """The largest session, in bytes of its JSON text."""
        ...

    @property
    def handle(self) -> str | None:
        """The handle of the row, or None without a row."""
        ...

    @property
    def remaining(self) -> timedelta | None:
        """How long the row still lives, or None without a row."""
        ...

    def check_users(self) -> None:
        """Raise `SessionError` if the store keeps no users."""
        ...

    async def devices(self, user_id: str) -> list[rare.Device]:
        """Return the sessions of a user, the current one first."""
        ...

    async def ended(self) -> None:
        """Return when the session has ended."""
        ...

    def lasting(self) -> AbstractAsyncContextManager[None]:
        """Cancel the block when the session has ended."""
        ...

    async def save(self) -> None:
        """Commit the changes."""
        ...

    async def reload(self) -> None:
        """Read the row again."""
        ...

    def exclusive(self, timeout: timedelta) -> AbstractAsyncContextManager[None]:
        """Hold the session's lock."""
        ...

    async def take(self, name: str, default: object) -> Any:  # noqa: ANN401 - JSON
        """Remove a member and return it, only once."""
        ...
