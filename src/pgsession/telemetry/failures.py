"""What happens if the API, a provider or an exporter raises: it is logged once."""

from __future__ import annotations

from typing import Final

from pgsession.core.logs import event, own_logger
from pgsession.errors import SessionError

_LOGGER = own_logger()


class Failures:
    """Logs the first failure: telemetry must not break a request, nor fill its log."""

    __slots__ = ("_is_logged",)

    def __init__(self) -> None:
        self._is_logged = False

    def note(self, error: Exception) -> None:
        """Log an error, if it is the first."""
        if not self._is_logged:
            self._is_logged = True
            _LOGGER.error(
                "OpenTelemetry has failed, and its data are incomplete. No request fails for that.",
                exc_info=error,
                extra=event("telemetry_failed"),
            )


def error_type(error: BaseException) -> str:
    """Return the value of `error.type`: few, and none that another's code has chosen."""
    kind = type(error)
    is_known = isinstance(error, SessionError) or kind.__name__ in _OTHERS
    return kind.__name__ if is_known else "_OTHER"


#: The errors that are not ours and have a name.
_OTHERS: Final = frozenset({"CancelledError", "TimeoutError"})
