"""BlackSheep reads the session from the scope of a request or a WebSocket."""

from collections.abc import Iterator
from typing import Any

import pytest

from pgsession import MemoryStore
from tests.neighbours.frameworks import Visitor, check_signing, program, visiting

blacksheep = pytest.importorskip("blacksheep", reason="BlackSheep is not installed")


@pytest.fixture
def visitor() -> Iterator[Visitor]:
    store = MemoryStore()
    names = program("BlackSheep", store)
    router = names["api"].router
    router.add_get("/basket", basket)
    router.add_get("/fail", fail)
    router.add_ws("/socket", serve)
    with visiting(names["app"], store) as it:
        yield it


async def basket(request: Any) -> Any:
    request.scope["session"]["basket"] = ["tea"]


async def fail(request: Any) -> Any:
    await basket(request)
    raise LookupError


async def serve(websocket: Any) -> None:
    await websocket.accept()
    await websocket.send_text(websocket.scope["session"]["basket"][0])
    websocket.scope["session"]["socket"] = True
    await websocket.close()


def test_signing(visitor: Visitor) -> None:
    """A login and a logout work as in Starlette."""
    check_signing(visitor)


def test_failed(visitor: Visitor) -> None:
    """Nothing is saved of a request that fails: BlackSheep answers 500."""
    assert visitor.get("/fail").status_code == 500
    assert not visitor.cookies


def test_socket(visitor: Visitor) -> None:
    """A WebSocket reads the session, and what it changes is saved."""
    visitor.get("/basket")

    with visitor.connect("/socket") as socket:
        assert socket.receive_text() == "tea"

    assert visitor.value() == {"basket": ["tea"], "socket": True}
