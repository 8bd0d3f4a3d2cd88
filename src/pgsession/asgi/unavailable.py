"""What happens while the store is unavailable: the session, the 503 response and the log."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Final, NoReturn

from starlette.types import Scope, Send

from pgsession.core.session import Session
from pgsession.errors import SessionBusyError, StoreUnavailableError

_LOGGER = logging.getLogger("pgsession")

#: The shortest time between two log lines of an outage, and the time without a failure after
#: which it is over. In seconds.
INTERVAL: Final = 10.0

_BODY: Final = b"Service Unavailable"
_HEADERS: Final = (
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", str(len(_BODY)).encode()),
    (b"retry-after", b"5"),
    (b"cache-control", b"no-store"),
)

#: The close code "try again later", from the registry of RFC 6455.
_TRY_AGAIN_LATER: Final = 1013


class UnavailableSession(Session):
    """An empty session that raises `StoreUnavailableError` when it is changed.

    The application can show a page as to a visitor without a session. It
    cannot tell a visitor that a login or a logout has worked.
    """

    __slots__ = ()

    is_unavailable = True

    # Each method that changes a session, or needs the store, calls one of these.

    def _note_change(self) -> NoReturn:
        _reject_change()

    def _check_not_started(self) -> NoReturn:
        _reject_change()

    def _attached(self) -> NoReturn:
        _reject_change()


def _reject_change() -> NoReturn:
    raise StoreUnavailableError(
        "The store was unavailable when this session was loaded. It is empty, because "
        'on_unavailable is "anonymous", and cannot be changed: check session.is_unavailable first.'
    )


async def send_unavailable(scope: Scope, send: Send) -> None:
    """Answer 503 with Retry-After (RFC 9110, section 15.6.4), without a Set-Cookie header.

    A WebSocket that is not yet accepted is closed: with the same response if
    the server supports it, else with the close code 1013.
    """
    if scope["type"] == "http":
        prefix = "http.response"
    elif "websocket.http.response" in (scope.get("extensions") or {}):
        prefix = "websocket.http.response"
    else:
        await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER})
        return
    await send({"type": f"{prefix}.start", "status": 503, "headers": list(_HEADERS)})
    await send({"type": f"{prefix}.body", "body": _BODY})


class ExtensionPause:
    """Stops extending expiries and rotating for `INTERVAL` seconds after the database failed at it.

    A server that takes no writes, such as one with a full disk, still answers
    reads: the request goes on, and its session keeps the expiry that it has.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until = -math.inf

    def is_on(self) -> bool:
        """Return True while no expiry is to be extended."""
        return self._clock() < self._until

    def begin(self, error: StoreUnavailableError) -> None:
        """Begin a pause, and log `error`."""
        if not self.is_on():
            self._until = self._clock() + INTERVAL
            _LOGGER.warning(
                "The expiry of a session could not be extended, its key not rotated or its binding "
                "not put in force; none is for %g seconds: %s",
                INTERVAL,
                error,
            )


class OutageLog:
    """Logs when an outage begins, that it continues (once per `INTERVAL`), and when it ends."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: True from the first failure until `record_answer` finds the outage over.
        self.in_outage: bool = False
        self._affected = 0
        self._last_failure = self._last_line = 0.0
        self._last_busy_line = -math.inf

    def record(self, error: StoreUnavailableError) -> None:
        """Count a request that did not get its session for this reason."""
        if isinstance(error, SessionBusyError):  # all other sessions are served
            self.record_busy(error)
        else:
            self.record_failure(error)

    def record_failure(self, error: StoreUnavailableError) -> None:
        """Count a request that did not get its session, and log `error` if a line is due."""
        now = self._last_failure = self._clock()
        self._affected += 1
        if not self.in_outage:
            self.in_outage = True
            self._last_line = now
            _LOGGER.error(
                "The store is unavailable; requests get a 503 or an empty session: %s", error
            )
        elif now - self._last_line >= INTERVAL:
            self._last_line = now
            _LOGGER.error("The store is still unavailable (%d requests): %s", self._affected, error)

    def record_busy(self, error: SessionBusyError) -> None:
        """Log that one session was busy: all others are served. The next such lines are at INFO."""
        now = self._clock()
        is_due = now - self._last_busy_line >= INTERVAL
        if is_due:
            self._last_busy_line = now
        _LOGGER.log(
            logging.WARNING if is_due else logging.INFO,
            "One session was busy, and its request gets a 503: %s A transaction that locks its "
            "row, or with a foreign key the user's row, must be committed before the response.",
            error,
        )

    def record_answer(self) -> None:
        """End the outage if the last failure is at least `INTERVAL` ago."""
        if self.in_outage and self._clock() - self._last_failure >= INTERVAL:
            _LOGGER.info("The store is available again; %d requests were affected.", self._affected)
            self.in_outage = False
            self._affected = 0
