"""Stores in PostgreSQL, a way to look behind them, and browsers for tiny applications."""

import inspect
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from httpx import ASGITransport, AsyncClient
from psycopg import AsyncConnection, AsyncCursor, Connection
from psycopg.abc import Params, Query
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Scope

from pgsession import PostgresStore, SessionMiddleware, Store
from pgsession.core.cookie import Cookie

SECRET = "a secret of the tests, long enough for HMAC"


@pytest.fixture
def secret_key() -> str:
    """A secret that is long enough."""
    return SECRET


@pytest.fixture
def table(database_url: str, migrated_schema: str) -> Iterator[Connection]:
    """A connection of the test's own that finds the table as `session`."""
    options = f"-csearch_path={migrated_schema}"
    with psycopg.connect(database_url, options=options, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def postgres(database_url: str, migrated_schema: str) -> AsyncIterator[PostgresStore]:
    """A store on the table, with two connections whose application_name is the schema's."""
    url = make_conninfo(database_url, application_name=migrated_schema)
    async with PostgresStore(url, schema=migrated_schema, pool_size=2) as store:
        yield store


@pytest.fixture
def end_connections(table: Connection, migrated_schema: str) -> Callable[[], None]:
    """Ends the server's side of the connections that bear the schema's name, and waits for it."""
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
    """The statements that went through `counted`, oldest first; clear it to start anew."""
    return []


@pytest.fixture
async def counted(
    database_url: str, migrated_schema: str, statements: list[str]
) -> AsyncIterator[PostgresStore]:
    """A store on a pool whose every statement is noted in `statements`."""

    class NotingCursor(AsyncCursor[TupleRow]):
        async def execute(
            self,
            query: Query,
            params: Params | None = None,
            *,
            prepare: bool | None = None,
            binary: bool | None = None,
        ) -> "NotingCursor":
            statements.append(query.decode() if isinstance(query, bytes) else str(query))
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
    """A port of this host at which nobody listens, and nobody else can."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def point(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Leads the libpq service `movable` to the server, or to a socket that nobody serves."""
    services = tmp_path / "services.conf"
    monkeypatch.setenv("PGSERVICEFILE", str(services))

    def lead(*, there: bool) -> None:
        where = conninfo_to_dict(database_url) if there else {"host": str(tmp_path), "port": 1}
        lines = [f"{name}={value}" for name, value in where.items() if value is not None]
        services.write_text("\n".join(["[movable]", *lines, ""]), encoding="utf-8")

    return lead


@pytest.fixture
def cookie_of(secret_key: str) -> Callable[[str], str]:
    """Gives the Cookie header of a browser that was given a key."""
    cookie = Cookie(secret_keys=[secret_key])
    return lambda key: cookie.write(key, None).decode().partition(";")[0]


@pytest.fixture
def converse() -> Callable[..., Awaitable[list[Message]]]:
    """Runs an application for one scope and returns the messages that it sent.

    Whatever it receives beyond the messages given is a disconnect.
    """
    return _converse


@pytest.fixture
def visit(secret_key: str) -> Callable[..., AsyncClient]:
    """Gives a browser at a site whose pages do something to the session, each named as it does.

    A page answers with what its function returns, as JSON. Further routes and
    the keywords of the middleware are taken too.
    """

    def open_browser(
        store: Store,
        *actions: Callable[[Any], object],
        routes: tuple[BaseRoute, ...] = (),
        outside: tuple[Middleware, ...] = (),
        inside: tuple[Middleware, ...] = (),
        raises: bool = True,
        **keywords: Any,
    ) -> AsyncClient:
        keywords.setdefault("secret_key", secret_key)
        middleware = Middleware(SessionMiddleware, store=store, **keywords)
        app = Starlette(
            routes=[*map(_page, actions), *routes], middleware=[*outside, middleware, *inside]
        )
        return AsyncClient(
            transport=ASGITransport(app, raise_app_exceptions=raises),
            base_url="https://testserver",
        )

    return open_browser


def _page(action: Callable[[Any], object]) -> Route:
    async def page(request: Request) -> Response:
        outcome = action(request.session)
        return JSONResponse(await outcome if inspect.isawaitable(outcome) else outcome)

    return Route(f"/{action.__name__}", page)


async def _converse(app: ASGIApp, scope: Scope, *received: Message) -> list[Message]:
    coming = [*received, {"type": f"{scope.get('type', 'http')}.disconnect"}]
    sent: list[Message] = []

    async def receive() -> Message:
        return coming.pop(0) if len(coming) > 1 else coming[0]

    async def send(message: Message) -> None:
        sent.append(message)

    whole: Scope = {"type": "http", "method": "GET", "path": "/", "scheme": "https", "headers": []}
    await app({**whole, **scope}, receive, send)
    return sent
