"""`close_websockets`: a WebSocket is closed when its session has ended."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from pgsession import MemoryStore, SessionMiddleware, SessionSettings, StoreUnavailableError
from tests.applications import SECRET

CookieOf = Callable[[str], str]

EVERY = 0.02

CONNECT: Message = {"type": "websocket.connect"}
ACCEPT: Message = {"type": "websocket.accept"}
TEXT: Message = {"type": "websocket.send", "text": "hello"}
CLOSE: Message = {"type": "websocket.close", "code": 1000}
ENDED: Message = {"type": "websocket.close", "code": 4401, "reason": "The session has ended."}
DISCONNECT: Message = {**ENDED, "type": "websocket.disconnect"}

App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Client:
    """A client of one WebSocket: it sends what is in `coming`, and collects what is sent to it."""

    def __init__(self, store: MemoryStore, cookie: str) -> None:
        self.store = store
        self.cookie = cookie
        self.coming: asyncio.Queue[Message] = asyncio.Queue()
        self.sent: list[Message] = []
        #: Raised by the server when the close is sent.
        self.failure: Exception | None = None
        self.settings = SessionSettings(secret_key=SECRET, watch_every=EVERY, close_websockets=True)

    async def connect(self, app: App) -> None:
        """Call the application for the WebSocket."""
        headers = [(b"cookie", self.cookie.encode())] if self.cookie else []
        scope: Scope = {"type": "websocket", "scheme": "wss", "headers": headers}
        self.coming.put_nowait(CONNECT)
        async with asyncio.timeout(5):
            middleware = SessionMiddleware(app, self.store, settings=self.settings)
            await middleware(scope, self.coming.get, self._send)

    async def _send(self, message: Message) -> None:
        self.sent.append(message)
        if message["type"] == "websocket.close" and self.failure is not None:
            raise self.failure


@pytest.fixture
async def key(client: Client) -> str:
    return await client.store.generate({"cart": 1})


@pytest.fixture
def client() -> Client:
    """A client without a cookie."""
    return Client(MemoryStore(), "")


async def opened(receive: Receive, send: Send) -> None:
    assert await receive() == CONNECT
    await send({**ACCEPT})


async def test_receiving(client: Client, key: str, cookie_of: CookieOf) -> None:
    """An application that waits for the client receives a disconnect with code 4401, and the client
    gets the code.
    """
    client.cookie = cookie_of(key)

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await opened(receive, send)
        await client.store.clear(key)
        assert await receive() == DISCONNECT

    await client.connect(app)

    assert client.sent[1:] == [ENDED]


async def test_receiving_again(client: Client, key: str, cookie_of: CookieOf) -> None:
    """An application that asks again after the disconnect waits for the server's own, so that it
    does not keep the event loop; what the client has sent before is dropped.
    """
    client.cookie = cookie_of(key)
    left: Message = {"type": "websocket.disconnect", "code": 1005}

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await opened(receive, send)
        await client.store.clear(key)
        assert await receive() == DISCONNECT
        again = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        assert not again.done()
        client.coming.put_nowait({"type": "websocket.receive", "text": "hello"})
        client.coming.put_nowait(left)
        assert await again == left

    await client.connect(app)


async def test_sending(client: Client, key: str, cookie_of: CookieOf) -> None:
    """The socket of an application that only sends is closed too; what it sends then is an
    `OSError`, as of a client that has left, and its own close has no effect.
    """
    client.cookie = cookie_of(key)

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await opened(receive, send)
        await send(TEXT)
        await client.store.clear(key)
        while len(client.sent) < 3:  # noqa: ASYNC110 - there is no event to await
            await asyncio.sleep(EVERY / 2)
        with pytest.raises(OSError, match="ended"):
            await send(TEXT)
        await send(CLOSE)

    await client.connect(app)

    assert client.sent[1:] == [TEXT, ENDED]


async def test_error_of_send(client: Client, key: str, cookie_of: CookieOf) -> None:
    """An application may end with the error of its send, as it may when the client has left."""
    client.cookie = cookie_of(key)

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await opened(receive, send)
        await client.store.clear(key)
        while True:
            await asyncio.sleep(EVERY / 2)
            await send(TEXT)

    await client.connect(app)

    assert client.sent[-1] == ENDED


async def test_before_accept(client: Client, key: str, cookie_of: CookieOf) -> None:
    """A socket is not closed before it is accepted."""
    client.cookie = cookie_of(key)

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        assert await receive() == CONNECT
        await client.store.clear(key)
        await asyncio.sleep(3 * EVERY)
        assert client.sent == []
        await send({**ACCEPT})
        assert await receive() == DISCONNECT

    await client.connect(app)

    assert client.sent[1:] == [ENDED]


async def test_closed_by_application(client: Client, key: str, cookie_of: CookieOf) -> None:
    """A socket that the application has closed is not closed again."""
    client.cookie = cookie_of(key)

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await opened(receive, send)
        await client.store.clear(key)
        await send(CLOSE)
        await asyncio.sleep(3 * EVERY)

    await client.connect(app)

    assert client.sent[1:] == [CLOSE]


async def test_client_left(client: Client, key: str, cookie_of: CookieOf) -> None:
    """A socket whose client has left is not closed."""
    client.cookie = cookie_of(key)
    left = {"type": "websocket.disconnect", "code": 1001}

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await opened(receive, send)
        await client.store.clear(key)
        client.coming.put_nowait(left)
        assert await receive() == left
        await asyncio.sleep(3 * EVERY)

    await client.connect(app)

    assert len(client.sent) == 1


async def test_wait_beside_accept(client: Client) -> None:
    """A socket is closed too if its function waits for the end while the accept commits a login."""

    class Slow(MemoryStore):
        async def login(self, *arguments: Any, **keywords: Any) -> str:
            await asyncio.sleep(0)
            return await super().login(*arguments, **keywords)

    client.store = Slow()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert await receive() == CONNECT
        scope["session"].login("ann")
        waiting = asyncio.ensure_future(scope["session"].ended())
        await send({**ACCEPT})
        await client.store.revoke_all("ann")
        assert await receive() == DISCONNECT
        await waiting

    await client.connect(app)

    assert client.sent[1:] == [ENDED]


async def test_visitor(client: Client) -> None:
    """The socket of a visitor without a session stays open."""

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await opened(receive, send)
        await asyncio.sleep(3 * EVERY)
        await send(CLOSE)

    await client.connect(app)

    assert client.sent[1:] == [CLOSE]


async def test_cancelled_receive(client: Client, key: str, cookie_of: CookieOf) -> None:
    """A `receive` that the application cancels stays cancelled."""
    client.cookie = cookie_of(key)

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await opened(receive, send)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(EVERY / 4):
                await receive()
        client.coming.put_nowait(TEXT)
        assert await receive() == TEXT

    await client.connect(app)


@pytest.mark.parametrize("failure", [OSError(), RuntimeError()])
async def test_server_fails(
    client: Client,
    key: str,
    cookie_of: CookieOf,
    failure: Exception,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """If the server cannot send the close, because the client has left, the application gets its
    disconnect all the same; an error of another kind is logged.
    """
    client.cookie, client.failure = cookie_of(key), failure

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await opened(receive, send)
        await client.store.clear(key)
        assert await receive() == DISCONNECT

    await client.connect(app)

    assert len(caplog.records) == isinstance(failure, RuntimeError)


async def test_changes_of_an_ended_session(
    client: Client, key: str, cookie_of: CookieOf, caplog: pytest.LogCaptureFixture
) -> None:
    """What a socket has changed is not saved after its session has ended; one line says so."""
    caplog.set_level(logging.INFO, "pgsession")
    client.cookie = cookie_of(key)

    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        websocket.session["said"] = "hello"
        await client.store.clear(key)
        await websocket.receive_text()

    app = Starlette(routes=[WebSocketRoute("/", talk)])
    with pytest.raises(WebSocketDisconnect) as caught:
        await client.connect(lambda scope, *io: app({**scope, "path": "/"}, *io))

    assert caught.value.code == 4401
    assert caplog.messages == ["A session ended before the changes of a long response were saved."]


async def test_replaced(client: Client, cookie_of: CookieOf) -> None:
    """A socket that gets a 503 instead of its accept is not watched."""

    class Failing(MemoryStore):
        async def renew(self, *_: object, **__: object) -> str:
            raise StoreUnavailableError

    client.store = Failing()
    client.cookie = cookie_of(await client.store.generate({}))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert await receive() == CONNECT
        scope["session"].renew()
        await send({**ACCEPT})
        await asyncio.sleep(3 * EVERY)

    await client.connect(app)

    assert client.sent == [{"type": "websocket.close", "code": 1013}]


def test_starlette() -> None:
    """Starlette's client sees the code, and the application's function ends as if it had left."""
    store = MemoryStore()
    codes: list[int] = []

    async def fill(request: Request) -> Response:
        request.session["user"] = "ann"
        return Response()

    async def leave(request: Request) -> Response:
        request.session.clear()
        return Response()

    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            await websocket.receive_text()
        except WebSocketDisconnect as error:
            codes.append(error.code)

    settings = SessionSettings(secret_key=SECRET, watch_every=EVERY, close_websockets=True)
    app = Starlette(
        routes=[Route("/fill", fill), Route("/leave", leave), WebSocketRoute("/talk", talk)],
        middleware=[Middleware(SessionMiddleware, store=store, settings=settings)],
    )
    with TestClient(app, base_url="https://testserver") as client:
        client.get("/fill")
        with client.websocket_connect("wss://testserver/talk") as websocket:
            client.get("/leave")
            with pytest.raises(WebSocketDisconnect) as caught:
                websocket.receive_text()

    assert caught.value.code == 4401
    assert codes == [4401]
