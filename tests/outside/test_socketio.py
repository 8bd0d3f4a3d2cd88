"""The events of a Socket.IO server, with a real client, over uvicorn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import socketio
import uvicorn
from starlette.routing import Mount
from starlette.types import ASGIApp

from pgsession import SessionNotFoundError, Store
from tests.outside.site import Site
from tests.pages import key_of


class Shop:
    """A site with a Socket.IO server, which stands outside of its middleware or in a mount."""

    def __init__(self, store: Store, *, mounted: bool = False, **settings: Any) -> None:
        self.server = socketio.AsyncServer(async_mode="asgi")
        for event in (self.connect, self.add, self.add_for_long):
            self.server.on(event.__name__, event)
        inner = Mount("/io", socketio.ASGIApp(self.server, socketio_path="io/socket.io"))
        self.site = Site(store, *([inner] if mounted else []), **settings)
        self.app: ASGIApp = self.site.app
        self.path = "/io/socket.io" if mounted else "/socket.io"
        if not mounted:
            self.app = socketio.ASGIApp(self.server, self.site.app)

    async def connect(self, sid: str, environ: dict[str, Any]) -> bool:
        """Keep the session that the connection begins with, or refuse the connection."""
        try:
            async with self.site.sessions.open(environ) as session:
                await self.server.save_session(sid, {"session": session})
        except SessionNotFoundError:
            return False
        return True

    async def add(self, sid: str, item: str) -> list[str]:
        async with self.site.sessions.open(self.server.get_environ(sid)) as session:
            cart: list[str] = session.setdefault("cart", [])
            cart.append(item)
            return cart

    async def add_for_long(self, sid: str, item: str) -> None:
        """The same, for a connection that outlives the number of its cookie."""
        kept = await self.server.get_session(sid)
        async with self.site.sessions.open(kept["session"]) as session:
            session.setdefault("cart", []).append(item)


@asynccontextmanager
async def served(shop: Shop) -> AsyncIterator[str]:
    """Serve a shop with uvicorn in this loop, and yield its address."""
    config = uvicorn.Config(shop.app, port=0, log_level="warning", ws="wsproto", lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        while not server.started:  # noqa: ASYNC110 - there is no event to await
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        await shop.server.shutdown()
        server.should_exit = True
        await serving


@asynccontextmanager
async def connected(shop: Shop, transport: str) -> AsyncIterator[Any]:
    """Connect a client with the cookie that the browser has now."""
    cookie = {"cookie": shop.site.headers[0][1].decode()}
    async with served(shop) as address, socketio.AsyncSimpleClient() as client:
        await client.connect(
            address, headers=cookie, transports=[transport], socketio_path=shop.path
        )
        yield client
        await shop.server.disconnect(client.sid)  # a client that polls would wait for a ping


@pytest.mark.parametrize("mounted", [False, True], ids=["outside", "mounted"])
@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_events(store: Store, transport: str, *, mounted: bool) -> None:
    """An event finds what a page has stored meanwhile, and the next page what the event has."""
    shop = Shop(store, mounted=mounted)
    await shop.site.come("fill?user=ann")

    async with connected(shop, transport) as client:
        assert await client.call("add", "tea") == ["tea"]
        await shop.site.come("fill?seen=1")
        assert await client.call("add", "milk") == ["tea", "milk"]

    assert await shop.site.content() == {"user": "ann", "seen": "1", "cart": ["tea", "milk"]}


async def test_signed_out(store: Store) -> None:
    """A user who signs out on a page is out at the next event, and at the next connection."""
    shop = Shop(store)
    await shop.site.come("fill?user=ann")

    async with connected(shop, "websocket") as client:
        environ = shop.server.get_environ(client.sid)
        await shop.site.come("logout")
        with pytest.raises(SessionNotFoundError):
            async with shop.site.sessions.open(environ):
                pass
        assert not await shop.connect("another", {"asgi.scope": {**environ["asgi.scope"]}})


async def test_rotated(store: Store) -> None:
    """A connection that keeps the session of its beginning outlives rotations."""
    moment = timedelta(microseconds=1)
    shop = Shop(store, rotate_every=60, rotation_grace=moment, end_on_reuse=True)
    await shop.site.come("fill?user=ann")
    key = key_of(shop.site.browser)

    async with connected(shop, "polling") as client:
        for number in range(2):
            await store.show(key, number)
            await store.rotate(key, number, grace=moment)
        await client.call("add_for_long", "tea")

    entry = await store.get(key)
    assert entry is not None
    assert entry.value == {"user": "ann", "cart": ["tea"]}
