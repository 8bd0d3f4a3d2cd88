"""Sessions that starsessions keeps in a store, such as Redis."""

from __future__ import annotations

import re
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Protocol

from pgsession.core.old_cookie import OldCookie
from pgsession.core.period import Period, as_period
from pgsession.core.predecessor import OldSession
from pgsession.errors import InvalidValueError, SettingsError
from pgsession.predecessors.content import METADATA, as_content, read_json

#: ``secrets.token_hex(16)``.
_ID: Final = re.compile(r"[0-9a-f]{32}")


class ReadableStore(Protocol):
    """A `SessionStore` of starsessions."""

    def read(self, session_id: str, lifetime: int) -> Awaitable[bytes]:
        """Return the content of a session, or no bytes."""
        ...


class Deserializer(Protocol):
    """A `Serializer` of starsessions."""

    def deserialize(self, data: bytes) -> dict[str, Any]:
        """Return the content of a session that was stored so."""
        ...


@dataclass(frozen=True, slots=True)
class StarsessionsStore(OldCookie):
    """The sessions of starsessions' middleware.

    All fields are as that middleware had them; `name` is its ``cookie_name``. For a
    ``CookieStore`` use `StarletteCookie`. Raises `SettingsError` for a store that is none.
    """

    #: The store, which knows its prefix.
    store: ReadableStore = field(repr=False)
    #: How long a session lives after its last use, a `timedelta` or seconds; zero: as long as the
    #: browser is open.
    lifetime: Period = field(default=timedelta(0), kw_only=True)
    #: What reads the content; None: JSON.
    serializer: Deserializer | None = field(default=None, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        super(StarsessionsStore, self).__post_init__()
        as_period(self.lifetime)
        if not hasattr(self.store, "read"):
            raise SettingsError("predecessor: store must be a store of starsessions.")

    async def load(self, value: str) -> OldSession | None:
        """Return the session that the store has under the id in the cookie.

        Raises `InvalidValueError` if the serializer cannot read it.
        """
        if _ID.fullmatch(value) is None:
            return None
        lifetime = as_period(self.lifetime)
        data = await self.store.read(session_id=value, lifetime=int(lifetime.total_seconds()))
        if not data:
            return None
        content = self._content(data)
        if content is None:
            return None
        content.pop(METADATA, None)
        return OldSession(content, f"starsessions:{value}", lifetime or None)

    def _content(self, data: bytes) -> dict[str, Any] | None:
        if self.serializer is None:
            return read_json(data)
        try:
            return as_content(self.serializer.deserialize(data))
        except Exception:  # noqa: BLE001 - another library's serializer may raise anything
            # Without the cause, whose text may quote the session.
            raise InvalidValueError("The serializer cannot read an old session.") from None
