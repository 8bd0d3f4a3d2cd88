"""Each of the two stores, for the laws that both keep."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from pgsession import MemoryStore, PostgresStore
from pgsession.core.users import UserStore


@pytest.fixture(params=["memory", "postgres"])
async def make_users(
    request: pytest.FixtureRequest, database_url: str, migrated_schema: str
) -> AsyncIterator[Callable[..., UserStore]]:
    """Makes a store that knows users, with the given settings."""
    async with AsyncExitStack() as stack:

        def make(**settings: Any) -> UserStore:
            store: UserStore = (
                MemoryStore(**settings)
                if request.param == "memory"
                else PostgresStore(database_url, schema=migrated_schema, pool_size=2, **settings)
            )
            stack.push_async_callback(store.close)
            return store

        yield make


@pytest.fixture
def users(make_users: Callable[..., UserStore]) -> UserStore:
    """A store that knows users, with default settings."""
    return make_users()
