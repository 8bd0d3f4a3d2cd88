"""An application that puts another object into the scope in place of the session, or none."""

from collections import UserDict
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from enum import Enum
from typing import Any

import pytest
from httpx import AsyncClient
from starlette.background import BackgroundTask
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Message
from starlette.websockets import WebSocket

from pgsession import MemoryStore, PostgresStore, Session, SessionMiddleware
from pgsession.core.users import UserStore
from tests.pages import DELETED, NAME, fill, key_of, read, value_of

Visit = Callable[..., AsyncClient]
Change = Callable[[MutableMapping[str, Any]], object]


class Sentinel(Enum):
    """Says that there is no session."""

    EMPTY = 0


def remove(scope: MutableMapping[str, Any]) -> None:
    del scope["session"]


def put(replacement: object) -> Change:
    return lambda scope: scope.update(session=replacement)


ENDS = [
    pytest.param(remove, id="removed"),
    pytest.param(put(None), id="None"),
    pytest.param(put(Sentinel.EMPTY), id="member of an Enum"),
    pytest.param(put(Sentinel), id="class"),
]


def enter(session: Session) -> None:
    session.login("ann")


def route(change: Change, *, status: int = 200) -> Route:
    """A page at `/change` that changes the scope."""

    async def page(request: HTTPConnection) -> Response:
        change(request.scope)
        return JSONResponse(None, status)

    return Route("/change", page)


@pytest.mark.parametrize("change", ENDS)
async def test_ended(visit: Visit, change: Change) -> None:
    """A session that is taken out of the scope has ended before the response is sent."""
    store = MemoryStore()
    client = visit(store, fill, routes=(route(change),))
    await client.get("/fill")
    key = key_of(client)

    response = await client.get("/change")

    assert response.headers["set-cookie"] == DELETED
    assert await store.get(key) is None


@pytest.mark.parametrize("change", ENDS)
async def test_ended_late(visit: Visit, change: Change) -> None:
    """A session that nothing has used ends too if it is taken out after the response."""
    store = MemoryStore()

    async def leave(request: Request) -> Response:
        return JSONResponse(None, background=BackgroundTask(change, request.scope))

    client = visit(store, fill, routes=(Route("/leave", leave),))
    await client.get("/fill")

    await client.get("/leave")

    assert await store.get(key_of(client)) is None


async def test_signed_out(visit: Visit, postgres: PostgresStore) -> None:
    """Nobody is signed in any more after the session was taken out of the scope."""
    client = visit(postgres, enter, routes=(route(remove),))
    await client.get("/enter")

    await client.get("/change")

    assert await postgres.devices("ann") == []


async def test_renewed_meanwhile(visit: Visit, users: UserStore) -> None:
    """A session that was renewed by another request meanwhile has ended too."""

    async def leave(request: Request) -> Response:
        del request.scope["session"]
        await users.renew(key_of(client))
        return JSONResponse(None)

    client = visit(users, enter, routes=(Route("/leave", leave),))
    await client.get("/enter")

    await client.get("/leave")

    assert await users.devices("ann") == []


async def test_nothing_to_end(visit: Visit) -> None:
    """A visitor without a session has none afterwards, and gets no cookie."""
    client = visit(MemoryStore(), routes=(route(remove),))

    assert "set-cookie" not in (await client.get("/change")).headers


async def test_failed(visit: Visit) -> None:
    """A request that fails ends nothing."""
    store = MemoryStore()
    client = visit(store, fill, read, routes=(route(remove, status=500),))
    await client.get("/fill")

    await client.get("/change")

    assert (await client.get("/read")).json() == {"user": "ann"}


@pytest.mark.parametrize("change", ENDS)
async def test_late(visit: Visit, change: Change) -> None:
    """A session that is taken out while a response streams has ended when the request has."""

    async def stream(request: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"first"
            change(request.scope)

        return StreamingResponse(body())

    store = MemoryStore()
    client = visit(store, fill, routes=(Route("/stream", stream),))
    await client.get("/fill")
    key = key_of(client)

    await client.get("/stream")

    assert await store.get(key) is None


async def test_socket(
    converse: Callable[..., Awaitable[list[Message]]],
    cookie_of: Callable[[str], str],
    secret_key: str,
) -> None:
    """A WebSocket that takes the session out after its accept has ended it."""

    async def serve(websocket: WebSocket) -> None:
        await websocket.accept()
        del websocket.scope["session"]
        await websocket.close()

    store = MemoryStore()
    app = WebSocketRoute("/", serve)
    key = await store.generate({"user": "ann"})
    scope = {"type": "websocket", "headers": [(b"cookie", cookie_of(key).encode())]}

    await converse(SessionMiddleware(app, store, secret_key), scope, {"type": "websocket.connect"})

    assert await store.get(key) is None


async def test_unavailable(visit: Visit, closed_port: int) -> None:
    """A session that could not be loaded is not said to have ended."""
    store = PostgresStore(host="127.0.0.1", port=closed_port, timeout=0.2)
    client = visit(store, routes=(route(remove),), on_unavailable="anonymous")
    other = visit(memory := MemoryStore(), fill)
    await other.get("/fill")
    client.cookies.set(NAME, other.cookies[NAME])

    assert (await client.get("/change")).status_code == 503
    await store.close()
    await memory.close()


async def test_dict(visit: Visit, caplog: pytest.LogCaptureFixture) -> None:
    """A dict is not saved, as it may be another middleware's session: one error says so."""
    store = MemoryStore()
    client = visit(store, fill, read, routes=(route(put({"secret": "eve"})),))
    await client.get("/fill")

    for _ in range(2):
        await client.get("/change")

    assert (await client.get("/read")).json() == {"user": "ann"}
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "An object of the class dict was put into scope" in record.getMessage()
    assert "eve" not in record.getMessage()


class Theirs(UserDict[str, Any]):
    """The session of another library."""


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(put(Theirs()), id="class"),
        pytest.param(lambda it: it.update(session={}, session_handler=0), id="starsessions"),
    ],
)
async def test_neighbour(visit: Visit, change: Change, caplog: pytest.LogCaptureFixture) -> None:
    """The session of another middleware is left alone, without a word, and ours is kept."""
    store = MemoryStore()
    client = visit(store, fill, read, routes=(route(change),))
    await client.get("/fill")

    await client.get("/change")

    assert await value_of(store, key_of(client)) == {"user": "ann"}
    assert caplog.records == []
