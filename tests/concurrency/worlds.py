"""Stores that are driven step by step from outside their event loop, with access to their rows."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, Final, TypeVar

import psycopg

from pgsession import Store
from pgsession.asgi.policy import Policy
from pgsession.core.cookie import Cookie
from pgsession.core.keys import digest
from tests.concurrency.visits import SECRET

_T = TypeVar("_T")

NEVER: Final = timedelta(days=36_525)


class World:
    """A store that is driven from outside its event loop, with access to its rows."""

    def __init__(self, runner: asyncio.Runner, store: Store) -> None:
        self.runner = runner
        self.store = store
        self.policy = Policy(
            store=store, cookie=Cookie(secret_keys=[SECRET]), max_age="default", touch_after=NEVER
        )

    def run(self, operation: Coroutine[Any, Any, _T]) -> _T:
        """Run an operation until it completes."""
        return self.runner.run(operation)

    def expire(self, key: str) -> None:
        """Make a living session expire."""
        self.run(self.store.touch(key, period=-1))

    def sweep(self) -> None:
        """Remove expired rows."""

    def count(self) -> int | None:
        """Return the number of rows, or None if it is not known."""
        return None

    def empty(self) -> None:
        """Remove everything."""


class PostgresWorld(World):
    """A PostgreSQL store whose rows are edited and swept through another connection."""

    def __init__(
        self, runner: asyncio.Runner, store: Store, connection: psycopg.Connection
    ) -> None:
        super().__init__(runner, store)
        self._connection = connection

    def expire(self, key: str) -> None:
        self._connection.execute(
            "UPDATE session SET expire_date = now() - interval '1 us' WHERE session_key = %s",
            (digest(key),),
        )

    def sweep(self) -> None:
        self._connection.execute("DELETE FROM session WHERE expire_date <= now()")

    def count(self) -> int | None:
        found = self._connection.execute(
            "SELECT count(*) FROM session WHERE expire_date > now()"
        ).fetchone()
        assert found is not None
        return int(found[0])

    def empty(self) -> None:
        self._connection.execute("DELETE FROM session")
