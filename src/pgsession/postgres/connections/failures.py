"""What the driver's errors mean: whether to retry, and which error of ours they become.

psycopg's classes mislead (a demoted primary is an InternalError, nesting too
deep an OperationalError), so errors are told apart by their SQLSTATE. Errors of
the pool have none.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from pgsession.errors import (
    SchemaError,
    SessionBusyError,
    SessionError,
    StoreBusyError,
    StoreClosedError,
    StoreRejectedError,
    StoreUnavailableError,
)


class Verdict(Enum):
    """What a driver's error says about the statement and its connection."""

    #: The connection is gone. The statement may have taken effect or not.
    LOST = auto()
    #: A node behind the server was lost in this way. The connection to the server is good.
    NODE_LOST = auto()
    #: The statement was rejected because of the connection; another connection may do.
    STALE = auto()
    #: The statement was rolled back because of another transaction. It may be retried.
    ROLLED_BACK = auto()
    #: A prepared statement was not found, or its name was taken: it was not executed.
    ASTRAY = auto()
    #: The server cannot answer now.
    UNAVAILABLE = auto()
    #: The table, the role or the statement is wrong. A retry does not help.
    WRONG = auto()


#: By SQLSTATE or its class, the first two characters. A code that is not listed is WRONG.
VERDICTS: Final = {
    "08": Verdict.LOST,  # connection exceptions
    "57P01": Verdict.LOST,  # the server shuts down, or ended this connection
    "57P02": Verdict.LOST,  # it crashed
    "57P05": Verdict.LOST,  # idle_session_timeout
    "25P03": Verdict.LOST,  # idle_in_transaction_session_timeout
    "25P04": Verdict.LOST,  # transaction_timeout
    "25006": Verdict.STALE,  # read-only: a demoted primary
    "0A000": Verdict.STALE,  # a cached plan must not change its result type
    "40001": Verdict.ROLLED_BACK,  # serialization failure
    "40P01": Verdict.ROLLED_BACK,  # deadlock
    "26000": Verdict.ASTRAY,  # the prepared statement does not exist
    "42P05": Verdict.ASTRAY,  # it exists already
    "53": Verdict.UNAVAILABLE,  # out of connections, memory, disk
    "55P03": Verdict.UNAVAILABLE,  # lock_timeout
    "57": Verdict.UNAVAILABLE,  # starting up, statement_timeout
    "58": Verdict.UNAVAILABLE,  # the system beneath, such as its disk
}

#: Seconds at most before each retry of what was rolled back.
_PAUSES: Final = (0.05, 0.2, 0.8)


class LockedRowError(SessionBusyError):
    """Another transaction held a row, or the table, for longer than the statement waits.

    The statement has changed nothing.
    """


class StatementCanceledError(StoreUnavailableError):
    """The server canceled the statement, which has changed nothing."""


class NodeLostError(StoreUnavailableError):
    """A node behind the server cannot be reached. Sessions on other nodes can."""


class RefusedValueError(SessionError):
    """A foreign key, or the type of a column that PostgreSQL computes, refuses a row."""


#: By SQLSTATE: our error, and its text, where the server cannot answer now.
_REASONS: Final[dict[str, tuple[type[StoreUnavailableError], str]]] = {
    "25006": (
        StoreUnavailableError,
        "The database takes no writes now: it is a standby, or read-only (SQLSTATE 25006).",
    ),
    "55P03": (
        LockedRowError,
        "Another transaction held the session for too long (SQLSTATE 55P03). Try again.",
    ),
    "57014": (
        StatementCanceledError,
        (
            "The database canceled a statement, probably because of a statement_timeout that the "
            "role, the database or the server sets (SQLSTATE 57014)."
        ),
    ),
}

_NO_PRIVILEGE: Final = "42501"

#: SQLSTATEs of a foreign key, and of text that a computed column cannot turn into its type.
_VALUE: Final = frozenset({"23503", "22P02", "22003", "22007", "22008"})

#: SQLSTATEs that mean that the table is not as it should be.
_SCHEMA: Final = frozenset({"3F000", "42P01", "42703", "42804", "42883", "22001", "23514"})


#: What the server says if it rejects a connection. Such an error has no SQLSTATE.
_REJECTION: Final = re.compile(
    r"fe_sendauth: no password supplied"
    r"|definition of service .* not found"
    r"|server does not support SSL"
    r"|FATAL: +(?:"
    # Not those that ask another service, such as LDAP, PAM and RADIUS: it may be down.
    r"(?:password|Peer|certificate|SASL|\"trust\") authentication failed"
    r"|unsupported startup parameter"  # PgBouncer
    r"|unrecognized configuration parameter"
    r"|invalid value for parameter"
    r"|no such (?:database|user)"  # PgBouncer
    r"|no pg_hba\.conf entry"
    r"|pg_hba\.conf rejects"
    r"|role \".*\" (?:does not exist|is not permitted to log in)"
    r"|database \".*\" does not exist"
    r"|permission denied for database)"
)


def judge(error: psycopg.Error) -> Verdict:
    """Return what a driver's error says."""
    if isinstance(error, PoolClosed):
        return Verdict.WRONG
    if isinstance(error, PoolTimeout | TooManyRequests):
        return Verdict.UNAVAILABLE
    state = error.sqlstate
    if state is None:
        is_connection = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return Verdict.LOST if is_connection else Verdict.WRONG
    verdict = VERDICTS.get(state) or VERDICTS.get(state[:2]) or Verdict.WRONG
    if verdict is Verdict.LOST and error.diag.severity_nonlocalized == "ERROR":
        return Verdict.NODE_LOST  # an error that ends the connection is FATAL or PANIC
    return verdict


class Retries:
    """Whether a piece of work is retried, from failure to failure."""

    def __init__(self, *, idempotent: bool) -> None:
        self._idempotent = idempotent
        self._pauses = iter(_PAUSES)
        self._is_second = False

    def pause(self, verdict: Verdict) -> float | None:
        """Return the seconds to wait at most before the next attempt, or None to give up."""
        if verdict is Verdict.ROLLED_BACK:
            return next(self._pauses, None)
        if self._is_second:
            return None
        self._is_second = verdict in {Verdict.STALE, Verdict.ASTRAY} or (
            verdict is Verdict.LOST and self._idempotent
        )
        return 0.0 if self._is_second else None


def unreachable(error: psycopg.OperationalError) -> StoreUnavailableError:
    """Return our error for one of connecting, with libpq's reason.

    It is `StoreRejectedError` if every host that was tried rejects the connection
    for a reason that does not pass by itself. Reasons are told apart by their
    English text, as there is no SQLSTATE.
    """
    reason = " ".join(str(error).split())
    attempts = reason.split(" - host: ")[1:] or [reason]
    rejections = [attempt for attempt in attempts if _REJECTION.search(attempt)]
    # PostgreSQL may listen on only one of the two addresses of localhost.
    others = [each for each in attempts if each not in rejections if "'localhost'" not in each]
    kind = StoreRejectedError if rejections and not others else StoreUnavailableError
    return kind(f"PostgreSQL cannot be reached: {reason}")


def translated(error: psycopg.Error) -> SessionError:
    """Return our error for the driver's. The text is our own: the driver's quotes parameters."""
    match error:
        case PoolTimeout() | TooManyRequests():
            return StoreBusyError("No connection to the database was free in time. Try again.")
        case PoolClosed():
            return StoreClosedError("The store's pool of connections is closed.")
    state, verdict = error.sqlstate, judge(error)
    if state is None:
        if verdict is Verdict.LOST:
            return StoreUnavailableError("The connection to the database failed. Try again.")
        return SessionError(f"The driver refused a statement: {type(error).__name__}.")
    if state == "0A000":  # on a fresh connection too, so it is not about a cached plan
        return _wrong(state, error)
    if verdict is Verdict.ASTRAY:
        return SessionError(
            f"A prepared statement went astray (SQLSTATE {state}, {type(error).__name__}): if a "
            "pooler stands in between, set prepared=False."
        )
    if verdict is Verdict.WRONG:
        return _wrong(state, error)
    if verdict is Verdict.NODE_LOST:
        return NodeLostError(f"A node of the database cannot be reached (SQLSTATE {state}).")
    kind, reason = _REASONS.get(
        state, (StoreUnavailableError, f"The database cannot answer now (SQLSTATE {state}).")
    )
    return kind(reason)


def _wrong(state: str, error: psycopg.Error) -> SessionError:
    told = f"(SQLSTATE {state}, {type(error).__name__})"
    if state == _NO_PRIVILEGE:
        return SchemaError(
            "This role may not use the session table: grant it USAGE on the schema, and SELECT, "
            "INSERT, UPDATE and DELETE on the table (SQLSTATE 42501)."
        )
    if state in _SCHEMA:
        return SchemaError(
            f"The session table is not as it should be {told}; run `pgsession migrate`."
        )
    kind = RefusedValueError if state in _VALUE else SessionError
    return kind(f"The database refused a statement {told}.")
