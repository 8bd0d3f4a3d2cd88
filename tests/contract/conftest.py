"""The stores that the contract tests run against."""

import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import psycopg
import pytest
from psycopg import sql

from pgsession import MemoryStore, PostgresStore, Store
from pgsession.postgres.schema import migrate

#: What the stores are told about prepared statements; by default they find out.
PREPARED = {"": None, "true": True, "false": False}[os.environ.get("PGSESSION_TEST_PREPARED", "")]


@pytest.fixture(scope="session")
def contract_schema(database_url: str) -> Iterator[str]:
    """The name of a schema with the table. The tests share it: each one uses its own keys."""
    name = f"pgsession_test_{secrets.token_hex(8)}"
    migrate(database_url, schema=name)
    yield name
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


@pytest.fixture(params=["memory", "postgres"])
async def make_store(
    request: pytest.FixtureRequest, database_url: str, contract_schema: str
) -> AsyncIterator[Callable[..., Store]]:
    """Makes a store with the given settings."""
    async with AsyncExitStack() as stack:

        def make(**settings: Any) -> Store:
            store: Store = (
                MemoryStore(**settings)
                if request.param == "memory"
                else PostgresStore(
                    database_url,
                    schema=contract_schema,
                    pool_size=1,
                    prepared=PREPARED,
                    **settings,
                )
            )
            stack.push_async_callback(store.close)
            return store

        yield make


@pytest.fixture
def store(make_store: Callable[..., Store]) -> Store:
    """A store with default settings."""
    return make_store()
