"""What happens while the store is unavailable: the session, the 503 response and the log."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final, NoReturn

from starlette.types import Scope, Send

from pgsession.asgi.denial import send_denial
from pgsession.core.logs import INTERVAL, Pace, event, own_logger
from pgsession.core.session import Session
from pgsession.errors import SchemaError, SessionBusyError, StoreUnavailableError

_LOGGER = own_logger()

_BODY: Final = b"Service Unavailable"
_HEADERS: Final = ((b"retry-after", b"5"),)

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
    await send_denial(
        scope, send, status=503, body=_BODY, close_code=_TRY_AGAIN_LATER, headers=_HEADERS
    )


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
                "not put in force. This is tried again after %g seconds: %s",
                INTERVAL,
                error,
                extra=event("extension_paused", error=error),
            )


class OutageLog:
    """Logs when an outage begins, that it continues (once per `INTERVAL`), and when it ends.

    It ends with the first answer after `INTERVAL` seconds without a failure.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: True from the first failure until `record_answer` finds the outage over.
        self.in_outage: bool = False
        self._affected = 0
        self._began = self._last_failure = self._last_line = 0.0
        self._busy, self._lost, self._unfit = Pace(clock), Pace(clock), Pace(clock)

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
            self._began = self._last_line = now
            _LOGGER.error(
                "The store is unavailable; requests get a 503, or what on_unavailable says: %s",
                error,
                extra=event("store_unavailable", error=error, requests=1),
            )
        elif now - self._last_line >= INTERVAL:
            self._last_line = now
            seconds, requests = now - self._began, self._affected
            _LOGGER.error(
                "The store is still unavailable, for %.0f s (%d requests): %s",
                seconds,
                requests,
                error,
                extra=event(
                    "store_still_unavailable", error=error, requests=requests, seconds=seconds
                ),
            )

    def record_busy(self, error: SessionBusyError) -> None:
        """Log that one session was busy, while all others are served, if a line is due."""
        if count := self._busy.count():
            _LOGGER.warning(
                "One session was busy, and its request gets a 503: %s A transaction that locks its "
                "row, or with a foreign key the user's row, must be committed before the response. "
                "(Requests since the last line: %d.)",
                error,
                count,
                extra=event("session_busy", error=error, requests=count),
            )

    def record_unfit(self, error: SchemaError) -> None:
        """Log that a request failed because of the table or the role, if a line is due."""
        if count := self._unfit.count():
            _LOGGER.error(
                "Requests fail until somebody mends the table or the role's privileges: %s "
                "(Requests since the last line: %d.)",
                error,
                count,
                extra=event("table_unfit", error=error, requests=count),
            )

    def record_lost_changes(self, error: StoreUnavailableError) -> None:
        """Log that changes could not be saved after the response had started, if a line is due."""
        if count := self._lost.count():
            _LOGGER.error(
                "Changes made after the response had started are lost: %s (Requests since the last "
                "line: %d.)",
                error,
                count,
                extra=event("late_changes_lost", error=error, requests=count),
            )

    def record_answer(self) -> None:
        """End the outage if the last failure is at least `INTERVAL` ago."""
        if self.in_outage and self._clock() - self._last_failure >= INTERVAL:
            seconds, requests = self._last_failure - self._began, self._affected
            _LOGGER.info(
                "The store is available again after %.0f s; %d requests were affected.",
                seconds,
                requests,
                extra=event("store_available", requests=requests, seconds=seconds),
            )
            self.in_outage = False
            self._affected = 0
