"""The log: the names of its events, the fields of a line, and how often a line may recur.

Every line of the logger ``pgsession`` has a name and, where they help, some fields.
docs/reference/logging.md has the table.
"""

from __future__ import annotations

import logging
import math
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, Literal, TypeAlias

from pgsession.printable import printable

#: The shortest time between two lines about the same thing, in seconds.
INTERVAL: Final = 10.0

_SQLSTATE: Final = r"SQLSTATE ([0-9A-Z]{5})"

Event: TypeAlias = Literal[
    # the application starts
    "settings_rejected",
    "setting_unknown",
    "setting_unused",
    "secret_guessable",
    "binding_brief",
    "middleware_misplaced",
    "started_without_database",
    "migration_note",
    "pooler_found",
    "telemetry_unusable",
    # the database fails
    "store_unavailable",
    "store_still_unavailable",
    "store_available",
    "connection_failed",
    "connection_closed",
    "session_busy",
    "table_unfit",
    "extension_paused",
    "late_changes_lost",
    "streams_untold",
    "streams_told",
    "sweep_failed",
    "unavailable_response_failed",
    "preparing_stopped",
    "not_ready",
    "ready_again",
    # work in the background
    "sweep_done",
    # something is wrong with the table, the application or pgsession
    "session_unreadable",
    "object_unfit",
    "old_session_unreadable",
    "batch_failed",
    "telemetry_failed",
    "websocket_not_closed",
    "new_device_hook_failed",
    "new_device_hook_cancelled",
    "content_lost",
    "last_change_lost",
    "read_after_request",
    "read_late",
    "session_replaced",
    "cross_site_dropped",
    "cookie_plain_http",
    "cookie_other_domain",
    "cookie_name_shared",
    "binding_path_shared",
    "probe_not_excluded",
    # what clients do
    "request_rejected",
    "replaced_cookie_used",
    "retired_key_used",
    "registration_rejected",
    "proof_missing",
    "cookie_unverified",
    # the life of sessions
    "session_ended_meanwhile",
    "session_created",
    "session_renewed",
    "session_ended",
    "user_signed_in",
    "user_confirmed",
    "websocket_closed",
]


def event(
    name: Event,
    *,
    error: Exception | None = None,
    count: int | None = None,
    requests: int | None = None,
    rows: int | None = None,
    seconds: float | None = None,
) -> dict[str, str | float]:
    """Return the fields of a line, for the argument ``extra`` of a logger's methods.

    `error` is why it happened: its class, its text, and its SQLSTATE if the text names one. The
    others are numbers; docs/reference/logging.md says what they count. No field has the name of an
    attribute of `logging.LogRecord`, or of structlog's ``event``.
    """
    fields: dict[str, str | float] = {"pgsession_event": name}
    if error is not None:
        reason = printable(str(error))
        fields |= {"pgsession_error": type(error).__name__, "pgsession_reason": reason}
        if state := re.search(_SQLSTATE, reason):
            fields["pgsession_sqlstate"] = state[1]
    numbers = {"count": count, "requests": requests, "rows": rows, "seconds": seconds}
    fields |= {f"pgsession_{key}": number for key, number in numbers.items() if number is not None}
    return fields


class OwnLogger(logging.LoggerAdapter[logging.Logger]):
    """The logger ``pgsession``, whose methods never raise.

    Lines are logged where connections and callers are at stake, and handlers and filters are the
    application's.
    """

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:  # noqa: ANN401 - logging's
        """Log as `logging.Logger.log` does. What a handler or a filter raises is printed."""
        if self.isEnabledFor(level):
            kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
            with printing_failures():
                self.logger.log(level, msg, *args, **kwargs)


@contextmanager
def printing_failures() -> Iterator[None]:
    """Print what the block raises to stderr, as handlers do with their own failures."""
    try:
        yield
    except Exception:  # noqa: BLE001 - whatever the application's handler or filter raises
        if logging.raiseExceptions and sys.stderr is not None:
            with suppress(OSError, ValueError):  # it is closed
                traceback.print_exc()


_LOGGER: Final = OwnLogger(logging.getLogger("pgsession"), {})


def own_logger() -> OwnLogger:
    """Return the logger ``pgsession``."""
    return _LOGGER


def log_migration(text: str) -> None:
    """Log what a migration reports: it is tried again, or the database is newer."""
    _LOGGER.warning("%s", text, extra=event("migration_note"))


class Pace:
    """Tells when a line that recurs is due: at most once in `INTERVAL` seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last_line = -math.inf
        self._count = 0

    def count(self) -> int:
        """Count one more, and return how many came since the last line; 0 if no line is due."""
        self._count += 1
        now = self._clock()
        if now - self._last_line < INTERVAL:
            return 0
        self._last_line, count = now, self._count
        self._count = 0
        return count
