"""Aging: the times of a session are moved into the past, in the store and in its cookie."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import Final

from psycopg import sql

from pgsession.core.cookie import FoundCookie
from pgsession.core.keys import digest
from pgsession.core.store import Store
from pgsession.errors import SessionNotFoundError, SettingsError
from pgsession.memory.rows import Row
from pgsession.memory.store import MemoryStore
from pgsession.postgres.connections.connection import Connection, cursor_of
from pgsession.postgres.store import PostgresStore
from pgsession.testing.applications import middleware_of
from pgsession.testing.clients import Browser
from pgsession.testing.visits import policy_of

#: The columns of the table that say when something was or will be.
COLUMNS: Final = (
    "created_on",
    "expire_date",
    "seen_on",
    "shown_on",
    "renewed_on",
    "login_on",
    "device_registered_on",
    "device_proved_on",
)

_EARLIER: Final = sql.SQL(
    "{column} = {column} OPERATOR(pg_catalog.-) "
    "pg_catalog.make_interval(secs => %(seconds)s::pg_catalog.float8)"
)

_AGE: Final = sql.SQL("""
UPDATE {table}
SET {earlier}
WHERE session_key OPERATOR(pg_catalog.=) %(selector)s::pg_catalog.text
""")


async def make_older(browser: Browser, by: timedelta) -> None:
    """Make the session of a client's cookie older, in the store and in the cookie's text.

    Raises `SessionNotFoundError` unless it is alive.
    """
    policy = policy_of(middleware_of(browser.app))
    cookie, store = policy.cookie, policy.store
    living = [
        found
        for found in cookie.find(browser.scope(cookie)["headers"])
        if await store.get(found.key) is not None
    ]
    if not living:
        raise SessionNotFoundError("The client has no living session that could grow older.")
    for found in living:
        await _age_row(store, digest(found.key), by)
        if found.until is not None:
            text = cookie.write(found.key, _left(found, by), number=found.number)
            browser.keep([text], cookie)


def _left(found: FoundCookie, by: timedelta) -> timedelta | None:
    """Return how long a browser keeps the cookie then; None if it would have dropped it."""
    left = timedelta(seconds=(found.until or 0) - int(time.time())) - by
    return left if left > timedelta(0) else None


async def _age_row(store: Store, selector: str, by: timedelta) -> None:
    if isinstance(store, PostgresStore):
        await _age_in_postgres(store, selector, by)
    elif isinstance(store, MemoryStore):
        rows = store._rows  # noqa: SLF001 - of this package
        rows[selector] = _aged(rows[selector], by.total_seconds())
    else:
        raise SettingsError(
            f"age() knows the rows of PostgresStore and MemoryStore, not those of "
            f"{type(store).__name__}."
        )


async def _age_in_postgres(store: PostgresStore, selector: str, by: timedelta) -> None:
    earlier = (_EARLIER.format(column=sql.Identifier(column)) for column in COLUMNS)
    statement = _AGE.format(
        table=store._name.identifier,  # noqa: SLF001 - of this package
        earlier=sql.SQL(", ").join(earlier),
    )

    async def execute(connection: Connection) -> None:
        parameters = {"seconds": by.total_seconds(), "selector": selector}
        await cursor_of(connection).execute(statement, parameters, prepare=False)

    runner = store._here().runner  # noqa: SLF001 - of this package
    await runner.run(execute, idempotent=False)


def _aged(row: Row, seconds: float) -> Row:
    """Return a row of the store in memory, as it would be so many seconds later."""
    user = row.user
    return replace(
        row,
        created_at=row.created_at - seconds,
        seen_at=row.seen_at - seconds,
        expire_at=row.expire_at - seconds,
        shown_at=None if row.shown_at is None else row.shown_at - seconds,
        renewed_at=None if row.renewed_at is None else row.renewed_at - seconds,
        user=None if user is None else replace(user, proved_at=user.proved_at - seconds),
    )
