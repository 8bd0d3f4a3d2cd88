"""What the driver's errors mean.

psycopg's classes mislead (a demoted primary is an InternalError, nesting too
deep an OperationalError), so errors are told apart by their SQLSTATE; those of
the pool have none.
"""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from pgsession.errors import (
    SchemaError,
    SessionError,
    StoreBusyError,
    StoreClosedError,
    StoreUnavailableError,
)

#: How an SQLSTATE begins that means "not now": connection, resources, shutdown and cancelling,
#: locked, read-only (a demoted primary), serialization, deadlock.
_UNAVAILABLE: Final = ("08", "53", "57", "55P03", "25006", "25P03", "40001", "40P01")

#: Deadlock and serialization failure.
_ROLLED_BACK: Final = frozenset({"40P01", "40001"})

_NO_PRIVILEGE: Final = "42501"

#: SQLSTATEs that mean that the table is not as it should be.
_SCHEMA: Final = frozenset({"3F000", "42P01", "42703", "42804", "42883", "22001", "23514"})


def is_rolled_back(error: psycopg.Error) -> bool:
    """Tell whether the server undid a statement for the sake of others, so that it may go again."""
    return error.sqlstate in _ROLLED_BACK


def translated(error: psycopg.Error) -> SessionError:
    """Return our error for the driver's. Its text is ours: the driver quotes parameters."""
    match error:
        case PoolTimeout() | TooManyRequests():
            return StoreBusyError("No connection to the database was free in time. Try again.")
        case PoolClosed():
            return StoreClosedError("The store's pool of connections is closed.")
    state = error.sqlstate
    if state is None:
        return _without_state(error)
    if state.startswith(_UNAVAILABLE):
        return StoreUnavailableError(f"The database cannot answer now (SQLSTATE {state}).")
    if state == _NO_PRIVILEGE:
        return SchemaError(
            "This role may not use the session table: grant it USAGE on the schema, and SELECT, "
            "INSERT, UPDATE and DELETE on the table (SQLSTATE 42501)."
        )
    if state in _SCHEMA:
        return SchemaError(
            "The session table is not as it should be "
            f"(SQLSTATE {state}, {type(error).__name__}); run `pgsession migrate`."
        )
    return SessionError(
        f"The database refused a statement (SQLSTATE {state}, {type(error).__name__})."
    )


def _without_state(error: psycopg.Error) -> SessionError:
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return StoreUnavailableError("The connection to the database failed. Try again.")
    return SessionError(f"The driver refused a statement: {type(error).__name__}.")
