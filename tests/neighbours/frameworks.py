"""Frameworks whose requests have our session, as docs/how-to/frameworks.md shows them."""

import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.types import ASGIApp, Receive, Scope, Send

from pgsession import MemoryStore, Store
from tests.applications import SECRET
from tests.pages import NAME, key_in
from tests.project.documents import Document

_PAGE = Document("docs/how-to/frameworks.md")


def program(framework: str, store: Store, **names: Any) -> dict[str, Any]:
    """Run the program in the section about a framework, and return its names."""
    _, section = re.split(rf"^## {re.escape(framework)}$", _PAGE.text, flags=re.MULTILINE)
    code = section.split("```python\n", 1)[1].split("```", 1)[0]
    known = {"store": store, "secret_key": SECRET, "AsyncGenerator": AsyncGenerator, **names}
    known["__name__"] = __name__
    exec(compile(code, _PAGE.name, "exec"), known)  # noqa: S102 - our own page
    return known


class Visitor(TestClient):
    """A browser at an application that is served as on a server, with its lifespan."""

    def __init__(self, app: ASGIApp, store: MemoryStore) -> None:

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            await app({"asgi": {"version": "3.0", "spec_version": "2.4"}, **scope}, receive, send)

        super().__init__(serve, base_url="https://testserver", raise_server_exceptions=False)
        self.store = store

    def connect(self, path: str, *protocols: str) -> WebSocketTestSession:
        """Return a WebSocket, with the cookie: not to `ws://`, the default of the test client."""
        return self.websocket_connect(f"wss://testserver{path}", protocols or None)

    @property
    def key(self) -> str:
        """The key in its cookie."""
        return key_in(self.cookies[NAME])

    def lives(self, key: str) -> bool:
        """Return True if the session lives."""
        return anyio.run(self.store.get, key) is not None

    def value(self) -> dict[str, Any] | None:
        """Return what is stored of its session."""
        entry = anyio.run(self.store.get, self.key)
        return None if entry is None else entry.value


@contextmanager
def visiting(app: ASGIApp, store: MemoryStore) -> Iterator[Visitor]:
    """Serve the application to a visitor."""
    with Visitor(app, store) as visitor:
        yield visitor


def check_signing(visitor: Visitor) -> None:
    """Sign Ann in and out. Check that she is, and that her session has ended then."""
    assert "ann" not in visitor.get("/account").text
    assert NAME not in visitor.cookies
    visitor.post("/account")
    key = visitor.key
    assert "ann" in visitor.get("/account").text

    response = visitor.delete("/account")

    assert response.status_code < 300
    assert "Max-Age=0" in response.headers["set-cookie"]
    assert NAME not in visitor.cookies
    assert not visitor.lives(key)
    assert "ann" not in visitor.get("/account").text
