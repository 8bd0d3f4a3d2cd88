"""Fixtures for all tests: a database, a schema for each test, and the table in it."""

import gc
import importlib
import os
import pkgutil
import secrets
import sys
import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg import Connection, sql

import pgsession
from pgsession.postgres.embedded import embedded_server
from pgsession.postgres.schema import migrations
from tests.applications import converse, cookie_of, secret_key, visit
from tests.dumps import dumped
from tests.stores import (
    closed_port,
    counted,
    end_connections,
    point,
    postgres,
    statements,
    table,
)

#: Fixtures that other modules define.
__all__ = [
    "closed_port",
    "converse",
    "cookie_of",
    "counted",
    "end_connections",
    "point",
    "postgres",
    "secret_key",
    "statements",
    "table",
    "visit",
]


#: The folders whose files take longest. They come first: no process is left alone at the end.
LONGEST: Final = ("browser", "project", "concurrency", "faults", "postgres", "hostile")

#: The folders and files whose tests run the lines of the source that other tests run too, often
#: thousands of times. Measuring their coverage would take as long as they take.
UNMEASURED: Final = {
    "browser",
    "concurrency/test_history.py",
    "concurrency/test_lifetimes.py",
    "concurrency/test_parallel_logins.py",
    "concurrency/test_revocation.py",
    "faults/test_alterations.py",
    "faults/test_killed.py",
    "hostile",
    "matrix",
    "monitoring",
}


def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes run the tests: most tests wait for servers and browsers."""
    return min(8, (os.cpu_count() or 1) * 2 + 1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the tests by folder; those of a file stay in order."""

    def rank(item: pytest.Item) -> int:
        folder = item.path.relative_to(config.rootpath).parts[1]
        return LONGEST.index(folder) if folder in LONGEST else len(LONGEST)

    items.sort(key=rank)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect the tests without coverage and garbage collections, in less than half the time.

    Each process imports all test modules. What they import of the source is imported before.
    """
    if sys.gettrace() is not None:
        for module in pkgutil.walk_packages(pgsession.__path__, "pgsession."):
            importlib.import_module(module.name)
    gc.disable()
    try:
        with unmeasured():
            return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """Leave what is there before the first test out of all garbage collections.

    It stays until the end, and some tests collect several times.
    """
    gc.collect()
    gc.freeze()


@contextmanager
def unmeasured() -> Iterator[None]:
    """Measure no coverage in the block."""
    tracer, of_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)
        threading.settrace(of_threads)


@pytest.fixture(scope="module", autouse=True)
def measured(request: pytest.FixtureRequest) -> Iterator[None]:
    """Measures the coverage of a module, unless other tests run all its lines."""
    file = request.path.relative_to(request.config.rootpath / "tests")
    if not UNMEASURED.isdisjoint({file.parts[0], file.as_posix()}):
        with unmeasured():
            yield
    else:
        yield


@pytest.fixture
def untraced() -> Iterator[None]:
    """Measures no coverage of a test that runs the same lines thousands of times.

    That takes most of their time, and other tests run these lines too.
    """
    with unmeasured():
        yield


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """The conninfo of SESSION_DATABASE_URL, or of a server that runs until the tests end."""
    url = os.environ.get("SESSION_DATABASE_URL")
    if url:
        yield url
        return
    with (
        tempfile.TemporaryDirectory(prefix="pgsession-") as folder,
        embedded_server(Path(folder, "data")) as conninfo,
    ):
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")  # tests/faults has durable servers
            connection.execute("SELECT pg_reload_conf()")
        yield conninfo


@pytest.fixture(scope="session")
def schema_connection(database_url: str) -> Iterator[Connection]:
    """A connection that makes and drops the schemas: a new one reads the catalogs each time."""
    options = "-c lock_timeout=60s"  # a test that leaves a lock fails by itself
    with psycopg.connect(database_url, options=options, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def table_statements(database_url: str, schema_connection: Connection) -> str:
    """The statements that make the table in a schema named SCHEMA, to run as one message.

    Those of the migrations take three times as long. They run on a server of others, which may be
    too new for the `pg_dump` that is here.
    """
    applied = "".join(each.sql for each in migrations())
    statements = f"SET search_path TO SCHEMA; {applied} RESET search_path"
    if os.environ.get("SESSION_DATABASE_URL"):
        return statements
    with new_schema(schema_connection) as name:
        schema_connection.execute(statements.replace("SCHEMA", name, 1).encode())
        dump = dumped(database_url, name).replace(f"{name}.", "SCHEMA.")
    return f"{dump} ANALYZE SCHEMA.session"  # as the migrations do


@contextmanager
def new_schema(connection: Connection) -> Iterator[str]:
    """Make an empty schema, drop it at the end, and yield its name."""
    name = f"pgsession_test_{secrets.token_hex(8)}"
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
    yield name
    connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


@pytest.fixture
def schema(schema_connection: Connection) -> Iterator[str]:
    """The name of an empty schema for this test, dropped afterwards."""
    with new_schema(schema_connection) as name:
        yield name


@pytest.fixture
def migrated_schema(schema_connection: Connection, schema: str, table_statements: str) -> str:
    """The name of a schema for this test that contains the table.

    tests/postgres tests `migrate`, and that it makes the same table.
    """
    schema_connection.execute(table_statements.replace("SCHEMA", schema).encode())
    return schema
