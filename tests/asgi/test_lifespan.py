"""The application's lifespan opens and closes the store."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from pgsession import (
    MemoryStore,
    PostgresStore,
    SchemaError,
    SessionMiddleware,
    SessionSettings,
    Store,
    StoreClosedError,
    StoreUnavailableError,
)

STARTUP: Message = {"type": "lifespan.startup"}
SHUTDOWN: Message = {"type": "lifespan.shutdown"}
STARTED: Message = {"type": "lifespan.startup.complete"}
STOPPED: Message = {"type": "lifespan.shutdown.complete"}
LIFESPAN: Scope = {"type": "lifespan"}

Converse = Callable[..., Awaitable[list[Message]]]


@pytest.fixture
def closed(database_url: str, migrated_schema: str) -> PostgresStore:
    """A store that is not yet open."""
    return PostgresStore(database_url, schema=migrated_schema, pool_size=1)


async def obey(_scope: Scope, receive: Receive, send: Send) -> None:
    """An application that starts and stops when the server asks for it."""
    assert await receive() == STARTUP
    await send(STARTED)
    assert await receive() == SHUTDOWN
    await send(STOPPED)


async def test_opened_and_closed(
    converse: Converse, secret_key: str, closed: PostgresStore
) -> None:
    """A closed store is open during the lifespan of the application and closed afterwards."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert not await closed.open()
        await obey(scope, receive, send)

    middleware = SessionMiddleware(app, closed, secret_key)
    sent = await converse(middleware, LIFESPAN, STARTUP, SHUTDOWN)

    assert sent == [STARTED, STOPPED]
    with pytest.raises(StoreClosedError):
        await closed.get("unknown")


async def test_open_store_stays(
    converse: Converse, secret_key: str, postgres: PostgresStore
) -> None:
    """A store that was already open stays open."""
    await converse(SessionMiddleware(obey, postgres, secret_key), LIFESPAN, STARTUP, SHUTDOWN)

    assert await postgres.get("unknown") is None


async def test_stacked(converse: Converse, secret_key: str, closed: PostgresStore) -> None:
    """If two middlewares share a store, the outer one opens and closes it."""
    inner = SessionMiddleware(obey, closed, secret_key)

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        async def note(message: Message) -> None:
            assert await closed.get("unknown") is None
            await send(message)

        await inner(scope, receive, note)

    sent = await converse(SessionMiddleware(outer, closed, secret_key), LIFESPAN, STARTUP, SHUTDOWN)

    assert sent == [STARTED, STOPPED]


@pytest.mark.parametrize("given", [True, False], ids=["no server", "no table"])
async def test_failing_startup(
    *,
    converse: Converse,
    secret_key: str,
    database_url: str,
    schema: str,
    closed_port: int,
    given: bool,
) -> None:
    """A store that cannot be opened is reported in one line, and the application never starts."""
    store = (
        PostgresStore(host="127.0.0.1", port=closed_port, password="s3cret")
        if given
        else PostgresStore(database_url, schema=schema)
    )
    with pytest.raises((StoreUnavailableError, SchemaError)) as caught:
        await store.open()

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        pytest.fail("the application was started")

    (failed,) = await converse(SessionMiddleware(app, store, secret_key), LIFESPAN, STARTUP)

    assert failed["type"] == "lifespan.startup.failed"
    assert failed["message"] == str(caught.value)
    assert "\n" not in failed["message"]
    assert "s3cret" not in failed["message"]


async def test_application_fails(
    converse: Converse, secret_key: str, closed: PostgresStore
) -> None:
    """If the application fails to start, the store is closed before the server is told."""
    failed = {"type": "lifespan.startup.failed", "message": "no such luck"}

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(failed)

    sent = await converse(SessionMiddleware(app, closed, secret_key), LIFESPAN, STARTUP)

    assert sent == [failed]
    with pytest.raises(StoreClosedError):
        await closed.get("unknown")


async def test_closed_before_server_hears(secret_key: str, closed: PostgresStore) -> None:
    """The store is closed before the server receives the end of the shutdown."""
    coming = [STARTUP, SHUTDOWN]

    async def receive() -> Message:
        return coming.pop(0)

    async def send(message: Message) -> None:
        if message == STOPPED:
            with pytest.raises(StoreClosedError):
                await closed.get("unknown")

    await SessionMiddleware(obey, closed, secret_key)(LIFESPAN, receive, send)

    assert coming == []


async def raise_at_lifespan(scope: Scope, _receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"
    scope["session"]["user"] = "ann"
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def ignore_lifespan(scope: Scope, _receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        scope["session"]["user"] = "ann"
        await send({"type": "http.response.start", "status": 200, "headers": []})


async def test_raises_at_lifespan(
    converse: Converse, secret_key: str, closed: PostgresStore
) -> None:
    """An application that raises on lifespan, which ASGI servers accept, is served."""
    app = SessionMiddleware(raise_at_lifespan, closed, secret_key)
    with pytest.raises(AssertionError):
        await converse(app, LIFESPAN, STARTUP)

    (start,) = await converse(app, {})

    assert start["status"] == 200
    await closed.close()


async def test_ignores_lifespan(converse: Converse, secret_key: str, closed: PostgresStore) -> None:
    """An application that ignores the lifespan is served."""
    app = SessionMiddleware(ignore_lifespan, closed, secret_key)
    await converse(app, LIFESPAN, STARTUP)

    (start,) = await converse(app, {})

    assert start["status"] == 200
    await closed.close()


async def test_no_lifespan(converse: Converse, secret_key: str, closed: PostgresStore) -> None:
    """Without a lifespan, the store opens with the first request that needs it."""
    app = SessionMiddleware(ignore_lifespan, closed, secret_key)

    (start,) = await converse(app, {})

    assert start["status"] == 200
    assert not await closed.open()
    await closed.close()


async def count_visits(request: Request) -> Response:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JSONResponse(request.session["visits"])


def site(store: Store, secret_key: str) -> Starlette:
    return Starlette(
        routes=[Route("/", count_visits)],
        middleware=[Middleware(SessionMiddleware, store=store, secret_key=secret_key)],
    )


def test_starlette_lifespan(secret_key: str, closed: PostgresStore) -> None:
    """If the client runs the lifespan, the store is open for all its requests."""
    with TestClient(site(closed, secret_key), base_url="https://testserver") as client:
        assert [client.get("/").json() for _ in range(3)] == [1, 2, 3]


def test_starlette_without_lifespan(secret_key: str, closed: PostgresStore) -> None:
    """If a client runs each request in a new event loop, the session is still found."""
    client = TestClient(site(closed, secret_key), base_url="https://testserver")

    assert [client.get("/").json() for _ in range(3)] == [1, 2, 3]


def test_lifespan_twice(secret_key: str, closed: PostgresStore) -> None:
    """An application can be started again after it was stopped."""
    app = site(closed, secret_key)

    for _ in range(2):
        with TestClient(app, base_url="https://testserver") as client:
            assert client.get("/").json() == 1


def test_mounted(secret_key: str, closed: PostgresStore) -> None:
    """A mounted application gets no lifespan; its store opens with its first request."""
    app = Starlette(routes=[Mount("/inner", site(closed, secret_key))])

    with TestClient(app, base_url="https://testserver") as client:
        assert [client.get("/inner/").json() for _ in range(2)] == [1, 2]


def test_state(secret_key: str) -> None:
    """The lifespan and the state of the application work as without the middleware."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, str]]:
        yield {"greeting": "hello"}

    async def greet(request: Request) -> Response:
        return JSONResponse(request.state.greeting)

    app = Starlette(
        routes=[Route("/", greet)],
        middleware=[Middleware(SessionMiddleware, store=MemoryStore(), secret_key=secret_key)],
        lifespan=lifespan,
    )

    with TestClient(app, base_url="https://testserver") as client:
        assert client.get("/").json() == "hello"


def test_settings(secret_key: str, database_url: str, migrated_schema: str) -> None:
    """With settings only, the middleware makes the store, and the lifespan opens and closes it."""
    settings = SessionSettings(
        secret_key=secret_key, database_url=database_url, schema=migrated_schema
    )
    app = Starlette(routes=[Route("/", count_visits)])
    app.add_middleware(SessionMiddleware, settings=settings)

    with TestClient(app, base_url="https://testserver") as client:
        assert [client.get("/").json() for _ in range(2)] == [1, 2]
