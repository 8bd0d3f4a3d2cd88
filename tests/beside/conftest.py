"""The database for libraries that stand beside pgsession in an application."""

import pytest

from tests.beside.databases import Database


@pytest.fixture
def database(database_url: str, schema: str) -> Database:
    """The database, with an empty schema of this test."""
    return Database(database_url, schema)
