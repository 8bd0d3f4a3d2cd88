"""The simplest store: each call is one statement through the pool."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from pgsession import Changes, Entry, SessionNotFoundError, Store, Written
from pgsession.core.keys import digest, new_key
from pgsession.core.period import Period, as_period
from pgsession.core.store import DEFAULT_EXCLUSIVE_TIMEOUT
from pgsession.core.value import DEFAULT_VALUE_LIMIT, JSON

GET = """
SELECT session_data::text, extract(epoch FROM expire_date - now())::float8
FROM session
WHERE session_key = %s
  AND expire_date > now()
"""

GENERATE = """
INSERT INTO session (session_key, session_data, expire_date)
VALUES (%s, %s, now() + make_interval(secs => %s))
"""

MERGE = """
UPDATE session
SET session_data = (coalesce(session_data, '{}'::jsonb) - %s::text[]) || %s::jsonb,
    expire_date = coalesce(now() + make_interval(secs => %s::float8), expire_date)
WHERE session_key = %s
  AND expire_date > now()
"""

RENEW = """
UPDATE session
SET session_key = %s
WHERE session_key = %s
  AND expire_date > now()
"""

CLEAR = """
DELETE FROM session
WHERE session_key = %s
"""


class NaiveStore(Store):
    """A store without batching. It implements only the methods that are measured."""

    max_lifetime = None
    max_inactivity = None
    value_limit = DEFAULT_VALUE_LIMIT

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection[Any]]) -> None:
        self._pool = pool
        self._default_period = timedelta(days=7)

    @property
    def default_period(self) -> timedelta:
        """The period used if a call gives none."""
        return self._default_period

    @default_period.setter
    def default_period(self, period: Period) -> None:
        self._default_period = as_period(period)

    async def open(self) -> bool:
        was_closed = self._pool.closed
        await self._pool.open(wait=True)
        return was_closed

    async def close(self) -> None:
        await self._pool.close()

    async def get(self, key: str) -> Entry | None:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(GET, (digest(key),), prepare=True)
            row = await cursor.fetchone()
        if row is None:
            return None
        return Entry(json.loads(row[0]), timedelta(seconds=row[1]))

    async def get_newest(self, keys: Sequence[str]) -> tuple[str, Entry] | None:
        raise NotImplementedError

    async def generate(
        self,
        value: Mapping[str, JSON] | None = None,
        *,
        period: Period | None = None,
        granted: bool = False,  # noqa: ARG002
    ) -> str:
        key = new_key()
        length = self._default_period if period is None else as_period(period)
        arguments = (digest(key), json.dumps(value), length.total_seconds())
        async with self._pool.connection() as connection:
            await connection.execute(GENERATE, arguments, prepare=True)
        return key

    async def merge(
        self,
        key: str,
        changes: Changes,
        *,
        period: Period | None = None,
        granted: bool | None = None,  # noqa: ARG002
    ) -> Written:
        seconds = None if period is None else as_period(period).total_seconds()
        arguments = (list(changes.removed), json.dumps(changes.set), seconds, digest(key))
        await self._change(MERGE, arguments)
        return Written()

    async def touch(
        self, key: str, *, period: Period | None = None, granted: bool | None = None
    ) -> Written:
        period = period or self._default_period
        return await self.merge(key, Changes(), period=period, granted=granted)

    async def set(
        self,
        key: str,
        value: Mapping[str, JSON],
        *,
        period: Period | None = None,
        granted: bool | None = None,
    ) -> Written:
        raise NotImplementedError

    async def renew(
        self,
        key: str,
        changes: Changes | None = None,  # noqa: ARG002
        *,
        period: Period | None = None,  # noqa: ARG002
        granted: bool | None = None,  # noqa: ARG002
    ) -> str:
        heir = new_key()
        await self._change(RENEW, (digest(heir), digest(key)))
        return heir

    async def rotate(self, key: str, number: int, *, grace: Period) -> int:
        raise NotImplementedError

    async def show(self, key: str, number: int) -> None:
        raise NotImplementedError

    async def clear(
        self,
        key: str,
        *more: str,  # noqa: ARG002
        only_if_empty: bool = False,  # noqa: ARG002
    ) -> bool:
        async with self._pool.connection() as connection:
            await connection.execute(CLEAR, (digest(key),), prepare=True)
        return True

    async def take(self, key: str, name: str, default: JSON = None) -> JSON:
        raise NotImplementedError

    @asynccontextmanager
    async def exclusive(
        self,
        key: str,  # noqa: ARG002
        *,
        timeout: Period = DEFAULT_EXCLUSIVE_TIMEOUT,  # noqa: ARG002
    ) -> AsyncIterator[Store]:
        yield self

    async def _change(self, statement: str, arguments: tuple[object, ...]) -> None:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(statement.encode(), arguments, prepare=True)
        if cursor.rowcount != 1:
            raise SessionNotFoundError
