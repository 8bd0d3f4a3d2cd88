"""A table for races, and stores whose connections can be identified."""

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql

from pgsession import MemoryStore, PostgresStore, Store
from pgsession.postgres.schema import migrate
from pgsession.postgres.statements import text
from tests.concurrency.accounts import FOREIGN_KEYS, TABLES, execute
from tests.concurrency.witness import Witness


@contextmanager
def migrated(database_url: str) -> Iterator[str]:
    """Make a schema with the table, and drop it at the end; yield its name."""
    name = f"pgsession_test_{secrets.token_hex(8)}"
    migrate(database_url, schema=name)
    yield name
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def race_schema(database_url: str) -> Iterator[str]:
    """The name of a schema with the table, which each `witness` empties."""
    with migrated(database_url) as name:
        yield name


@pytest.fixture(scope="session")
def owned_schema(database_url: str) -> Iterator[str]:
    """The name of a schema with the table, whose sessions belong to accounts."""
    with migrated(database_url) as name:
        execute(database_url, name, *TABLES, *FOREIGN_KEYS)
        yield name


@pytest.fixture
def long_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements of the stores wait for a locked row until it is free, so races have an order."""
    monkeypatch.setattr(text, "PATIENCE", 60.0)


@pytest.fixture
async def witness(database_url: str, race_schema: str) -> AsyncIterator[Witness]:
    """Other connections to the table in `race_schema`, which is empty."""
    async with Witness.on(database_url, race_schema) as witness:
        yield witness


@pytest.fixture
async def make_store(
    database_url: str, race_schema: str, witness: Witness
) -> AsyncIterator[Callable[..., PostgresStore]]:
    """Return a function that makes stores, each with its own pool, which the witness sees."""
    async with AsyncExitStack() as stack:

        def make(**settings: Any) -> PostgresStore:
            store = PostgresStore(
                database_url, schema=race_schema, application_name=witness.name, **settings
            )
            stack.push_async_callback(store.close)
            return store

        yield make


@pytest.fixture
def store(make_store: Callable[..., PostgresStore]) -> PostgresStore:
    """A store with default settings."""
    return make_store()


@pytest.fixture(params=["memory", "postgres"])
def either(request: pytest.FixtureRequest, store: PostgresStore) -> Store:
    """Each of the two stores."""
    return MemoryStore() if request.param == "memory" else store


@pytest.fixture
def hammer_options() -> list[str]:
    """More options for `hammer.py`."""
    return []
