"""The hook for a sign-in of a browser that had no session of the user."""

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
