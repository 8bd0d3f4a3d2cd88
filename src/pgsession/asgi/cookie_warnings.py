"""Warnings that are logged once for each middleware: cookies that are dropped or overwritten."""

from __future__ import annotations

import logging
import re
from typing import Final

from starlette.types import Scope

from pgsession.asgi.caching import Headers
from pgsession.core.cookie import Cookie
from pgsession.core.logs import Event, event, own_logger

_LOGGER = own_logger()

#: Hosts to which browsers, except Safari, send a Secure cookie over plain HTTP.
_LOCAL: Final = rb"(?:.*\.)?localhost|127\.\d+\.\d+\.\d+|\[::1\]"

_PLAIN_HTTP: Final = (
    "A Secure session cookie was set over plain HTTP, so the browser will drop it unless a proxy "
    "in front serves HTTPS. Serve the site over HTTPS. Behind a proxy that does so, make the "
    "server trust the proxy's X-Forwarded-Proto header. For a plain HTTP site, set "
    "https_only=False."
)
_OTHER_DOMAIN: Final = (
    "A session cookie was set for a domain that is not the request's host, so the browser will "
    "drop it. Set domain to the host or to a domain above it, or leave it out. Behind a proxy, "
    "make it pass the Host header on."
)
_CROSS_SITE: Final = (
    "%s %r came from another site without the cookie of a living session, so what its handler "
    "stored was dropped: a new session would take the place of the visitor's. Answer such a "
    "request with a redirect (303) to a page of this site, or call session.login() if the request "
    "signs a visitor in."
)
_READ_LATE: Final = (
    "A session was first used after its response had started, so the response does not say "
    "Vary: Cookie, and a cache may give it to others. Use the session before the response starts, "
    "or call session.mark_accessed() there."
)
_SAME_NAME: Final = (
    "Another session middleware in this application uses the cookie name %r too, so the two "
    "overwrite each other's cookie. Give one of them another name (session_cookie)."
)

_REPLACED: Final = (
    'An object of the class %s was put into scope["session"], and it is not saved: the visitor has '
    "the session from before. To replace the content, call session.clear() and session.update(), "
    "and to sign out, session.logout(). If another session middleware has put it there, nothing is "
    "lost."
)

_SAME_PLACE: Final = (
    "Two session middlewares in this application bind sessions to devices at the same place, so "
    "browsers cannot register with the inner one. Give one of them another device_binding_path."
)


class CookieWarnings:
    """What is logged once for each middleware."""

    def __init__(self, cookie: Cookie) -> None:
        self._cookie = cookie
        self._set_cookie = f"{cookie.name}=".encode("ascii")
        self._given: set[str] = set()

    def check_cookie(self, scope: Scope) -> None:
        """Warn if the browser will drop the cookie in the response to `scope`."""
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        if self._cookie.secure and _is_plain_http(scope, host):
            self._warn("cookie_plain_http", _PLAIN_HTTP)
        domain = (self._cookie.domain or "").lower().lstrip(".").encode("ascii")
        name = _name_of(host)
        if domain and name and name != domain and not name.endswith(b"." + domain):
            self._warn("cookie_other_domain", _OTHER_DOMAIN)

    def cross_site(self, scope: Scope) -> None:
        """Warn that the changes of a request from another site were dropped."""
        self._warn(
            "cross_site_dropped", _CROSS_SITE, scope.get("method", "A WebSocket"), scope["path"]
        )

    def read_late(self) -> None:
        """Warn that a streaming response was the first to read the session."""
        self._warn("read_late", _READ_LATE)

    def same_name(self) -> None:
        """Warn that another middleware uses the cookie's name."""
        self._warn("cookie_name_shared", _SAME_NAME, self._cookie.name)

    def same_place(self) -> None:
        """Warn that another middleware binds sessions to devices at the same place."""
        self._warn("binding_path_shared", _SAME_PLACE)

    def replaced(self, kind: type) -> None:
        """Log an error: an object was put into the scope in place of the session."""
        self._warn("session_replaced", _REPLACED, kind.__qualname__, level=logging.ERROR)

    def check_neighbour(self, headers: Headers) -> None:
        """Warn if the application has set a cookie of our name; it may delete one."""
        for name, value in headers:
            if (
                value.startswith(self._set_cookie)
                and name.lower() == b"set-cookie"
                and not _deletes(value)
            ):
                self.same_name()

    def _warn(self, name: Event, text: str, *arguments: str, level: int = logging.WARNING) -> None:
        if name not in self._given:
            self._given.add(name)
            _LOGGER.log(level, text, *arguments, extra=event(name))


def _deletes(set_cookie: bytes) -> bool:
    """Return True if a Set-Cookie text deletes the cookie."""
    _, *attributes = set_cookie.lower().split(b";")
    for attribute in attributes:
        name, _, value = (part.strip() for part in attribute.partition(b"="))
        if name == b"max-age" and (value.startswith(b"-") or not value.strip(b"0")):
            return True
        if name == b"expires" and (b"1970" in value or b"1969" in value):
            return True
    return False


def _is_plain_http(scope: Scope, host: bytes) -> bool:
    if scope.get("scheme", "http") not in {"http", "ws"}:
        return False
    return re.fullmatch(_LOCAL, _name_of(host)) is None


def _name_of(host: bytes) -> bytes:
    """Return the name in a Host header, in lower case and without the port."""
    name, _, port = host.lower().rpartition(b":")
    return (name if port.isdigit() else host.lower()).removesuffix(b".")
