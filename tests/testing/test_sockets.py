"""WebSockets of a test client take the session's cookie along."""

import pytest
from starlette.testclient import TestClient

from pgsession import MemoryStore
from pgsession.testing import signed_in, websocket_connect
from tests.testing.site import ADDRESS, make_app


@pytest.mark.parametrize(
    ("base_url", "url", "arrived"),
    [
        (ADDRESS, "/ws", ["wss", "testserver", "/ws", ""]),
        ("https://example.com:8443", "ws?a=1", ["wss", "example.com:8443", "/ws", "a=1"]),
        ("https://testserver/below/", "/ws", ["wss", "testserver", "/below/ws", ""]),
        (ADDRESS, "wss://testserver/ws", ["wss", "testserver", "/ws", ""]),
    ],
    ids=["path", "host-and-query", "base-path", "whole"],
)
def test_secure(base_url: str, url: str, arrived: list[str]) -> None:
    """A WebSocket goes to the site of the client's base_url, with the Secure cookie."""
    client = signed_in(TestClient(make_app(MemoryStore()), base_url=base_url), "ann")

    with websocket_connect(client, url, headers={"x-test": "yes"}) as socket:
        assert socket.receive_json() == ["ann", *arrived, "yes"]


def test_starlettes_own() -> None:
    """`TestClient.websocket_connect` alone leaves the Secure cookie behind."""
    client = signed_in(TestClient(make_app(MemoryStore()), base_url=ADDRESS), "ann")

    with client.websocket_connect("/ws") as socket:
        user_id, scheme, *_ = socket.receive_json()

    assert (user_id, scheme) == (None, "ws")


def test_plain() -> None:
    """Over plain HTTP it is ``ws:``; subprotocols and parameters are passed on."""
    app = make_app(MemoryStore(), https_only=False)
    client = signed_in(TestClient(app), "ann")

    with websocket_connect(client, "/ws", ["chat"], params={"a": "1"}) as socket:
        assert socket.accepted_subprotocol == "chat"
        assert socket.receive_json() == ["ann", "ws", "testserver", "/ws", "a=1", None]
