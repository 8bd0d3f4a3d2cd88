"""Requests that fail half-way: what is saved of them, and who hears of it."""

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
    """A response that says that the server failed saves nothing and sets no cookie."""
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
    """One that says that the client was wrong is an answer like any other."""
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
    """What is sent in place of a response that could not be saved decides what is saved."""
    store = MemoryStore()

    class Repairing:
        """Answers in place of a handler whose session cannot be stored."""

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
    """An application that takes the session out of the scope is answered all the same."""

    async def take_out(request: Request) -> Response:
        del request.scope["session"]
        return PlainTextResponse("fine")

    client = visit(MemoryStore(), routes=(Route("/take_out", take_out),))

    assert (await client.get("/take_out")).text == "fine"
