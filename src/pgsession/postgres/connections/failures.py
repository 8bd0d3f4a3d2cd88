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
from pgsession.postgres.connections.reasons import Reason, reason_of


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
        (
            "The database takes no writes now: it is a standby, or read-only (SQLSTATE 25006). "
            "Name the primary, or reset default_transaction_read_only where `pgsession check` says "
            "that it is set."
        ),
    ),
    "55P03": (
        LockedRowError,
        "Another transaction held the session for too long (SQLSTATE 55P03). Try again.",
    ),
    "57014": (
        StatementCanceledError,
        (
            "The database canceled a statement, probably because of a statement_timeout that the "
            "role, the database or the server sets (SQLSTATE 57014). ALTER ROLE … SET "
            "statement_timeout = '10s' gives it time."
        ),
    ),
    "53100": (
        StoreUnavailableError,
        "The disk of the database is full (SQLSTATE 53100). Make room on it.",
    ),
    "53300": (
        StoreUnavailableError,
        (
            "The database has no connection left (SQLSTATE 53300). Start fewer processes, make "
            "pool_size smaller, or raise max_connections."
        ),
    ),
}

_NO_PRIVILEGE: Final = "42501"

#: What PostgreSQL says then in English: the kind and the name, and not the privilege.
_DENIED: Final = r"permission denied for ((?:table|schema|view|function) .+)"

#: SQLSTATEs of a foreign key, and of text that a computed column cannot turn into its type.
_VALUE: Final = frozenset({"23503", "22P02", "22003", "22007", "22008"})

#: SQLSTATEs that mean that the table is not as it should be.
_SCHEMA: Final = frozenset({"3F000", "42P01", "42703", "42804", "42883", "22001", "23514"})


#: How each error of connecting begins.
_UNREACHABLE: Final = "PostgreSQL cannot be reached: "

#: How each error of a pooler begins that comes after it has accepted the connection.
_OF_POOLER: Final = "The pooler has ended the connection: "

#: PgBouncer's SQLSTATE for each of its own errors.
_PROTOCOL: Final = "08P01"

#: The hints of libpq, in whose place our remedy stands.
_HINT: Final = r" Is the server running .*?\?| This probably means .* request\."


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


def unreachable(error: psycopg.Error) -> StoreUnavailableError:
    """Return our error for one of connecting, with libpq's reason and what to do about it.

    It is `StoreRejectedError` if every host that was tried rejects the connection
    for a reason that does not pass by itself. Reasons are told apart by their
    English text, as there is no SQLSTATE. A pooler's own errors are among them, though they
    may come with the first statement: it accepts a connection before it has one to the server.
    """
    text = re.sub(_HINT, "", " ".join(str(error).split())).rstrip(".")
    head = _UNREACHABLE
    if is_of_pooler(error):
        head, text = _OF_POOLER, f"{error.diag.severity}: {text}"
    reason, attempt = _decisive(head + text)
    kind = StoreUnavailableError if reason.may_pass else StoreRejectedError
    return kind(f"{head}{text}; {reason.remedy_for(attempt)}")


def is_of_pooler(error: psycopg.Error) -> bool:
    """Tell whether a statement's error is a pooler's own. Its text holds no values.

    PgBouncer ends the connection with each of its errors, and PostgreSQL only with those of its
    own about the protocol: a statement's function can raise this SQLSTATE, but not FATAL.
    """
    return error.sqlstate == _PROTOCOL and error.diag.severity == "FATAL"


def explained(error: StoreUnavailableError) -> tuple[str, str, str] | None:
    """Return what an error of `unreachable` says, what to do, and the name of the reason.

    None for any other error.
    """
    text, _, remedy = str(error).rpartition("; ")
    if not text.startswith((_UNREACHABLE, _OF_POOLER)):
        return None
    return text, remedy, _decisive(text)[0].name


def _decisive(text: str) -> tuple[Reason, str]:
    """Return the reason that counts, and the part of the text that tells it.

    With several hosts, one that may answer later counts more than one that rejects.
    """
    attempts = [(reason_of(part), part) for part in text.split(" - host: ")[1:] or [text]]
    # PostgreSQL may listen on only one of the two addresses of localhost.
    telling = [each for each in attempts if "'localhost'" not in each[1]]
    rejected = [each for each in attempts if not each[0].may_pass]
    passing = [each for each in telling if each[0].may_pass]
    return [*passing, *rejected, *attempts][0]


def translated(error: psycopg.Error) -> SessionError:
    """Return our error for the driver's. The text is our own: the driver's quotes parameters.

    Only a pooler's own text is passed on, as it holds none.
    """
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
    if is_of_pooler(error):
        return unreachable(error)
    if verdict is Verdict.NODE_LOST:
        return NodeLostError(f"A node of the database cannot be reached (SQLSTATE {state}).")
    kind, reason = _REASONS.get(
        state, (StoreUnavailableError, f"The database cannot answer now (SQLSTATE {state}).")
    )
    return kind(reason)


def public(error: SessionError) -> SessionError:
    """Return the error that the application gets: `LockedRowError` is none of its."""
    return SessionBusyError(str(error)) if isinstance(error, LockedRowError) else error


def _wrong(state: str, error: psycopg.Error) -> SessionError:
    named = f"(SQLSTATE {state}, {type(error).__name__})"
    if state == _NO_PRIVILEGE:
        denied = re.fullmatch(_DENIED, error.diag.message_primary or "")
        return SchemaError(
            f"This role lacks a privilege on the {denied[1] if denied else 'session table'} "
            "(SQLSTATE 42501): `pgsession check` names it, with the GRANT for a role that serves."
        )
    if state in _SCHEMA:
        return SchemaError(
            f"The session table is not as it should be {named}; run `pgsession migrate`."
        )
    kind = RefusedValueError if state in _VALUE else SessionError
    return kind(f"The database refused a statement {named}.")
