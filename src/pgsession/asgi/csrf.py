"""Protection against cross-site request forgery: requests of other origins get a 403."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final, Self

from msgspec import Struct, field
from starlette.types import Scope, Send

from pgsession.asgi.denial import send_denial
from pgsession.asgi.exclusion import matcher
from pgsession.core.logs import event, own_logger
from pgsession.core.origins import SAFE_METHODS, Rejection, checked_origins, judge
from pgsession.settings import SessionSettings

_LOGGER = own_logger()

#: The shortest time between two log lines, in seconds.
_INTERVAL: Final = 10.0

#: A log line has so many characters of a path or a header at most.
_MOST_SHOWN: Final = 100

#: The close code "policy violation", from the registry of RFC 6455.
_POLICY_VIOLATION: Final = 1008

_SECURE: Final = frozenset({"https", "wss"})


class RejectionLog:
    """Counts rejected requests, and logs them at most once in ten seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: How many requests this process has rejected.
        self.count: int = 0
        self._logged = 0
        self._last_line = -math.inf

    def record(self, scope: Scope, rejection: Rejection) -> None:
        """Count a request that was rejected."""
        self.count += 1
        now = self._clock()
        if now - self._last_line < _INTERVAL:
            return
        self._last_line = now
        _LOGGER.info(
            "%.20r %s with Origin %s and Host %s was rejected: %s (%d requests since the last "
            "line, %d in all.)",
            scope.get("method", "WebSocket"),
            _shown(scope["path"].encode("utf-8", "surrogatepass")),
            _shown(_field(scope, b"origin")),
            _shown(_field(scope, b"host")),
            rejection.value,
            self.count - self._logged,
            self.count,
            extra=event("request_rejected", count=self.count - self._logged),
        )
        self._logged = self.count


class CsrfGuard(Struct, frozen=True):
    """Rejects requests of other origins, except with a safe method."""

    trusted: frozenset[str]
    is_exempt: Callable[[Scope], bool]
    log: RejectionLog = field(default_factory=RejectionLog)

    @classmethod
    def of(cls, settings: SessionSettings) -> Self | None:
        """Return the guard that `settings` describe, or None if they describe none."""
        if settings.csrf_protection:
            return cls(checked_origins(settings.trusted_origins), matcher(settings.csrf_exempt))
        if settings.trusted_origins or settings.csrf_exempt:
            _LOGGER.warning(
                "trusted_origins and csrf_exempt have no effect: csrf_protection is not set.",
                extra=event("setting_unused"),
            )
        return None

    def rejection(self, scope: Scope) -> Rejection | None:
        """Return why a request or a WebSocket is rejected, or None."""
        method = None
        if scope["type"] == "http":
            method = scope["method"]
            if method in SAFE_METHODS:
                return None
        is_secure = scope.get("scheme") in _SECURE
        rejection = judge(
            scope["headers"], method=method, is_secure=is_secure, trusted=self.trusted
        )
        return None if rejection is None or self.is_exempt(scope) else rejection

    def rejects(self, scope: Scope) -> bool:
        """Tell whether a request or a WebSocket is rejected."""
        return self.rejection(scope) is not None

    def joined(self, is_excluded: Callable[[Scope], bool] | None) -> Callable[[Scope], bool]:
        """Return a function that tells whether a scope is rejected, or else is excluded."""
        if is_excluded is None:
            return self.rejects
        return lambda scope: self.rejects(scope) or is_excluded(scope)

    async def reject(self, scope: Scope, send: Send, rejection: Rejection) -> None:
        """Answer 403, or close a WebSocket that is not accepted."""
        self.log.record(scope, rejection)
        body = f"Forbidden\n\n{rejection.value}\n".encode()
        await send_denial(scope, send, status=403, body=body, close_code=_POLICY_VIOLATION)


def _field(scope: Scope, name: bytes) -> bytes:
    return b", ".join(text for each, text in scope["headers"] if each.lower() == name)


def _shown(text: bytes) -> str:
    """Return the beginning of a text of the client, without characters that a log would obey."""
    shown = ascii(text[:_MOST_SHOWN])[1:]
    return shown if len(text) <= _MOST_SHOWN else f"{shown}…"
