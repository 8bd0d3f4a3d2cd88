"""Fixtures for the tests of examples/devices: browsers at the site, and its database."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from starlette.testclient import TestClient

from examples.devices import passwords
from examples.devices.site import make_app
from pgsession import SessionSettings
from tests.devices.visiting import FIREFOX, beside

Database = psycopg.Connection[tuple[object, ...]]


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash takes 0.2 s otherwise. tests/browser uses the site with its own cost."""
    monkeypatch.setattr(passwords, "COST", 2**8)


@pytest.fixture
def settings(database_url: str, migrated_schema: str) -> SessionSettings:
    return SessionSettings(
        database_url=database_url,
        schema=migrated_schema,
        secret_key="a secret of more than thirty-two bytes",
    )


@pytest.fixture
def visitor(settings: SessionSettings) -> Iterator[TestClient]:
    """A browser at the site."""
    agent = {"User-Agent": FIREFOX}
    with TestClient(make_app(settings), base_url="https://testserver", headers=agent) as client:
        yield client


@pytest.fixture
def other(visitor: TestClient) -> TestClient:
    """Another browser at the same site."""
    return beside(visitor)


@pytest.fixture
def database(database_url: str, migrated_schema: str) -> Iterator[Database]:
    """A connection to the tables of the site."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        path = sql.SQL("SET search_path TO {}").format(sql.Identifier(migrated_schema))
        connection.execute(path)
        yield connection
