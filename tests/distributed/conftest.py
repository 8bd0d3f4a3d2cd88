"""The fixtures of the other tests, on a table that is distributed over a cluster."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from types import ModuleType
from typing import Any, Final, LiteralString

import psycopg
import pytest
from psycopg import Connection

from pgsession import PostgresStore
from pgsession.postgres.statements import text
from tests.concurrency.accounts import FOREIGN_KEYS, TABLES, execute
from tests.concurrency.conftest import either, long_patience
from tests.concurrency.witness import TIMEOUT, Witness
from tests.distributed.cluster import DistributedWitness, distributed_schema

__all__ = ["either", "long_patience"]  # fixtures

URL: Final = os.environ.get("SESSION_CITUS_URL", "")

#: A foreign key of a distributed table can refer to such tables only.
REFERENCE: Final[LiteralString] = """
SELECT create_reference_table('account'), create_reference_table('numbered_account')
"""

#: Tests of other directories that say nothing about a cluster, and why.
WITHOUT: Final = {
    "test_memory": "the memory store needs no cluster",
    "test_limit": "Citus takes no trigger on a distributed table; test_limits.py has another",
    "test_login_waits_for_the_account": "Citus locks rows of one copy of a reference table only",
    "test_deadlock": "Citus may roll back the other transaction, which the test does not repeat",
    "test_deadlock_at_the_end": "Citus may roll back the other transaction, as above",
    "test_expired_behind_table_lock": "Citus takes no time in a change but that of its start",
    "test_failed_commit": "Citus takes no trigger on a distributed table",
    "test_logout_after_failed_commit": "Citus takes no trigger on a distributed table",
    "test_locked_row": "Citus does not pass a block's lock_timeout on to its nodes",
    "test_reload_beside_renewal": "Citus takes no trigger on a distributed table",
}


def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class, name: str, obj: object
) -> pytest.Module | None:
    """Collect the tests of a module that a module of this directory imports as `test_...`.

    They get the fixtures of this directory. pytest looks for the fixtures of each
    module object once, so this one is a copy.
    """
    if not URL:
        pytest.skip("SESSION_CITUS_URL names no Citus coordinator", allow_module_level=True)
    if not isinstance(obj, ModuleType) or not name.startswith("test_"):
        return None
    module = ModuleType(obj.__name__, obj.__doc__)
    vars(module).update(vars(obj))
    node: pytest.Module = pytest.Module.from_parent(
        collector, path=collector.path, name=name, nodeid=f"{collector.nodeid}::{name}"
    )
    node.obj = module
    return node


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what says nothing about a cluster."""
    if isinstance(item, pytest.Function) and (reason := WITHOUT.get(item.originalname)):
        pytest.skip(reason)


@pytest.fixture(scope="session")
def database_url() -> str:
    """The conninfo of the coordinator."""
    return URL


@pytest.fixture(scope="session")
def schema_connection(database_url: str) -> Iterator[Connection]:
    """A connection to the coordinator that makes and drops the schemas."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def contract_schema(database_url: str) -> Iterator[str]:
    """The name of a schema with the table. The tests share it: each one uses its own keys."""
    with distributed_schema(database_url) as name:
        yield name


@pytest.fixture(scope="session")
def race_schema(contract_schema: str) -> str:
    """The same, which each `witness` empties."""
    return contract_schema


@pytest.fixture(scope="session")
def owned_schema(database_url: str) -> Iterator[str]:
    """The name of a schema with the table, whose sessions belong to accounts on every node."""
    with distributed_schema(database_url) as name:
        execute(database_url, name, *TABLES, REFERENCE, *FOREIGN_KEYS)
        yield name


@pytest.fixture
def migrated_schema(database_url: str) -> Iterator[str]:
    """The name of a schema for this test that contains the table."""
    with distributed_schema(database_url) as name:
        yield name


@pytest.fixture
async def witness(database_url: str, race_schema: str) -> AsyncIterator[Witness]:
    """Other connections to the table in `contract_schema`, which is empty."""
    async with DistributedWitness.on(database_url, race_schema) as witness:
        yield witness


@pytest.fixture
async def make_store(
    database_url: str, race_schema: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., PostgresStore]]:
    """Return a function that makes stores, each with its own pool, which the witness sees.

    A statement that meets a locked row waits until the witness has seen it: to ask
    all nodes may take longer than a statement waits otherwise.
    """
    monkeypatch.setattr(text, "PATIENCE", TIMEOUT)
    async with AsyncExitStack() as stack:

        def make(**settings: Any) -> PostgresStore:
            store = PostgresStore(
                database_url,
                schema=race_schema,
                application_name=f"{race_schema}_store",
                **settings,
            )
            stack.push_async_callback(store.close)
            return store

        yield make


@pytest.fixture
def store(make_store: Callable[..., PostgresStore]) -> PostgresStore:
    """A store with default settings."""
    return make_store()


@pytest.fixture
def hammer_options() -> list[str]:
    """More options for `hammer.py`."""
    return ["--distributed"]
