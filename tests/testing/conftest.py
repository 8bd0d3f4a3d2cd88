"""Both stores, and each kind of client, for an application with a few pages."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import httpx2
import pytest
from starlette.testclient import TestClient

from pgsession import MemoryStore, PostgresStore, Store
from pgsession.testing.databases import close
from tests.testing.site import ADDRESS, make_app


@pytest.fixture(params=["memory", "postgres"])
def make_store(request: pytest.FixtureRequest) -> Iterator[Callable[..., Store]]:
    """Makes a store with the given settings; it is closed after the test in its event loop."""
    if request.param == "memory":
        yield MemoryStore
        return
    url, schema = map(request.getfixturevalue, ("database_url", "migrated_schema"))
    made: list[PostgresStore] = []

    def make(**settings: Any) -> Store:
        made.append(PostgresStore(url, schema=schema, pool_size=2, **settings))
        return made[-1]

    yield make
    for store in made:
        close(store)


@pytest.fixture
def store(make_store: Callable[..., Store]) -> Store:
    """A store with default settings."""
    return make_store()


@pytest.fixture(params=["lifespan", "no-lifespan"])
def client(request: pytest.FixtureRequest, store: Store) -> Iterator[TestClient]:
    """A `TestClient` of the application, in ``with`` and without."""
    it = TestClient(make_app(store), base_url=ADDRESS)
    if request.param == "lifespan":
        with it:
            yield it
    else:
        yield it


@pytest.fixture(params=[httpx, httpx2], ids=lambda module: module.__name__)
async def async_client(request: pytest.FixtureRequest, store: Store) -> AsyncIterator[Any]:
    """An `AsyncClient` of the application. `Any` is one of both libraries'."""
    transport = request.param.ASGITransport(make_app(store))
    async with request.param.AsyncClient(transport=transport, base_url=ADDRESS) as it:
        yield it
    await store.close()
