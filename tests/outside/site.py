"""A site whose sessions are opened outside of its requests too, and a browser that visits it."""

from typing import Any

from httpx import ASGITransport, AsyncClient, Response
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from pgsession import Session, SessionMiddleware, Sessions, SessionSettings, Store
from tests.applications import SECRET
from tests.pages import NAME

Headers = list[tuple[bytes, bytes]]


class Site:
    """A site, the `Sessions` that its middleware has, and one browser.

    Each page keeps its request, so that a test can open its session afterwards.
    """

    def __init__(self, store: Store, *routes: BaseRoute, **settings: Any) -> None:
        self.store = store
        self.sessions = Sessions(
            store, settings=SessionSettings(**{"secret_key": SECRET, **settings})
        )
        self.requests: list[Request] = []
        pages = (self.fill, self.read, self.login, self.renew, self.logout)
        self.app = Starlette(
            routes=[*(Route(f"/{page.__name__}", page) for page in pages), *routes],
            middleware=[Middleware(SessionMiddleware, sessions=self.sessions)],
        )
        self.browser = AsyncClient(transport=ASGITransport(self.app), base_url="https://testserver")

    async def fill(self, request: Request) -> JSONResponse:
        return self._answer(request, lambda session: session.update(dict(request.query_params)))

    async def read(self, request: Request) -> JSONResponse:
        return self._answer(request, dict)

    async def login(self, request: Request) -> JSONResponse:
        return self._answer(request, lambda session: session.login("ann"))

    async def renew(self, request: Request) -> JSONResponse:
        return self._answer(request, Session.renew)

    async def logout(self, request: Request) -> JSONResponse:
        return self._answer(request, Session.logout)

    def _answer(self, request: Request, action: Any) -> JSONResponse:
        self.requests.append(request)
        return JSONResponse(action(request.session))

    async def come(self, page: str) -> Response:
        """Visit a page."""
        response = await self.browser.get(f"/{page}")
        assert response.status_code == 200
        return response

    async def content(self) -> Any:
        """Return what the session holds for the browser."""
        return (await self.come("read")).json()

    @property
    def session(self) -> Session:
        """The session of the last request."""
        session = self.requests[-1].session
        assert isinstance(session, Session)
        return session

    @property
    def headers(self) -> Headers:
        """The headers with which a connection of the browser would begin now."""
        return headers(self.browser.cookies[NAME])


def headers(value: str) -> Headers:
    """Return the headers with a session cookie."""
    return [(b"cookie", f"{NAME}={value}".encode())]
