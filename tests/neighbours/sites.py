"""A site with pgsession, beside applications that bring a session middleware of their own."""

import json
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pgsession import SessionMiddleware, Store
from tests.applications import SECRET
from tests.pages import NAME, fill, logout, read, value_of


class Site:
    """An application whose own pages use the session, and a browser that visits it."""

    def __init__(
        self,
        store: Store,
        *routes: BaseRoute,
        outside: tuple[Middleware, ...] = (),
        inside: tuple[Middleware, ...] = (),
        **keywords: Any,
    ) -> None:
        keywords.setdefault("secret_key", None if "settings" in keywords else SECRET)
        ours = Middleware(SessionMiddleware, store=store, **keywords)
        self.store = store
        self.app = FastAPI(
            routes=[*map(page, (fill, read, logout)), *routes],
            middleware=[*outside, ours, *inside],
        )
        self.browser = AsyncClient(
            transport=ASGITransport(self.app), base_url="https://testserver", follow_redirects=True
        )

    @asynccontextmanager
    async def keeping_session(self) -> AsyncIterator[None]:
        """Sign Ann in at the site. Check that she still is after the block, with the same row."""
        await self.browser.get("/fill")
        cookie = self.browser.cookies[NAME]
        yield
        assert self.browser.cookies.get(NAME) == cookie
        assert await value_of(self.store, cookie.partition(".")[0]) == {"user": "ann"}
        assert (await self.browser.get("/read")).json() == {"user": "ann"}

    def read_cookie(self, name: str = "session") -> Any:
        """Return what the browser can read in a cookie of Starlette or of `CookieStore`."""
        return json.loads(b64decode(self.browser.cookies[name].partition(".")[0]))


class VisitCounter:
    """Counts the visits of a browser in the session that it finds in the scope."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["visits"] = scope["session"].get("visits", 0) + 1
        await self._app(scope, receive, send)


def page(action: Callable[[Any], object]) -> Route:
    """Return a route that calls the action with the session and answers with its result."""

    async def answer(request: Request) -> JSONResponse:
        return JSONResponse(action(request.session))

    return Route(f"/{action.__name__}", answer)
