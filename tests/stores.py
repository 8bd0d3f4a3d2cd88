"""Stores in PostgreSQL, and direct access to their rows and connections."""

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection, AsyncCursor, Connection
from psycopg.abc import Params, Query
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from pgsession import PostgresStore


@pytest.fixture
def table(database_url: str, migrated_schema: str) -> Iterator[Connection]:
    """A separate connection that finds the table as `session`."""
    options = f"-csearch_path={migrated_schema}"
    with psycopg.connect(database_url, options=options, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def postgres(database_url: str, migrated_schema: str) -> AsyncIterator[PostgresStore]:
    """A store on the table; the application_name of its two connections is the schema's name."""
    url = make_conninfo(database_url, application_name=migrated_schema)
    async with PostgresStore(url, schema=migrated_schema, pool_size=2) as store:
        yield store


@pytest.fixture
def end_connections(table: Connection, migrated_schema: str) -> Callable[[], None]:
    """Terminates the backends whose application_name is the schema's name, and waits for them."""
    query = """
        WITH its AS MATERIALIZED (SELECT pid FROM pg_stat_activity WHERE application_name = %s)
        SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 5000)) FROM its
    """

    def end() -> None:
        ((ended,),) = table.execute(query, (migrated_schema,)).fetchall()
        assert ended > 0

    return end


@pytest.fixture
def statements() -> list[str]:
    """The statements executed through `counted`, oldest first; clear the list to start again."""
    return []


@pytest.fixture
async def counted(
    database_url: str, migrated_schema: str, statements: list[str]
) -> AsyncIterator[PostgresStore]:
    """A store on a pool that records the statements of all operations in `statements`."""

    class NotingCursor(AsyncCursor[TupleRow]):
        async def execute(
            self,
            query: Query,
            params: Params | None = None,
            *,
            prepare: bool | None = None,
            binary: bool | None = None,
        ) -> "NotingCursor":
            statement = query.decode() if isinstance(query, bytes) else str(query)
            if statement != "SELECT pg_catalog.pg_backend_pid()":  # once for each connection
                statements.append(statement)
            # A Template comes without parameters; mypy cannot try all combinations.
            await super().execute(query, params, prepare=prepare, binary=binary)  # type: ignore[misc,arg-type]
            return self

    class NotingConnection(AsyncConnection[TupleRow]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.cursor_factory = NotingCursor

    async with (
        AsyncConnectionPool(
            database_url,
            connection_class=NotingConnection,
            kwargs={"autocommit": True},
            min_size=1,
            max_size=2,
            open=False,
        ) as pool,
        PostgresStore(pool, schema=migrated_schema) as store,
    ):
        statements.clear()
        yield store


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this host with no listener, reserved so that no other process can listen on it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def point(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Points the libpq service `movable` at the server, or at a socket without a server."""
    services = tmp_path / "services.conf"
    monkeypatch.setenv("PGSERVICEFILE", str(services))

    def lead(*, there: bool) -> None:
        where = conninfo_to_dict(database_url) if there else {"host": str(tmp_path), "port": 1}
        lines = [f"{name}={value}" for name, value in where.items() if value is not None]
        services.write_text("\n".join(["[movable]", *lines, ""]), encoding="utf-8")

    return lead
