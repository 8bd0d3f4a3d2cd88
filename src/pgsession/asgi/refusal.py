"""The answer while the database cannot give one."""

from __future__ import annotations

from typing import Final

from starlette.types import Scope, Send

_BODY: Final = b"Service Unavailable"
_HEADERS: Final = (
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", str(len(_BODY)).encode()),
    (b"retry-after", b"5"),
    (b"cache-control", b"no-store"),
)

#: RFC 6455's registry: try again later.
_TRY_AGAIN_LATER: Final = 1013


async def refuse(scope: Scope, send: Send) -> None:
    """Answer 503 with Retry-After (RFC 9110, section 15.6.4); no cookie is touched.

    A WebSocket is closed before it is accepted, with the same response where
    the server can send one.
    """
    if scope["type"] == "http":
        prefix = "http.response"
    elif "websocket.http.response" in (scope.get("extensions") or {}):
        prefix = "websocket.http.response"
    else:
        await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER})
        return
    await send({"type": f"{prefix}.start", "status": 503, "headers": list(_HEADERS)})
    await send({"type": f"{prefix}.body", "body": _BODY})
