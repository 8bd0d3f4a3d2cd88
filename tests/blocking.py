"""Statements that wait for the table, as another connection holds it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import Connection


@contextmanager
def blocked(table: Connection) -> Iterator[None]:
    """Let every statement on the table wait until the end of the block."""
    table.execute("BEGIN")
    table.execute("LOCK TABLE session")
    try:
        yield
    finally:
        table.execute("COMMIT")


def blocked_pids(table: Connection) -> list[int]:
    """Return the server's processes whose statements wait for the table."""
    query = "SELECT pid FROM pg_locks WHERE relation = 'session'::regclass AND NOT granted"
    return [pid for (pid,) in table.execute(query)]


def cancel_blocked(table: Connection) -> None:
    """Let the server cancel the statements that wait for the table."""
    for pid in blocked_pids(table):
        table.execute("SELECT pg_cancel_backend(%s)", (pid,))


def terminate_blocked(table: Connection) -> None:
    """End the server's processes whose statements wait for the table."""
    for pid in blocked_pids(table):
        table.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


async def until_blocked(table: Connection, count: int = 1) -> None:
    """Wait until so many statements wait for the table."""
    async with asyncio.timeout(20):
        while len(blocked_pids(table)) != count:  # noqa: ASYNC110 - there is no event to await
            await asyncio.sleep(0.001)
