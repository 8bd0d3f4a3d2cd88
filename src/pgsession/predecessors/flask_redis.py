"""Sessions that Flask-Session keeps in Redis."""

from __future__ import annotations

import re
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal, Protocol

import msgspec
from itsdangerous import BadSignature, Signer
from starlette.datastructures import Secret

from pgsession.core.hidden import hidden
from pgsession.core.old_cookie import OldCookie
from pgsession.core.period import Period, as_period
from pgsession.core.predecessor import OldSession
from pgsession.errors import SettingsError
from pgsession.predecessors.content import as_content, read_json

#: ``secrets.token_urlsafe(n)`` with n from 16 to 96, or a UUID of versions before 0.6.
_ID: Final = re.compile(r"[A-Za-z0-9_-]{22,128}")

#: A member in which Flask keeps whether the cookie outlives the browser.
_PERMANENT: Final = "_permanent"


class AsyncRedis(Protocol):
    """A client such as `redis.asyncio.Redis`, which returns bytes."""

    def get(self, name: str, /) -> Awaitable[Any]:
        """Return the bytes under a name, or None."""
        ...


@dataclass(frozen=True, slots=True)
class FlaskRedis(OldCookie):
    """The sessions of Flask-Session in Redis, in its formats ``msgpack`` and ``json``.

    Pickled sessions, of versions before 0.7, are never read: their visitors start new
    ones. Raises `SettingsError` for another format.
    """

    #: An async client of Redis without ``decode_responses``.
    client: AsyncRedis = field(repr=False)
    #: SESSION_KEY_PREFIX of that application.
    key_prefix: str = field(default="session:", kw_only=True)
    #: SESSION_SERIALIZATION_FORMAT of that application.
    serialization_format: Literal["msgpack", "json"] = field(default="msgpack", kw_only=True)
    #: SECRET_KEY of that application, with SESSION_USE_SIGNER only.
    secret_key: str | Secret | None = field(default=None, kw_only=True, repr=False)
    #: PERMANENT_SESSION_LIFETIME of that application: a `timedelta` or seconds.
    lifetime: Period = field(default=timedelta(days=31), kw_only=True)

    def __post_init__(self) -> None:
        super(FlaskRedis, self).__post_init__()
        as_period(self.lifetime)
        if self.serialization_format not in {"msgpack", "json"}:
            raise SettingsError(
                'predecessor: serialization_format must be "msgpack" or "json". Nothing is '
                "unpickled, as that can run code."
            )

    async def load(self, value: str) -> OldSession | None:
        """Return the session that Redis has under the id in the cookie."""
        signer = self._signer()
        session_id = value if signer is None else _unsigned(signer, value)
        if session_id is None or _ID.fullmatch(session_id) is None:
            return None
        data = await self.client.get(f"{self.key_prefix}{session_id}")
        content = self._content(data) if isinstance(data, bytes) else None
        if content is None:
            return None
        content.pop(_PERMANENT, None)
        return OldSession(
            content,
            f"flask:{session_id}",
            as_period(self.lifetime),
            # The id can be read in Redis.
            secret=b"" if signer is None else signer.get_signature(session_id),
        )

    def _signer(self) -> Signer | None:
        if self.secret_key is None:
            return None
        return Signer(hidden(str(self.secret_key)), salt="flask-session", key_derivation="hmac")

    def _content(self, data: bytes) -> dict[str, Any] | None:
        if self.serialization_format == "json":
            return read_json(data)
        try:
            return as_content(msgspec.msgpack.decode(data))
        except (msgspec.DecodeError, ValueError, RecursionError):
            return None


def _unsigned(signer: Signer, value: str) -> str | None:
    try:
        return signer.unsign(value).decode("ascii")
    except BadSignature:
        return None
