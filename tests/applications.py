"""Small applications, and clients that visit them."""

import inspect
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Scope

from pgsession import SessionMiddleware, Store
from pgsession.core.cookie import Cookie

SECRET = "a secret of the tests that is long enough for HMAC"


@pytest.fixture
def secret_key() -> str:
    """A secret that is long enough."""
    return SECRET


@pytest.fixture
def cookie_of(secret_key: str) -> Callable[[str], str]:
    """Returns the Cookie header of a browser that got the given key just now, for a week."""
    cookie = Cookie(secret_keys=[secret_key])
    week = timedelta(days=7)
    return lambda key: cookie.write(key, week).decode().partition(";")[0]


@pytest.fixture
def converse() -> Callable[..., Awaitable[list[Message]]]:
    """Runs an application for one scope and returns the messages that it sent.

    After the given messages, the application receives only disconnects.
    """
    return _converse


@pytest.fixture
def visit(secret_key: str) -> Callable[..., AsyncClient]:
    """Returns a client of an application with one page for each action, at `/` plus the action's
    name.

    The page calls the action with the session and returns its result as JSON. Further routes and
    the keyword arguments of the middleware are accepted too.
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
        if "settings" not in keywords:
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
