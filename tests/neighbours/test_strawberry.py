"""Strawberry: GraphQL over HTTP and over WebSockets, in both of their protocols."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.testclient import WebSocketTestSession

from pgsession import MemoryStore
from tests.neighbours.frameworks import Visitor, program, visiting
from tests.pages import DELETED

pytest.importorskip("strawberry", reason="Strawberry is not installed")

#: The protocols, and the types of their messages that start an operation and give its result.
PROTOCOLS = [
    pytest.param("graphql-transport-ws", "subscribe", "next", id="graphql-transport-ws"),
    pytest.param("graphql-ws", "start", "data", id="graphql-ws"),
]


@pytest.fixture
def visitor() -> Iterator[Visitor]:
    store = MemoryStore()
    with visiting(program("Strawberry", store)["app"], store) as it:
        yield it


def ask(visitor: Visitor, query: str) -> Any:
    """Send a query and return the data of its result."""
    return visitor.post("/graphql/", json={"query": query}).json()["data"]


@contextmanager
def opened(visitor: Visitor, protocol: str) -> Iterator[WebSocketTestSession]:
    """Open a WebSocket of a protocol."""
    with visitor.connect("/graphql/", protocol) as socket:
        socket.send_json({"type": "connection_init"})
        assert socket.receive_json()["type"] == "connection_ack"
        yield socket


def ask_over(socket: Any, start: str, result: str, query: str) -> Any:
    """Send a query over a WebSocket and return the data of its first result."""
    socket.send_json({"id": query, "type": start, "payload": {"query": query}})
    while (message := socket.receive_json())["type"] != result:
        assert message["type"] not in {"error", "connection_error"}
    return message["payload"]["data"]


def test_http(visitor: Visitor) -> None:
    """Mutations sign in and out, and the session has ended before the result of the last one."""
    assert ask(visitor, "{ user }") == {"user": None}
    ask(visitor, "mutation { signIn }")
    key = visitor.key
    assert ask(visitor, "{ user }") == {"user": "ann"}

    response = visitor.post("/graphql/", json={"query": "mutation { signOut }"})

    assert response.headers["set-cookie"] == DELETED
    assert not visitor.lives(key)


@pytest.mark.parametrize(("protocol", "start", "result"), PROTOCOLS)
def test_subscription(visitor: Visitor, protocol: str, start: str, result: str) -> None:
    """A subscription reads the session."""
    ask(visitor, "mutation { signIn }")

    with opened(visitor, protocol) as socket:
        assert ask_over(socket, start, result, "subscription { events }") == {"events": "ann"}


def test_signed_out_over_socket(visitor: Visitor) -> None:
    """A logout over a WebSocket has ended the session when the WebSocket is closed."""
    ask(visitor, "mutation { signIn }")
    key = visitor.key

    with opened(visitor, "graphql-transport-ws") as socket:
        left = ask_over(socket, "subscribe", "next", "mutation { signOut }")

    assert left == {"signOut": True}
    assert not visitor.lives(key)
