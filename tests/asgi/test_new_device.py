"""The hook for a sign-in of a browser that had no session of the user."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from pgsession import (
    MemoryStore,
    NewDevice,
    Session,
    SessionMiddleware,
    SessionSettings,
    SettingsError,
    StoreUnavailableError,
)

SECRET = "one-secret-that-is-long-enough-for-it"
AGENT = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"

Hook = Callable[[NewDevice], Awaitable[object]]


async def sign_in(request: Request) -> PlainTextResponse:
    session: Session = request.scope["session"]
    said = request.query_params
    session.login(said["user_id"], label=said.get("label"), actor_id=said.get("actor_id"))
    return PlainTextResponse("signed in")


async def sign_in_and_fail(request: Request) -> PlainTextResponse:
    session: Session = request.scope["session"]
    session.login("ann")
    return PlainTextResponse("", status_code=500)


async def save_and_fail(request: Request) -> PlainTextResponse:
    session: Session = request.scope["session"]
    session.login("ann")
    await session.save()
    raise LookupError


class Surplus(MemoryStore):
    """Cannot end the sessions that are too many: the database is away after the login."""

    async def end_surplus(self, *_: object, **__: object) -> int:
        raise StoreUnavailableError


def browser(hook: Hook, store: MemoryStore | None = None) -> AsyncClient:
    settings = SessionSettings(secret_key=SECRET, on_new_device=hook, max_sessions=5)
    routes = [
        Route("/", sign_in),
        Route("/fail", sign_in_and_fail),
        Route("/save", save_and_fail),
    ]
    store = MemoryStore() if store is None else store
    middleware = [Middleware(SessionMiddleware, store=store, settings=settings)]
    app = Starlette(routes=routes, middleware=middleware)
    transport = ASGITransport(app, raise_app_exceptions=False)
    headers = {"user-agent": AGENT}
    return AsyncClient(transport=transport, base_url="https://testserver", headers=headers)


async def test_new_device() -> None:
    """It is called once for a browser that signs in, with its client and its session's handle."""
    told: list[NewDevice] = []
    store = MemoryStore()

    async def hook(device: NewDevice) -> None:
        assert [it.handle for it in await store.devices("ann")] == [device.handle]
        told.append(device)

    async with browser(hook, store) as client:
        await client.get("/?user_id=ann&label=laptop")
        await client.get("/?user_id=ann")

    [device] = told
    assert (device.user_id, device.label, device.agent) == ("ann", "laptop", AGENT)
    assert device.address == "127.0.0.1"
    assert "ann" not in repr(device)


async def test_another_user() -> None:
    """A browser of which another user had the session is new to this one."""
    told: list[str] = []

    async def hook(device: NewDevice) -> None:
        told.append(device.user_id)

    async with browser(hook) as client:
        for user_id in ("ann", "bob", "bob", "ann"):
            await client.get("/", params={"user_id": user_id})

    assert told == ["ann", "bob", "ann"]


async def test_not_told() -> None:
    """It is not called for a sign-in that failed, nor for one of an administrator."""
    told: list[NewDevice] = []

    async def hook(device: NewDevice) -> None:
        told.append(device)

    async with browser(hook) as client:
        await client.get("/fail")
        await client.get("/?user_id=ann&actor_id=root")

    assert told == []


@pytest.mark.parametrize(
    ("kind", "path", "status"),
    [
        pytest.param(Surplus, "/?user_id=ann", 503, id="limit"),
        pytest.param(MemoryStore, "/save", 500, id="handler"),
    ],
)
async def test_no_cookie(kind: type[MemoryStore], path: str, status: int) -> None:
    """It is not called if the request fails after the login was committed: no browser has the
    cookie.
    """
    told: list[NewDevice] = []
    store = kind()

    async def hook(device: NewDevice) -> None:
        told.append(device)

    async with browser(hook, store) as client:
        response = await client.get(path)

    assert response.status_code == status
    assert "set-cookie" not in response.headers
    assert len(await store.devices("ann")) == 1
    assert told == []


async def login_and_logout(session: Session, _: MemoryStore) -> None:
    session.login("ann")
    await session.save()
    session.logout()


async def login_and_look_as_another(session: Session, _: MemoryStore) -> None:
    session.login("ann")
    await session.save()
    session.login("bob", actor_id="root")


async def login_and_lose(session: Session, store: MemoryStore) -> None:
    session.login("ann")
    await session.save()
    await store.revoke_all("ann")
    await asyncio.sleep(0.1)  # the response of a login that was a moment ago is not asked about


@pytest.mark.parametrize("act", [login_and_logout, login_and_look_as_another, login_and_lose])
async def test_taken_back(act: Callable[[Session, MemoryStore], Awaitable[None]]) -> None:
    """It is not called for a sign-in that has ended before the response of its request."""
    told: list[NewDevice] = []

    async def hook(device: NewDevice) -> None:
        told.append(device)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await act(scope["session"], store)
        await PlainTextResponse("")(scope, receive, send)

    store = MemoryStore()
    settings = SessionSettings(secret_key=SECRET, on_new_device=hook)
    app_with_session = SessionMiddleware(app, store, settings=settings)
    transport = ASGITransport(app_with_session)
    async with AsyncClient(transport=transport, base_url="https://testserver") as client:
        assert (await client.get("/")).status_code == 200

    assert told == []


async def test_client_left() -> None:
    """It is not called if the client has left before it got the cookie."""
    told: list[NewDevice] = []

    async def hook(device: NewDevice) -> None:
        told.append(device)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"].login("ann")
        await PlainTextResponse("")(scope, receive, send)

    async def send(_: Message) -> None:
        raise OSError

    settings = SessionSettings(secret_key=SECRET, on_new_device=hook)
    middleware = SessionMiddleware(app, MemoryStore(), settings=settings)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    with pytest.raises(OSError):  # noqa: PT011 - it has no message
        await middleware(scope, asyncio.Event().wait, send)  # type: ignore[arg-type] # never called

    assert told == []


async def test_request_goes_on() -> None:
    """It is called when the response begins, and goes on though the request is cancelled."""
    called, may_end, has_ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
    sent: list[Message] = []

    async def hook(_: NewDevice) -> None:
        called.set()
        await may_end.wait()
        has_ended.set()

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        scope["session"].login("ann")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.Event().wait()  # a stream without an end

    async def send(message: Message) -> None:
        sent.append(message)

    settings = SessionSettings(secret_key=SECRET, on_new_device=hook)
    middleware = SessionMiddleware(app, MemoryStore(), settings=settings)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    request = asyncio.ensure_future(middleware(scope, asyncio.Event().wait, send))  # type: ignore[arg-type] # never called
    async with asyncio.timeout(5):
        await called.wait()
        assert len(sent) == 1
        request.cancel()
        await asyncio.sleep(0)
        request.cancel()  # also while it waits for the hook
        await asyncio.wait({request})
        may_end.set()
        await has_ended.wait()


async def test_hook_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    """A hook that is cancelled cancels nothing else, and that is logged."""

    async def hook(_: NewDevice) -> None:
        raise asyncio.CancelledError

    async with browser(hook) as client:
        response = await client.get("/?user_id=ann")

    assert response.text == "signed in"
    assert "on_new_device was cancelled" in caplog.text


async def test_hook_fails(caplog: pytest.LogCaptureFixture) -> None:
    """An error of the hook is logged. The user has the response, and is signed in."""

    async def hook(_: NewDevice) -> None:
        raise LookupError

    store = MemoryStore()
    with caplog.at_level(logging.ERROR, "pgsession"):
        async with browser(hook, store) as client:
            response = await client.get("/?user_id=ann")

    assert response.text == "signed in"
    assert len(await store.devices("ann")) == 1
    assert "on_new_device has failed" in caplog.text


def test_no_coroutine_function() -> None:
    """A function that is no coroutine function is refused at once."""

    def hook(_: NewDevice) -> Any:
        return None

    with pytest.raises(SettingsError, match="on_new_device must be an async function"):
        SessionSettings(secret_key=SECRET, on_new_device=hook)
