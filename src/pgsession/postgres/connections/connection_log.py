"""The log of the connections of a store: which could not be made, and which were lost.

psycopg's pool logs each attempt and each connection, several a second in an outage. For the pools
that are made here, these lines replace its warnings.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from pgsession.core.logs import Pace, event
from pgsession.errors import StoreUnavailableError
from pgsession.postgres.connections.connection import OwnConnection

_LOGGER = logging.getLogger("pgsession")

#: The logger of psycopg's pools: those made here, and those of the application.
_DRIVER: Final = logging.getLogger("psycopg.pool")


class OwnName(str):
    """The name of a pool that was made here, by which its log records are known."""

    __slots__ = ()


class ConnectionLog:
    """Logs what happens to the connections of one pool: each kind once in ten seconds at most."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._failed, self._closed = Pace(clock), Pace(clock)

    def record_failure(self, error: StoreUnavailableError) -> None:
        """Count an attempt to connect that has failed, and log `error` if a line is due."""
        if count := self._failed.count():
            _LOGGER.warning(
                "A connection to the database could not be made, and is tried again: %s (Failures "
                "since the last line: %d.)",
                error,
                count,
                extra=event("connection_failed", error=error, count=count),
            )

    def record_closed(self) -> None:
        """Count a connection that was closed unasked, and log that if a line is due."""
        if count := self._closed.count():
            _LOGGER.info(
                "A connection was closed, and is replaced when it is needed: the server, a pooler "
                "or the network has ended it, or a statement got no answer. (Connections since the "
                "last line: %d.)",
                count,
                extra=event("connection_closed", count=count),
            )


def limit_driver_log() -> None:
    """Leave the warnings of pools made here out of the logger ``psycopg.pool``.

    At level DEBUG it keeps them. What the application's own pools log is left alone.
    """
    _DRIVER.addFilter(_is_wanted)  # adding it again has no effect


def _is_wanted(record: logging.LogRecord) -> bool:
    """Tell whether a record of ``psycopg.pool`` is to be logged."""
    if record.levelno != logging.WARNING or _DRIVER.isEnabledFor(logging.DEBUG):
        return True
    arguments = record.args if isinstance(record.args, tuple) else ()
    return not any(isinstance(each, OwnName | OwnConnection) for each in arguments)
