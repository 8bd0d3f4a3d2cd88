"""Connecting for a command, which may run before its server is up."""

import time
from collections.abc import Callable
from typing import Final

import psycopg
from psycopg import Connection

from pgsession.errors import SettingsError, StoreRejectedError, StoreUnavailableError
from pgsession.postgres.connections.conninfo import complete_conninfo
from pgsession.postgres.connections.failures import unreachable

#: What a command tells while it runs, a line at a time.
Report = Callable[[str], None]

#: Seconds that connecting may take, unless the conninfo says otherwise.
_TIMEOUT: Final = 5.0

#: Seconds between two attempts.
_PAUSE: Final = 0.25

#: The longest wait in seconds.
_LONGEST: Final = 86_400.0


def connect(conninfo: str, *, wait: float, report: Report) -> Connection:
    """Return a connection in autocommit, which the server has answered.

    If the server cannot be reached, try again until `wait` seconds have passed,
    and report that once.

    Raises `SettingsError` for a conninfo or a wait that cannot work,
    `StoreRejectedError` at once if the server rejects the connection, and
    `StoreUnavailableError` if it cannot be reached.
    """
    if not 0 <= wait <= _LONGEST:
        raise SettingsError("wait must be a number of seconds between 0 and 86400.")
    complete = complete_conninfo(conninfo, {}, timeout=_TIMEOUT)
    deadline = time.monotonic() + wait
    is_reported = False
    while True:
        try:
            return _connect(complete)
        except StoreRejectedError:
            raise
        except StoreUnavailableError as error:
            left = deadline - time.monotonic()
            if left <= 0:
                raise
            if not is_reported:
                said = str(error).removesuffix(";")  # a remedy may end with a statement
                report(f"{said}. Trying again for {left:.0f} s.")
                is_reported = True
        time.sleep(min(_PAUSE, left))


def _connect(conninfo: str) -> Connection:
    connection = None
    try:
        connection = psycopg.connect(conninfo, autocommit=True)
        # A pooler accepts a connection before it has one to the server.
        connection.execute("SELECT")
    except psycopg.OperationalError as error:
        failure = unreachable(error)
    else:
        return connection
    if connection is not None:
        connection.close()
    # Not while the driver's error is handled: it holds the conninfo, password and all.
    raise failure
