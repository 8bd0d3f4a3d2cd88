"""The log of the connections of a store: which could not be made, and which were lost.

psycopg's pool logs each attempt and each connection, several a second in an outage. For the pools
that are made here, these lines replace its warnings.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from pgsession.core.logs import Pace, event, own_logger, printing_failures
from pgsession.errors import StoreUnavailableError
from pgsession.postgres.connections.connection import OwnConnection

_LOGGER = own_logger()

#: The logger of psycopg's pools: those made here, and those of the application.
_DRIVER: Final = logging.getLogger("psycopg.pool")


#: True in the tasks of the pools that are made here: some of their records have no argument.
_IS_OURS: Final[ContextVar[bool]] = ContextVar("pgsession pool", default=False)


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


@contextmanager
def naming_tasks() -> Iterator[None]:
    """Mark the tasks that the block makes as those of a pool that was made here."""
    token = _IS_OURS.set(True)
    try:
        yield
    finally:
        _IS_OURS.reset(token)


def limit_driver_log() -> None:
    """Leave the warnings of pools made here out of the logger ``psycopg.pool``.

    At level DEBUG it keeps them. What the application's own pools log is left alone.
    """
    _DRIVER.addFilter(_passes)  # adding it again has no effect


def _passes(record: logging.LogRecord) -> bool:
    """Tell whether the logger ``psycopg.pool`` handles a record.

    One of our pools is handled here: psycopg logs while it holds a connection, and loses it if a
    handler raises.
    """
    if not _is_ours(record):
        return True
    if record.levelno != logging.WARNING or _DRIVER.isEnabledFor(logging.DEBUG):
        with printing_failures():
            _DRIVER.callHandlers(record)
    return False


def _is_ours(record: logging.LogRecord) -> bool:
    """Tell whether a record is that of a pool that was made here."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    return _IS_OURS.get() or any(isinstance(each, OwnName | OwnConnection) for each in arguments)
