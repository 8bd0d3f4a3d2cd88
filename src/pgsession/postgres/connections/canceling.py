"""A time limit for a statement that does not lose its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import psycopg
from psycopg.errors import LockNotAvailable, QueryCanceled

from pgsession.postgres.connections.connection import Connection

#: Seconds that the server has to take a request to cancel.
_TIMEOUT: Final = 2.0


@asynccontextmanager
async def canceling_after(connection: Connection, seconds: float) -> AsyncIterator[None]:
    """Let the server cancel the statement that the block executes if it takes longer.

    Raises `LockNotAvailable` if it did so; then the statement has changed
    nothing. If it was too late for that, the block gets the answer as usual. If
    the block were cancelled instead, psycopg would drop an answer that arrives
    meanwhile, and what the statement has changed would be unknown.
    """
    asking: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()
    timer = loop.call_later(
        seconds, lambda: asking.append(loop.create_task(_ask_to_cancel(connection)))
    )
    try:
        yield
    except QueryCanceled:
        if not asking:
            raise
        raise LockNotAvailable from None
    finally:
        timer.cancel()
        if asking:  # else it might cancel the next statement
            await asyncio.wait(asking)


async def _ask_to_cancel(connection: Connection) -> None:
    with suppress(psycopg.Error):  # then the statement goes on
        await connection.cancel_safe(timeout=_TIMEOUT)
