"""Databases for tests, and how a store is closed that a test has left open."""

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import closing

import psycopg
import pytest
from anyio.from_thread import start_blocking_portal
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from pgsession import PostgresStore, SettingsError
from pgsession.testing.databases import close, database, migrated_schema


def test_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """SESSION_DATABASE_URL counts, if it is set."""
    monkeypatch.setenv("SESSION_DATABASE_URL", "host=db.example.com")
    with database(None) as url:
        assert url == "host=db.example.com"


def test_no_posix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the embedded server cannot run, the error asks for SESSION_DATABASE_URL."""
    monkeypatch.delenv("SESSION_DATABASE_URL", raising=False)
    monkeypatch.setitem(sys.modules, "pgsession.postgres.embedded", None)
    with pytest.raises(SettingsError, match="SESSION_DATABASE_URL"), database(None):
        pass


def test_schema(database_url: str) -> None:
    """A schema has the table, and is gone after the block."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        with migrated_schema(database_url) as name:
            connection.execute("SET search_path TO pg_catalog")
            assert connection.execute(f"TABLE {name}.session").rowcount == 0
        found = connection.execute("SELECT to_regnamespace(%s)", (name,)).fetchone()
    assert found == (None,)


async def use(store: PostgresStore) -> None:
    """Use a store, and its connections for locks too."""
    async with store.exclusive(await store.generate()):
        pass


def in_ended_loop(store: PostgresStore) -> None:
    asyncio.run(use(store))
    close(store)


def in_waiting_loop(store: PostgresStore) -> None:
    with closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(use(store))
        close(store)


def in_running_loop(store: PostgresStore) -> None:
    with start_blocking_portal() as portal:
        portal.call(use, store)
        close(store)


def closed_by_test(store: PostgresStore) -> None:
    async def visit() -> None:
        async with store:
            await use(store)

    asyncio.run(visit())
    close(store)


@pytest.mark.parametrize("leave", [in_ended_loop, in_waiting_loop, in_running_loop, closed_by_test])
def test_left_open(
    table: Connection,
    database_url: str,
    migrated_schema: str,
    leave: Callable[[PostgresStore], None],
) -> None:
    """The connections of a store are closed, whatever has become of its event loop."""
    url = make_conninfo(database_url, application_name=migrated_schema)

    leave(PostgresStore(url, schema=migrated_schema))

    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
    until = time.monotonic() + 20
    while table.execute(query, (migrated_schema,)).fetchone() != (0,):  # the server must notice
        assert time.monotonic() < until
        time.sleep(0.01)


def test_never_used() -> None:
    """A store that was not used needs no closing."""
    close(PostgresStore())
