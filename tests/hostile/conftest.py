"""Fixtures for these integration tests: one shared table, empty at the start of each test."""

import secrets
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from pgsession.postgres.schema import migrate
from tests.hostile.site import client, ear, framework, settings, store, witness

__all__ = ["client", "ear", "framework", "settings", "store", "witness"]


@pytest.fixture(scope="session")
def hostile_schema(database_url: str) -> Iterator[str]:
    """The name of a schema with the table, for all tests in this folder."""
    name = f"pgsession_test_{secrets.token_hex(8)}"
    migrate(database_url, schema=name)
    yield name
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


@pytest.fixture
def migrated_schema(database_url: str, hostile_schema: str) -> str:
    """The name of a schema whose table is empty."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        name = sql.Identifier(hostile_schema, "session")
        connection.execute(sql.SQL("DELETE FROM {}").format(name))
    return hostile_schema
