"""sse-starlette: a stream of events that ends with the session."""

import asyncio
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from pgsession import MemoryStore, SessionMiddleware, SessionSettings
from tests.applications import SECRET
from tests.neighbours.frameworks import Visitor, program, visiting
from tests.neighbours.sites import page

sse = pytest.importorskip("sse_starlette", reason="sse-starlette is not installed")


def sign_in(session: Any) -> None:
    session.login("ann")


@pytest.fixture
def visitor() -> Iterator[Visitor]:
    store = MemoryStore()
    names = program("sse-starlette", store, asyncio=asyncio)
    settings = SessionSettings(secret_key=SECRET, watch_every=0.02)
    app = Starlette(
        routes=[page(sign_in), Route("/events", names["events"]), Route("/late", late)],
        middleware=[Middleware(SessionMiddleware, store=store, settings=settings)],
    )
    with visiting(app, store) as it:
        yield it


async def late(request: Any) -> Any:
    async def stream() -> Any:
        yield {"data": request.session.user_id}
        request.session["late"] = True

    return sse.EventSourceResponse(stream())


def test_ended(visitor: Visitor) -> None:
    """A stream tells that the session has ended, and is done."""
    visitor.get("/sign_in")
    key = visitor.key

    async def events() -> str:
        """Read the stream, and revoke the session at its first event."""
        received: list[bytes] = []

        async def send(message: Any) -> None:
            received.append(message.get("body", b""))
            if b"ann" in received[-1]:
                await visitor.store.clear(key)

        async def receive() -> Any:
            await asyncio.Event().wait()  # the client stays

        cookie = f"__Host-session={visitor.cookies['__Host-session']}".encode()
        scope = {"type": "http", "method": "GET", "path": "/events", "query_string": b""}
        await visitor.app({**scope, "headers": [(b"cookie", cookie)]}, receive, send)
        return b"".join(received).decode()

    with anyio.from_thread.start_blocking_portal() as portal:
        assert "event: signed-out" in portal.call(events)


def test_late(visitor: Visitor) -> None:
    """What the stream of a signed-in user changes is saved at its end."""
    visitor.get("/sign_in")

    assert "data: ann" in visitor.get("/late").text
    assert visitor.value() == {"late": True}
