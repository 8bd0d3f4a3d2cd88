"""A connection outside the pool, for work that must not take the place of a request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict

from pgsession.errors import SessionError, StoreUnavailableError
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.connections.deadline import Deadline
from pgsession.postgres.connections.failures import translated

_T = TypeVar("_T")


class Dedicated:
    """Runs work on one connection, each piece for `patience` seconds at most."""

    def __init__(self, connection: Connection, *, patience: float) -> None:
        self._connection = connection
        self._patience = patience

    async def run(
        self,
        work: Callable[[Connection], Awaitable[_T]],
        *,
        idempotent: bool = True,  # noqa: ARG002 - there is no other connection to try it on
    ) -> _T:
        """Return what `work` returns, its driver's errors translated into ours."""
        deadline = Deadline(self._patience)
        try:
            with deadline:
                return await work(self._connection)
        except TimeoutError:
            if not deadline.strikes:
                raise
            failure: SessionError = StoreUnavailableError(
                "The database did not answer in time. Try again."
            )
        except psycopg.Error as error:
            failure = translated(error)
        raise failure


@asynccontextmanager
async def dedicated(conninfo: str, *, purpose: str, patience: float) -> AsyncIterator[Dedicated]:
    """Connect, in autocommit, nothing prepared; yield what runs work there; close.

    The `purpose` stands in pg_stat_activity, after the application's name.
    Raises `StoreUnavailableError` saying why the database cannot be reached.
    """
    name = f"{conninfo_to_dict(conninfo).get('application_name', 'pgsession')} {purpose}"
    try:
        connection = await AsyncConnection.connect(
            conninfo, autocommit=True, prepare_threshold=None, application_name=name
        )
    except psycopg.OperationalError as error:
        reason = " ".join(str(error).split())
        failure = StoreUnavailableError(f"PostgreSQL cannot be reached: {reason}")
    else:
        async with connection:
            yield Dedicated(connection, patience=patience)
        return
    # Not from the driver's error, which holds the conninfo, password and all.
    raise failure
