"""Quart's `session` is ours with the class of docs/how-to/frameworks.md; `flash` uses it too."""

from collections.abc import Iterator
from typing import Any

import pytest

from pgsession import MemoryStore
from tests.neighbours.frameworks import Visitor, check_signing, program, visiting

quart = pytest.importorskip("quart", reason="Quart is not installed")


@pytest.fixture
def visitor() -> Iterator[Visitor]:
    store = MemoryStore()
    app = program("Quart", store)["app"]
    for page in (basket, fail, leave_message, read_messages):
        app.get(f"/{page.__name__}")(page)
    app.websocket("/socket")(serve)
    with visiting(app, store) as it:
        yield it


async def basket() -> dict[str, Any]:
    quart.session["basket"] = ["tea"]
    return {}


async def fail() -> None:
    await basket()
    raise LookupError


async def leave_message() -> dict[str, Any]:
    await quart.flash("Good bye.")
    return {}


async def read_messages() -> list[str]:
    messages: list[str] = quart.get_flashed_messages()
    return messages


async def serve() -> None:
    await quart.websocket.send(quart.session["basket"][0])
    quart.session["socket"] = True


def test_signing(visitor: Visitor) -> None:
    """A login and a logout work as in Starlette."""
    check_signing(visitor)


def test_failed(visitor: Visitor) -> None:
    """Nothing is saved of a request that fails: Quart answers 500."""
    assert visitor.get("/fail").status_code == 500
    assert not visitor.cookies


def test_flashed(visitor: Visitor) -> None:
    """A message for the next page is shown once."""
    visitor.get("/leave_message")

    assert visitor.get("/read_messages").json() == ["Good bye."]
    assert visitor.get("/read_messages").json() == []


def test_socket(visitor: Visitor) -> None:
    """A WebSocket reads the session, and what it changes is saved, although Quart uses a task."""
    visitor.get("/basket")

    with visitor.connect("/socket") as socket:
        assert socket.receive_text() == "tea"

    assert visitor.value() == {"basket": ["tea"], "socket": True}
