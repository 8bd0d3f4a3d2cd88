"""Requests that fail: what is saved, and which response is sent."""

from collections.abc import Callable
from typing import Any

import pytest
from httpx import AsyncClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from pgsession import MemoryStore, Session
from tests.pages import fill, key_of, value_of


@pytest.mark.parametrize("status", [500, 503])
async def test_server_error(visit: Callable[..., AsyncClient], status: int) -> None:
    """A response with a server error saves nothing and sets no cookie."""
    store = MemoryStore()

    async def fail(request: Request) -> Response:
        request.session["user"] = "bob"
        return PlainTextResponse("sorry", status)

    client = visit(store, fill, routes=(Route("/fail", fail),))
    await client.get("/fill")

    response = await client.get("/fail")

    assert response.status_code == status
    assert "set-cookie" not in response.headers
    assert response.headers["vary"] == "Cookie"
    assert await value_of(store, key_of(client)) == {"user": "ann"}


async def test_client_error(visit: Callable[..., AsyncClient]) -> None:
    """A response with a client error saves the session like any other response."""
    store = MemoryStore()

    async def refuse(request: Request) -> Response:
        request.session["tries"] = 1
        return PlainTextResponse("no", 403)

    client = visit(store, routes=(Route("/refuse", refuse),))
    await client.get("/refuse")

    assert await value_of(store, key_of(client)) == {"tries": 1}


@pytest.mark.parametrize(("status", "is_renewed"), [(400, True), (500, False)])
async def test_answered_in_its_place(
    visit: Callable[..., AsyncClient], status: int, is_renewed: bool
) -> None:
    """If the response is replaced because saving failed, the new response decides what is saved."""
    store = MemoryStore()

    class Repairing:
        """Sends another response if the session of a handler cannot be stored."""

        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            try:
                await self.app(scope, receive, send)
            except TypeError:
                del scope["session"]["bad"]
                await PlainTextResponse("repaired", status)(scope, receive, send)

    async def renew(request: Request) -> Response:
        assert isinstance(request.session, Session)
        request.session.renew()
        request.session["bad"] = {1, 2}
        return PlainTextResponse("never sent")

    client = visit(
        store, fill, routes=(Mount("/in", Repairing(Starlette(routes=[Route("/", renew)]))),)
    )
    await client.get("/fill")
    key = key_of(client)

    response = await client.get("/in/")

    assert response.text == "repaired"
    assert ("set-cookie" in response.headers) is is_renewed
    assert (key_of(client) != key) is is_renewed
    assert await value_of(store, key_of(client)) == {"user": "ann"}


async def test_no_session_in_scope(visit: Callable[..., AsyncClient]) -> None:
    """An application that removes the session from the scope still gets its response sent."""

    async def take_out(request: Request) -> Response:
        del request.scope["session"]
        return PlainTextResponse("fine")

    client = visit(MemoryStore(), routes=(Route("/take_out", take_out),))

    assert (await client.get("/take_out")).text == "fine"
