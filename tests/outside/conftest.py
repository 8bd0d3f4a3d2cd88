"""The stores, and a site on each of them."""

import pytest

from pgsession import MemoryStore, PostgresStore, Store
from tests.outside.site import Site


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    """Each of the two stores."""
    if request.param == "memory":
        return MemoryStore()
    postgres: PostgresStore = request.getfixturevalue("postgres")
    return postgres


@pytest.fixture
def site(store: Store) -> Site:
    return Site(store)
