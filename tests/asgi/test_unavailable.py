"""A database failure is never treated as the end of a session."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from httpx import AsyncClient, Response
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from pgsession import (
    MemoryStore,
    PostgresStore,
    Session,
    SessionMiddleware,
    StoreUnavailableError,
)
from tests.pages import NAME, fill, read

KEY = "k" * 40

CONNECT: Message = {"type": "websocket.connect"}

Converse = Callable[..., Awaitable[list[Message]]]


@pytest.fixture
async def gone(closed_port: int) -> AsyncIterator[PostgresStore]:
    """A store whose server does not run."""
    store = PostgresStore(host="127.0.0.1", port=closed_port)
    yield store
    await store.close()


@pytest.fixture
async def movable(migrated_schema: str, point: Callable[..., None]) -> AsyncIterator[PostgresStore]:
    """An open store whose server can be made unreachable."""
    point(there=True)
    async with PostgresStore(
        service="movable",
        application_name=migrated_schema,
        schema=migrated_schema,
        timeout=1.0,
        pool_size=1,
    ) as store:
        yield store


@pytest.fixture
def lose_server(
    point: Callable[..., None], end_connections: Callable[[], None]
) -> Callable[[], None]:
    """Makes the server of `movable` unreachable."""

    def lose() -> None:
        point(there=False)
        end_connections()

    return lose


def assert_refused(response: Response) -> None:
    assert response.status_code == 503
    assert response.headers["retry-after"] == "5"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-type"].startswith("text/plain")
    assert "set-cookie" not in response.headers


async def test_read(
    visit: Callable[..., AsyncClient], gone: PostgresStore, cookie_of: Callable[[str], str]
) -> None:
    """A request whose session cannot be loaded gets a 503, and its cookie is not changed."""
    response = await visit(gone, read).get("/read", headers={"cookie": cookie_of(KEY)})

    assert_refused(response)


async def test_handler_not_run(
    visit: Callable[..., AsyncClient], gone: PostgresStore, cookie_of: Callable[[str], str]
) -> None:
    """A handler does not run if its session cannot be loaded."""

    def act(_session: Session) -> None:
        pytest.fail("the handler ran")

    response = await visit(gone, act).get("/act", headers={"cookie": cookie_of(KEY)})

    assert_refused(response)


async def test_write(visit: Callable[..., AsyncClient], gone: PostgresStore) -> None:
    """If a new session cannot be saved, a 503 replaces the handler's response."""
    response = await visit(gone, fill).get("/fill")

    assert_refused(response)
    assert response.text == "Service Unavailable"


@pytest.mark.parametrize("path", ["/read", "/elsewhere"])
async def test_anonymous(visit: Callable[..., AsyncClient], gone: PostgresStore, path: str) -> None:
    """Visitors without a cookie are served during an outage."""
    response = await visit(gone, read).get(path)

    assert response.status_code in {200, 404}


async def test_forged(visit: Callable[..., AsyncClient], gone: PostgresStore) -> None:
    """A request with a forged cookie is served during an outage, because it needs no statement."""
    headers = {"cookie": f"{NAME}={KEY}.{'s' * 43}"}

    response = await visit(gone, read).get("/read", headers=headers)

    assert response.json() == {}


async def test_excluded(
    visit: Callable[..., AsyncClient], gone: PostgresStore, cookie_of: Callable[[str], str]
) -> None:
    """Excluded paths are served during an outage, with any cookie."""
    client = visit(gone, exclude=["/health"])

    response = await client.get("/health", headers={"cookie": cookie_of(KEY)})

    assert response.status_code == 404


async def test_no_secret_told(
    visit: Callable[..., AsyncClient],
    gone: PostgresStore,
    cookie_of: Callable[[str], str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log lines of an outage contain neither keys nor cookies."""
    await visit(gone, read).get("/read", headers={"cookie": cookie_of(KEY)})

    assert "The store is unavailable" in caplog.text
    assert KEY not in caplog.text


async def test_heals(
    visit: Callable[..., AsyncClient],
    movable: PostgresStore,
    lose_server: Callable[[], None],
    point: Callable[..., None],
) -> None:
    """A session survives an outage: 503 while the server is away, the same content afterwards."""
    client = visit(movable, fill, read)
    await client.get("/fill")

    lose_server()
    assert_refused(await client.get("/read"))
    assert NAME in client.cookies

    point(there=True)
    async with asyncio.timeout(30):
        while (response := await client.get("/read")).status_code != 200:
            assert_refused(response)
    assert response.json() == {"user": "ann"}


@pytest.mark.parametrize("path", ["/fill_slowly", "/logout_slowly"])
async def test_lost_under_way(
    visit: Callable[..., AsyncClient],
    movable: PostgresStore,
    lose_server: Callable[[], None],
    path: str,
) -> None:
    """If the server goes away during a handler, a 503 replaces its response."""

    def fill_slowly(session: Session) -> None:
        lose_server()
        session["n"] = 1

    def logout_slowly(session: Session) -> None:
        lose_server()
        session.clear()

    client = visit(movable, fill, fill_slowly, logout_slowly)
    await client.get("/fill")

    response = await client.get(path)

    assert_refused(response)
    assert NAME in client.cookies


async def test_read_under_way(
    visit: Callable[..., AsyncClient], movable: PostgresStore, lose_server: Callable[[], None]
) -> None:
    """If the server goes away during a handler that only reads, its response is sent."""

    def read_slowly(session: Session) -> str:
        lose_server()
        return str(session["user"])

    client = visit(movable, fill, read_slowly)
    await client.get("/fill")

    assert (await client.get("/read_slowly")).json() == "ann"


async def test_refused_stream(converse: Converse, secret_key: str, gone: PostgresStore) -> None:
    """A stream whose response was replaced by a 503 fails at its next chunk and ends."""
    chunks = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal chunks
        while True:
            chunks += 1
            yield b"more"

    async def stream(request: Request) -> StreamingResponse:
        request.session["user"] = "ann"
        return StreamingResponse(endless())

    app = Starlette(routes=[Route("/", stream)])
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [],
    }

    start, body = await converse(SessionMiddleware(app, gone, secret_key), scope)

    assert start["status"] == 503
    assert body["body"] == b"Service Unavailable"
    assert chunks == 1


async def never(_scope: Scope, _receive: Receive, _send: Send) -> None:
    pytest.fail("the application ran")


async def test_socket(
    converse: Converse, secret_key: str, gone: PostgresStore, cookie_of: Callable[[str], str]
) -> None:
    """A WebSocket whose session cannot be loaded is closed with 1013, "try again later"."""
    scope = {"type": "websocket", "headers": [(b"cookie", cookie_of(KEY).encode())]}

    sent = await converse(SessionMiddleware(never, gone, secret_key), scope, CONNECT)

    assert sent == [{"type": "websocket.close", "code": 1013}]


async def test_socket_with_response(
    converse: Converse, secret_key: str, gone: PostgresStore, cookie_of: Callable[[str], str]
) -> None:
    """If the server supports responses to a WebSocket, the response is a 503 with Retry-After."""
    scope = {
        "type": "websocket",
        "headers": [(b"cookie", cookie_of(KEY).encode())],
        "extensions": {"websocket.http.response": {}},
    }

    start, body = await converse(SessionMiddleware(never, gone, secret_key), scope, CONNECT)

    assert start["type"] == "websocket.http.response.start"
    assert start["status"] == 503
    assert (b"retry-after", b"5") in start["headers"]
    assert body["type"] == "websocket.http.response.body"


async def test_socket_write(converse: Converse, secret_key: str, gone: PostgresStore) -> None:
    """A WebSocket whose session cannot be saved is closed instead of accepted."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["user"] = "ann"
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "too late"})

    sent = await converse(SessionMiddleware(app, gone, secret_key), {"type": "websocket"}, CONNECT)

    assert sent == [{"type": "websocket.close", "code": 1013}]


async def test_late_changes(
    *,
    converse: Converse,
    secret_key: str,
    movable: PostgresStore,
    lose_server: Callable[[], None],
    cookie_of: Callable[[str], str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Late changes that cannot be saved are logged, because the response has already been sent."""
    key = await movable.generate({"user": "ann"})

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        lose_server()
        scope["session"]["late"] = True

    headers = [(b"cookie", cookie_of(key).encode())]
    (start,) = await converse(SessionMiddleware(app, movable, secret_key), {"headers": headers})

    assert start["status"] == 200
    assert "are lost" in caplog.text
    assert key not in caplog.text


async def test_left_over(converse: Converse, secret_key: str) -> None:
    """What a task still sends of a visitor's response is dropped once a 503 was sent instead."""
    sending = asyncio.Event()

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        async def go_on() -> None:
            await sending.wait()
            await send({"type": "http.response.body", "body": b"never sent"})

        scope["left over"].append(asyncio.create_task(go_on()))
        raise StoreUnavailableError

    tasks: list[asyncio.Task[None]] = []
    middleware = SessionMiddleware(app, MemoryStore(), secret_key)
    sent = await converse(middleware, {"left over": tasks})
    sending.set()
    await asyncio.gather(*tasks)

    start, body = sent
    assert start["status"] == 503
    assert body["body"] == b"Service Unavailable"


async def test_all_at_once(
    visit: Callable[..., AsyncClient], gone: PostgresStore, cookie_of: Callable[[str], str]
) -> None:
    """Many concurrent requests all get a 503."""
    client = visit(gone, read)
    headers = {"cookie": cookie_of(KEY)}

    responses = await asyncio.gather(*(client.get("/read", headers=headers) for _ in range(20)))

    for response in responses:
        assert_refused(response)


async def test_busy(
    visit: Callable[..., AsyncClient],
    database_url: str,
    migrated_schema: str,
    cookie_of: Callable[[str], str],
) -> None:
    """If no connection is free before the timeout, the request gets a 503."""
    pool = AsyncConnectionPool(
        make_conninfo(database_url), kwargs={"autocommit": True}, min_size=1, open=False
    )
    async with PostgresStore(pool, schema=migrated_schema, timeout=0.5) as store:
        key = await store.generate()
        client = visit(store, read)

        async with pool.connection():
            response = await client.get("/read", headers={"cookie": cookie_of(key)})

    assert_refused(response)
