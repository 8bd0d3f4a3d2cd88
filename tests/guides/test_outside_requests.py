"""The page about sessions outside of requests, and the one about Socket.IO."""

import asyncio
from pathlib import Path

import pytest
import socketio
from socketio.exceptions import ConnectionError as RefusedError

from tests.guides.conftest import client
from tests.programs import Visitor, eventually, served
from tests.project.conftest import Names
from tests.project.documents import Document

OUTSIDE = Document("docs/how-to/outside-requests.md").programs[0]
(SOCKET_IO,) = Document("docs/how-to/socket-io.md").programs


def test_outside_requests(names: Names) -> None:
    """A task that outlives its response saves its result in the session."""
    with client(names(OUTSIDE)) as browser:
        assert browser.post("/order").status_code == 202
        assert eventually(lambda: browser.get("/").json() == {"ordered": True, "report": "…"})


async def test_socket_io(tmp_path: Path, variables: dict[str, str]) -> None:
    """Events and pages fill one cart, by a connection that ends with the session."""
    file = tmp_path / "app.py"
    file.write_text(SOCKET_IO, encoding="utf-8")
    with served(file, **variables, SESSION_WATCH_EVERY="0.05") as address:
        visitor = Visitor(address)
        async with socketio.AsyncSimpleClient() as stranger:
            with pytest.raises(RefusedError):
                await stranger.connect(address, transports=["websocket"])
        visitor.post("/sign-in")
        cookie = {"cookie": visitor.cookie_header}
        browser = socketio.AsyncClient()
        await browser.connect(address, headers=cookie, transports=["websocket"])
        assert await browser.call("add", "tea") == ["tea"]
        assert await browser.call("add", "milk") == ["tea", "milk"]
        assert visitor.get("/cart").json() == ["tea", "milk"]

        visitor.post("/sign-out")

        async with asyncio.timeout(10):
            await browser.wait()  # until the server disconnects
        polling = visitor.get("/socket.io/?EIO=4&transport=polling")
        assert polling.status_code == 400
