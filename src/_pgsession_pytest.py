"""The pytest plugin: databases and stores for tests.

It stands beside the package, as pytest loads plugins in every run, and before coverage is measured:
whatever it imports from `pgsession` would import psycopg and Starlette too. So only a fixture
imports it, when a test uses it.
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import pytest

if TYPE_CHECKING:
    from pgsession import MemoryStore, PostgresStore

#: The folder of the server that all workers of a run of pytest-xdist share.
_FOLDER: Final = "pgsession_folder"

_SHARED: Final = pytest.StashKey[Path]()


class Node(Protocol):
    """A worker of pytest-xdist, as the process sees it that has started it."""

    config: pytest.Config
    workerinput: dict[str, str]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Node) -> None:
    """Tell a worker of pytest-xdist the folder of the server, which its first user makes."""
    stash = node.config.stash
    if _SHARED not in stash:
        stash[_SHARED] = Path(tempfile.gettempdir(), f"pgsession-{uuid.uuid4().hex}")
    node.workerinput[_FOLDER] = str(stash[_SHARED])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove that folder after the run; the last worker has stopped the server."""
    if _SHARED in config.stash:
        shutil.rmtree(config.stash[_SHARED], ignore_errors=True)


@pytest.fixture(scope="session")
def pgsession_database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The conninfo of SESSION_DATABASE_URL, or of an embedded PostgreSQL that runs for the tests.

    The workers of pytest-xdist share one server.
    """
    from pgsession import SettingsError  # noqa: PLC0415 - see above
    from pgsession.testing.databases import database  # noqa: PLC0415

    folder = getattr(request.config, "workerinput", {}).get(_FOLDER)
    with ExitStack() as stack:
        try:
            conninfo = stack.enter_context(database(folder and Path(folder)))
        except SettingsError as error:
            pytest.fail(str(error), pytrace=False)
        yield conninfo


@pytest.fixture
def pgsession_schema(pgsession_database_url: str) -> Iterator[str]:
    """The name of a schema for this test alone that has the table; it is dropped afterwards."""
    from pgsession.testing.databases import migrated_schema  # noqa: PLC0415 - see above

    with migrated_schema(pgsession_database_url) as name:
        yield name


@pytest.fixture
def pgsession_store(pgsession_database_url: str, pgsession_schema: str) -> Iterator[PostgresStore]:
    """A `PostgresStore` on a table for this test alone.

    It opens in the event loop that first uses it.
    """
    from pgsession import PostgresStore  # noqa: PLC0415 - see above
    from pgsession.testing.databases import close  # noqa: PLC0415

    store = PostgresStore(pgsession_database_url, schema=pgsession_schema, sweep_every=None)
    yield store
    close(store)


@pytest.fixture
def pgsession_memory_store() -> MemoryStore:
    """A `MemoryStore` for this test alone."""
    from pgsession import MemoryStore  # noqa: PLC0415 - see above

    return MemoryStore()
