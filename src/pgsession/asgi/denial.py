"""A response in place of the application's."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.types import Scope, Send


async def send_denial(
    scope: Scope,
    send: Send,
    *,
    status: int,
    body: bytes,
    close_code: int,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    """Answer with a short text that no cache keeps, and without a Set-Cookie header.

    A WebSocket that is not yet accepted is closed: with the same response if
    the server supports it, else with `close_code`, which servers turn into 403.
    """
    if not can_answer(scope):
        await send({"type": "websocket.close", "code": close_code})
        return
    prefix = "http.response" if scope["type"] == "http" else "websocket.http.response"
    sent = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode("ascii")),
        (b"cache-control", b"no-store"),
        *headers,
    ]
    await send({"type": f"{prefix}.start", "status": status, "headers": sent})
    await send({"type": f"{prefix}.body", "body": body})


def can_answer(scope: Scope) -> bool:
    """Return True if a response can be sent: a server may be unable to reject a WebSocket so."""
    return scope["type"] == "http" or "websocket.http.response" in (scope.get("extensions") or {})
