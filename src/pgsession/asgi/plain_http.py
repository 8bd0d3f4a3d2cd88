"""A warning for a mistake that shows only in the browser: a Secure cookie over plain HTTP."""

from __future__ import annotations

import logging
from typing import Final

from starlette.types import Scope

_LOGGER = logging.getLogger("pgsession")

#: Hosts to which browsers send a Secure cookie over plain HTTP.
_LOCAL: Final = (b"localhost", b"127.0.0.1", b"[::1]")


class PlainHttpWarning:
    """Given once, when a Secure cookie is set over plain HTTP to another host than this one."""

    __slots__ = ("_is_given",)

    def __init__(self) -> None:
        self._is_given = False

    def consider(self, scope: Scope) -> None:
        """Warn if the response to `scope` carries a cookie that the browser will drop."""
        if self._is_given or scope.get("scheme", "http") not in {"http", "ws"}:
            return
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        if host.startswith(_LOCAL) or host.endswith(b".localhost"):
            return
        self._is_given = True
        _LOGGER.warning(
            "A Secure session cookie was set over plain HTTP, so the browser will drop it. Serve "
            "HTTPS; behind a proxy that does, let the server trust its X-Forwarded-Proto; or, for "
            "a plain HTTP site, set https_only=False."
        )
