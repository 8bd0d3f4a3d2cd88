"""A session grows older: what depends on its age, over both stores."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from psycopg import Connection
from starlette.testclient import TestClient

from pgsession import (
    InvalidPeriodError,
    MemoryStore,
    PostgresStore,
    SessionNotFoundError,
    SettingsError,
    Store,
)
from pgsession.testing import age, session_of, signed_in
from pgsession.testing.aging import COLUMNS
from tests.testing.site import ADDRESS, make_app

MakeStore = Callable[..., Store]


def client_of(store: Store, **settings: object) -> TestClient:
    return TestClient(make_app(store, **settings), base_url=ADDRESS)


def test_expiry(store: Store) -> None:
    """A session that nobody uses ends after its period, though the client sends its cookie."""
    with client_of(store) as client:
        signed_in(client, "ann")
        age(client, days=6.9)
        with session_of(client) as session:
            assert session.user_id == "ann"

        age(client, hours=3)

        assert client.get("/").json() == [None, {}]
        with pytest.raises(SessionNotFoundError, match="no living session"):
            age(client, days=1)


def test_own_period(store: Store) -> None:
    """A period of a session's own is what counts for it."""
    with client_of(store) as client:
        signed_in(client, "ann", period=timedelta(days=30))
        age(client, days=29)
        assert client.get("/").json() == ["ann", {}]

        age(client, days=31)

        assert client.get("/").json() == [None, {}]


def test_touch(store: Store) -> None:
    """A request extends the expiry if a tenth of the period has passed, and else sets no cookie."""
    with client_of(store) as client:
        signed_in(client, "ann")

        age(client, hours=12)
        assert "set-cookie" not in client.get("/").headers
        age(client, hours=12)
        assert "Max-Age=604800;" in client.get("/").headers["set-cookie"]

        age(client, days=6.5)
        assert client.get("/").json() == ["ann", {}]


def test_max_lifetime(make_store: MakeStore) -> None:
    """`max_lifetime` ends a session that is used again and again."""
    with client_of(make_store(max_lifetime=timedelta(days=10))) as client:
        signed_in(client, "ann")
        for _ in range(2):
            age(client, days=4)
            assert client.get("/").json() == ["ann", {}]

        age(client, days=2)

        assert client.get("/").json() == [None, {}]


def test_max_inactivity(make_store: MakeStore) -> None:
    """`max_inactivity` ends a session with a longer period that nobody uses."""
    with client_of(make_store(max_inactivity=timedelta(hours=1))) as client:
        signed_in(client, "ann", period=timedelta(days=30))
        age(client, minutes=50)
        assert client.get("/").json() == ["ann", {}]
        age(client, minutes=50)
        assert client.get("/").json() == ["ann", {}]

        age(client, minutes=61)

        assert client.get("/").json() == [None, {}]


def test_freshness(store: Store) -> None:
    """`is_fresh` and `authenticated_at` tell of a login that was long ago, until `confirm`."""
    with client_of(store) as client:
        signed_in(client, "ann")
        with session_of(client) as session:
            before = session.authenticated_at

        age(client, minutes=10, seconds=1)

        with session_of(client) as session:
            assert before is not None
            assert session.authenticated_at is not None
            moved = before - session.authenticated_at
            assert abs(moved - timedelta(minutes=10, seconds=1)) < timedelta(milliseconds=100)
            assert not session.is_fresh(timedelta(minutes=10))
            session.confirm()
        with session_of(client) as session:
            assert session.is_fresh(timedelta(minutes=10))


def test_rotation(store: Store) -> None:
    """The next number of a cookie is given out when the age of the last one says so."""
    with client_of(store, rotate_every=timedelta(minutes=15)) as client:
        signed_in(client, "ann")
        first = dict(client.cookies)
        client.get("/")
        age(client, minutes=14)
        assert "set-cookie" not in client.get("/").headers

        age(client, minutes=2)
        assert "set-cookie" in client.get("/").headers
        assert client.get("/").json() == ["ann", {}]
        age(client, seconds=61)

        copy = client_of(store)
        copy.cookies.update(first)
        copy.portal = client.portal
        assert copy.get("/").json() == [None, {}]
        assert client.get("/").json() == ["ann", {}]


def test_session_cookie(store: Store) -> None:
    """A cookie that lasts until the browser closes stays as it is."""
    with client_of(store, max_age=None) as client:
        signed_in(client, "ann")
        before = dict(client.cookies)

        age(client, days=3)

        assert dict(client.cookies) == before
        assert client.get("/").json() == ["ann", {}]


def test_all_columns(table: Connection, migrated_schema: str) -> None:
    """Every column of the table that holds a time is moved."""
    found = table.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = %s"
        " AND table_name = 'session' AND data_type LIKE 'timestamp%%'",
        (migrated_schema,),
    )
    assert {name for (name,) in found} == set(COLUMNS)


@pytest.mark.parametrize("days", [0, -1])
def test_not_older(days: int) -> None:
    """A session cannot grow younger."""
    with pytest.raises(InvalidPeriodError, match="positive"):
        age(client_of(MemoryStore()), days=days)


class Wrapped:
    """A store of somebody else's."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


def test_foreign_store() -> None:
    """The rows of another store cannot be moved, and the error names the store."""
    store: Store = Wrapped(MemoryStore())  # type: ignore[assignment] # through __getattr__
    client = signed_in(client_of(store), "ann")

    with pytest.raises(SettingsError, match=r"not those of Wrapped\."):
        age(client, days=1)


def test_renewed(table: Connection, database_url: str, migrated_schema: str) -> None:
    """Only the session of the client grows older, also once its key was renewed."""
    store = PostgresStore(database_url, schema=migrated_schema, pool_size=1)
    with client_of(store) as client:
        signed_in(client, "bob")
        client.cookies.clear()
        signed_in(client, "ann")
        with session_of(client) as session:
            session.renew()

        age(client, days=1)

    moved = "SELECT user_id FROM session WHERE renewed_on < now() - interval '23 hours'"
    assert table.execute(moved).fetchall() == [("ann",)]
