"""Sessions from before a switch, and the settings that take them over."""

import json
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from httpx import Response
from itsdangerous import TimestampSigner

from pgsession import OldCookie, OldSession, SessionSettings
from pgsession.predecessors import StarletteCookie
from tests.applications import SECRET

UNTIL = date(2100, 1, 1)
OLD = "old secret"
CONTENT = {"user": "ann", "cart": [1]}
DELETED = (
    "session=null; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; httponly; "
    "samesite=lax; secure"
)


def signed(content: object, *, key: str = OLD) -> str:
    """Return the value of a cookie of Starlette's middleware."""
    return TimestampSigner(key).sign(b64encode(json.dumps(content).encode())).decode()


@dataclass(frozen=True, slots=True)
class Kept(OldCookie):
    """A predecessor with its sessions in a dict, which notes what it is asked for."""

    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    error: Exception | None = field(default=None, kw_only=True)

    async def load(self, value: str) -> OldSession | None:
        self.asked.append(value)
        if self.error is not None:
            raise self.error
        content = self.sessions.get(value)
        return None if content is None else OldSession(content, value, timedelta(hours=1))


def settings_with(predecessor: Any = None, **changed: Any) -> SessionSettings:
    predecessor = predecessor or StarletteCookie(OLD, until=UNTIL)
    return SessionSettings(**{"secret_key": SECRET, "predecessor": predecessor, **changed})


def cookies_of(response: Response) -> list[str]:
    return response.headers.get_list("set-cookie")
