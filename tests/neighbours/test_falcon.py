"""Falcon reads the session from the scope of a request."""

from collections.abc import Iterator
from typing import Any

import pytest

from pgsession import MemoryStore
from tests.neighbours.frameworks import Visitor, check_signing, program, visiting

falcon = pytest.importorskip("falcon", reason="Falcon is not installed")


class Basket:
    """Puts something into the session, and fails if it is asked to."""

    async def on_get(self, req: Any, resp: Any) -> None:
        req.scope["session"]["basket"] = ["tea"]
        if req.params:
            raise LookupError
        resp.media = {}

    async def on_websocket(self, req: Any, ws: Any) -> None:
        await ws.accept()
        await ws.send_text(req.scope["session"]["basket"][0])
        req.scope["session"]["socket"] = True
        await ws.close()


@pytest.fixture
def visitor() -> Iterator[Visitor]:
    store = MemoryStore()
    names = program("Falcon", store)
    names["api"].add_route("/basket", Basket())
    with visiting(names["app"], store) as it:
        yield it


def test_signing(visitor: Visitor) -> None:
    """A login and a logout work as in Starlette."""
    check_signing(visitor)


def test_failed(visitor: Visitor) -> None:
    """Nothing is saved of a request that fails: Falcon answers 500."""
    assert visitor.get("/basket?fail=1").status_code == 500
    assert not visitor.cookies


def test_socket(visitor: Visitor) -> None:
    """A WebSocket reads the session, and what it changes is saved."""
    visitor.get("/basket")

    with visitor.connect("/basket") as socket:
        assert socket.receive_text() == "tea"

    assert visitor.value() == {"basket": ["tea"], "socket": True}
