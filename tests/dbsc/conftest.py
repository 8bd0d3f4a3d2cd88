"""The stores that bind sessions, and a site on each of them."""

import pytest
from starlette.types import ASGIApp

from pgsession import (
    MemoryStore,
    PostgresStore,
)
from pgsession.core.bound import BindingStore
from tests.dbsc.site import site


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> BindingStore:
    """Each of the two stores."""
    if request.param == "memory":
        return MemoryStore()
    postgres: PostgresStore = request.getfixturevalue("postgres")
    return postgres


@pytest.fixture
def app(store: BindingStore) -> ASGIApp:
    return site(store)
