"""What a visit does, and does not do, beside loading and saving a session."""

import asyncio
from http.cookiejar import Cookie
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from psycopg import Connection
from starlette.testclient import TestClient

from pgsession import (
    InvalidValueError,
    MemoryStore,
    PostgresStore,
    SchemaError,
    SessionNotFoundError,
    StoreUnavailableError,
)
from pgsession.testing import age, session_of, signed_in
from pgsession.testing.databases import close
from tests.testing.site import ADDRESS, make_app


def cookie_of(client: TestClient) -> Cookie:
    (cookie,) = client.cookies.jar
    return cookie


@pytest.mark.parametrize(
    ("settings", "base_url"),
    [
        ({}, ADDRESS),
        ({"https_only": False}, "http://testserver"),
        ({"session_cookie": "sid", "path": "/login", "same_site": "strict"}, ADDRESS),
        ({"domain": "example.com", "max_age": None}, "https://www.example.com"),
        ({"same_site": "none", "partitioned": True}, "https://example.com:8443"),
    ],
    ids=["default", "http", "path", "domain", "partitioned"],
)
def test_same_cookie(settings: dict[str, Any], base_url: str) -> None:
    """The cookie has the name and attributes of the one that the application sets."""
    store = MemoryStore()
    one, two = (TestClient(make_app(store, **settings), base_url=base_url) for _ in range(2))

    two.get("/login")
    signed_in(one, "ann")

    mine, its = (dict(vars(cookie_of(client))) for client in (one, two))
    del mine["value"], its["value"]
    assert abs((mine.pop("expires") or 0) - (its.pop("expires") or 0)) <= 2
    assert mine == its
    assert len(one.get("/login").request.headers["cookie"].split(";")) == 1


def test_reading_writes_nothing(table: Connection, postgres_client: TestClient) -> None:
    """A block that only reads leaves the row as it is, also if its expiry is due for extension."""
    signed_in(postgres_client, "ann")
    age(postgres_client, days=3)
    before = table.execute("SELECT xmin, session FROM session").fetchall()

    with session_of(postgres_client) as session:
        assert session.user_id == "ann"

    assert table.execute("SELECT xmin, session FROM session").fetchall() == before


@pytest.fixture
def postgres_client(database_url: str, migrated_schema: str) -> Any:
    """A client of an application with a store in PostgreSQL."""
    store = PostgresStore(database_url, schema=migrated_schema, pool_size=1)
    with TestClient(make_app(store), base_url=ADDRESS) as client:
        yield client


def test_excluded() -> None:
    """The paths that the middleware excludes make no difference."""
    client = TestClient(make_app(MemoryStore(), exclude=["/"]), base_url=ADDRESS)

    signed_in(client, "ann")

    with session_of(client) as session:
        assert session.user_id == "ann"


def test_hook_and_limit() -> None:
    """A second sign-in counts for `max_sessions`, and does not call `on_new_device`."""
    called: list[object] = []

    async def note(device: object) -> None:
        called.append(device)

    app = make_app(MemoryStore(), max_sessions=1, on_new_device=note)
    first, second = (signed_in(TestClient(app, base_url=ADDRESS), "ann") for _ in range(2))

    assert first.get("/").json() == [None, {}]
    assert second.get("/").json() == ["ann", {}]
    assert called == []


def test_ended_meanwhile() -> None:
    """A change to a session that ends within the block is an error at its end."""
    store = MemoryStore()
    client = signed_in(TestClient(make_app(store), base_url=ADDRESS), "ann")

    def log_out() -> bool:
        with session_of(client) as other:
            other.logout()
        return True

    with pytest.raises(SessionNotFoundError), session_of(client) as session:
        session["late"] = log_out()

    assert not client.cookies


def test_invalid_value() -> None:
    """A value that cannot be stored is an error at the end of the block."""
    client = TestClient(make_app(MemoryStore()), base_url=ADDRESS)

    with pytest.raises(InvalidValueError, match="cart"), session_of(client) as session:
        session["cart"] = object()

    assert not client.cookies


@pytest.mark.parametrize("policy", ["refuse", "anonymous"])
def test_no_database(postgres_client: TestClient, closed_port: int, policy: str) -> None:
    """Without its database, a client cannot sign in, nor can its session be opened."""
    store = PostgresStore(host="127.0.0.1", port=closed_port)
    app = make_app(store, on_unavailable=policy)
    client = TestClient(app, base_url=ADDRESS)

    with pytest.raises(StoreUnavailableError):
        signed_in(client, "ann")
    signed_in(postgres_client, "ann")
    client.cookies.jar.set_cookie(cookie_of(postgres_client))
    with pytest.raises(StoreUnavailableError, match="log"), session_of(client):
        pass
    close(store)


def test_no_table(postgres_client: TestClient, database_url: str, schema: str) -> None:
    """The errors that no retry helps against come as they are: without the table, `SchemaError`."""
    store = PostgresStore(database_url, schema=f"{schema}_unknown", pool_size=1)
    client = TestClient(make_app(store), base_url=ADDRESS)

    with pytest.raises(SchemaError):
        signed_in(client, "ann")
    signed_in(postgres_client, "ann")
    client.cookies.jar.set_cookie(cookie_of(postgres_client))
    with pytest.raises(SchemaError), session_of(client):
        pass
    close(store)


async def test_cancelled() -> None:
    """Nothing goes on if a visit is cancelled while the session is loaded."""
    transport, before = ASGITransport(make_app(MemoryStore())), asyncio.all_tasks()
    async with AsyncClient(transport=transport, base_url=ADDRESS) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0), session_of(client):
                pass
        await asyncio.sleep(0)

    assert asyncio.all_tasks() == before
