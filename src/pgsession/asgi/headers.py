"""The response headers of a session, and a warning about a cookie that browsers drop."""

from __future__ import annotations

import logging
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Scope

from pgsession.core.session import Session

_LOGGER = logging.getLogger("pgsession")

_VARY: Final = (b"vary", b"Cookie")
_NO_STORE: Final = (b"cache-control", b"no-store")

#: Hosts to which browsers send a Secure cookie over plain HTTP.
_LOCAL: Final = (b"localhost", b"127.0.0.1", b"[::1]")


def add_headers(message: Message, *, session: Session, cookie: bytes | None) -> None:
    """Add Vary if the response depends on the session, and Set-Cookie if there is a cookie.

    A response with a cookie also gets ``Cache-Control: no-store``, unless the
    application has set Cache-Control. The response of an unavailable session
    gets it in any case. The list of headers in `message` is replaced, not
    changed in place.
    """
    unavailable = session.is_unavailable
    if cookie is None and not session.accessed and not unavailable:
        return
    message["headers"] = headers = list(message.get("headers", ()))
    names = [name.lower() for name, _ in headers]
    if b"vary" in names:
        MutableHeaders(raw=headers).add_vary_header("Cookie")
    else:
        headers.append(_VARY)
    if unavailable:
        MutableHeaders(raw=headers)["Cache-Control"] = "no-store"
    if cookie is not None:
        headers.append((b"set-cookie", cookie))
        if b"cache-control" not in names:
            headers.append(_NO_STORE)


class PlainHttpWarning:
    """Warns once if a Secure cookie is set over plain HTTP to a host other than localhost."""

    __slots__ = ("_is_given",)

    def __init__(self) -> None:
        self._is_given = False

    def check(self, scope: Scope) -> None:
        """Log the warning if the browser will drop a Secure cookie in the response to `scope`."""
        if self._is_given or scope.get("scheme", "http") not in {"http", "ws"}:
            return
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        if host.startswith(_LOCAL) or host.endswith(b".localhost"):
            return
        self._is_given = True
        _LOGGER.warning(
            "A Secure session cookie was set over plain HTTP, so the browser will drop it. Serve "
            "the site over HTTPS. Behind a proxy that does so, make the server trust the proxy's "
            "X-Forwarded-Proto header. For a plain HTTP site, set https_only=False."
        )
