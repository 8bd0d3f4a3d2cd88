"""The application's lifespan opens and closes the store."""

import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from httpx import ASGITransport, AsyncClient
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
    SettingsError,
    Store,
    StoreClosedError,
    StoreRejectedError,
    StoreUnavailableError,
)
from tests.programs import environment

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


def never_started(_scope: Scope, _receive: Receive, _send: Send) -> Awaitable[None]:
    """An application that must not be started."""
    pytest.fail("the application was started")


@pytest.mark.parametrize("reason", ["no table", "no database", "down, and strict"])
async def test_failing_startup(
    *,
    secret_key: str,
    database_url: str,
    schema: str,
    closed_port: int,
    reason: str,
) -> None:
    """A store that cannot open stops the start, with one line and the error itself.

    So it is if the reason does not pass by itself, and with `strict_start`.
    """
    store, kind = {
        "no table": (PostgresStore(database_url, schema=schema), SchemaError),
        "no database": (PostgresStore(database_url, dbname="s3cret"), StoreRejectedError),
        "down, and strict": (
            PostgresStore(host="127.0.0.1", port=closed_port, password="s3cret"),
            StoreUnavailableError,
        ),
    }[reason]
    settings = SessionSettings(secret_key=secret_key, strict_start=True)
    sent: list[Message] = []

    async def receive() -> Message:
        return STARTUP

    async def send(message: Message) -> None:
        sent.append(message)

    with pytest.raises(kind) as caught:
        await SessionMiddleware(never_started, store, settings=settings)(LIFESPAN, receive, send)

    assert sent == [{"type": "lifespan.startup.failed", "message": str(caught.value)}]
    assert "\n" not in str(caught.value)
    await store.close()


async def test_startup_in_an_outage(
    secret_key: str,
    migrated_schema: str,
    point: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An application starts while its database is down, answers 503, and heals by itself."""
    point(there=False)
    store = PostgresStore(service="movable", schema=migrated_schema, timeout=2)
    app = SessionMiddleware(fill_app, store, secret_key)
    steps = iter([STARTUP, SHUTDOWN])
    statuses: list[int] = []

    async def receive() -> Message:
        step = next(steps)
        if step == SHUTDOWN:
            async with AsyncClient(
                transport=ASGITransport(app), base_url="https://testserver"
            ) as client:
                statuses.append((await client.get("/")).status_code)
                point(there=True)
                statuses.append((await client.get("/")).status_code)
        return step

    async def send(message: Message) -> None:
        assert message in (STARTED, STOPPED)

    await app(LIFESPAN, receive, send)

    assert statuses == [503, 200]
    assert caplog.text.count("The application starts without its database") == 1
    with pytest.raises(StoreClosedError):
        await store.get("unknown")


async def fill_app(scope: Scope, receive: Receive, send: Send) -> None:
    """An application whose one page stores something."""
    if scope["type"] == "lifespan":
        await obey(scope, receive, send)
    else:
        scope["session"]["a"] = 1
        await JSONResponse({})(scope, receive, send)


def test_client_of_an_unmigrated_database(database_url: str, schema: str, secret_key: str) -> None:
    """Starlette's test client raises what keeps an application from starting."""
    store = PostgresStore(database_url, schema=schema)
    app = SessionMiddleware(never_started, store, secret_key)

    with pytest.raises(SchemaError, match="run `pgsession migrate`"), TestClient(app):
        pytest.fail("the client was entered")


def test_client_in_an_outage(closed_port: int, secret_key: str) -> None:
    """Starlette's test client enters while the database is down, gets 503, and leaves."""
    store = PostgresStore(host="127.0.0.1", port=closed_port, timeout=1)
    app = SessionMiddleware(fill_app, store, secret_key)

    with TestClient(app, base_url="https://testserver") as client:
        assert client.get("/").status_code == 503


def test_other_event_loop(database_url: str) -> None:
    """Outside of asyncio, as under trio, one error says that asyncio is needed."""
    store = PostgresStore(database_url)

    with pytest.raises(SettingsError, match="needs asyncio"):
        store.open().send(None)


async def test_closed_once(secret_key: str) -> None:
    """A store is closed once: servers cancel what comes after the end of the shutdown."""

    class Counting(MemoryStore):
        closed = 0

        async def open(self) -> bool:
            return True

        async def close(self) -> None:
            self.closed += 1

    store = Counting()
    steps = iter([STARTUP, SHUTDOWN])

    async def receive() -> Message:
        return next(steps)

    async def send(message: Message) -> None:
        assert store.closed == (message == STOPPED)

    await SessionMiddleware(obey, store, secret_key)(LIFESPAN, receive, send)

    assert store.closed == 1


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_interrupted_server(
    database_url: str, migrated_schema: str, secret_key: str, tmp_path: Path, mode: str
) -> None:
    """A server that is interrupted says nothing of the lifespan, and no traceback."""
    (tmp_path / "app.py").write_text(
        "from starlette.applications import Starlette\n"
        "from pgsession import SessionMiddleware, SessionSettings\n"
        "app = Starlette()\n"
        "app.add_middleware(SessionMiddleware, settings=SessionSettings.from_env())\n"
    )
    variables = {
        "SESSION_DATABASE_URL": database_url,
        "SESSION_SCHEMA": migrated_schema,
        "SESSION_SECRET_KEY": secret_key,
    }
    command = [sys.executable, "-m", "uvicorn", "--port", "0", "--lifespan", mode]
    with subprocess.Popen(
        [*command, "--app-dir", str(tmp_path), "app:app"],
        env=environment(variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "running on" in line:
                break
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=30)[0]

    assert "Finished server process" in said
    assert "lifespan" not in said
    assert "Traceback" not in said


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
