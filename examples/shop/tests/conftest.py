# tests/conftest.py
"""A client of the shop, on tables of its own for each test."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from psycopg.conninfo import make_conninfo

from app.main import make_app
from app.migrate import create_tables


@pytest.fixture
def client(
    pgsession_database_url: str, pgsession_schema: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient]:
    """A browser that has not signed in."""
    url = make_conninfo(pgsession_database_url, options=f"-csearch_path={pgsession_schema}")
    create_tables(url)
    monkeypatch.setenv("SESSION_DATABASE_URL", url)
    monkeypatch.setenv("SESSION_SECRET_KEY", "a secret of more than thirty-two bytes")
    with TestClient(make_app(), base_url="https://testserver") as client:
        yield client
