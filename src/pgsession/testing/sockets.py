"""WebSockets of a test client, with the cookies of its site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it needs httpx2, or warns that it found httpx
    from starlette.testclient import TestClient, WebSocketTestSession


def websocket_connect(
    client: TestClient,
    url: str,
    subprotocols: Sequence[str] | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
) -> WebSocketTestSession:
    """Open a WebSocket of the site of a client.

    ``with websocket_connect(client, "/ws") as socket: …``, as with `TestClient`.
    `TestClient.websocket_connect` goes to ``ws://testserver``, whatever the ``base_url``, so
    that a Secure cookie stays behind. This goes to ``wss:`` and the host of the client's
    ``base_url``, if that begins with ``https:``. Otherwise both are the same.
    """
    site = str(client.base_url)
    if "://" not in url:
        url = f"ws{site.removeprefix('http').rstrip('/')}/{url.lstrip('/')}"
    return client.websocket_connect(url, subprotocols, headers=dict(headers or {}), params=params)
