"""What `Sessions.open` accepts: where the cookie of a session, or the session itself, is found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from starlette.types import Scope

from pgsession.core.hidden import HiddenBytes
from pgsession.core.session import Session


class HasScope(Protocol):
    """An object with an ASGI scope: Starlette's `Request` or `WebSocket`."""

    @property
    def scope(self) -> MutableMapping[str, Any]:
        """The ASGI scope."""
        ...


#: A session of a request; an object with an ASGI scope; the scope itself; the `environ` of
#: python-socketio, or of WSGI; the headers, as a mapping or as ASGI gives them.
Source: TypeAlias = Session | HasScope | Mapping[str, Any] | Sequence[tuple[bytes, bytes]]

#: The types of the scopes that may have a session.
_SCOPES: Final = frozenset({"http", "websocket"})

_COOKIE: Final = b"cookie"

#: Its names in a mapping.
_NAMES: Final = frozenset({"cookie", "http_cookie"})


class Opened(NamedTuple):
    """What was found in a source: a session of ours, or the scope of a request, or both."""

    session: Session | None
    scope: Scope | None

    def __repr__(self) -> str:
        return "<Opened>"


def read_source(source: object) -> Opened:
    """Return what is in `source`. Raises `TypeError` if it is none."""
    if (session := _as_session(source)) is not None:
        return Opened(session, None)
    if not isinstance(source, Mapping | list | tuple):
        source = getattr(source, "scope", source)
    if isinstance(source, Mapping):
        return _of_mapping(source.get("asgi.scope", source))
    if isinstance(source, list | tuple) and all(map(_is_header, source)):
        return Opened(None, _scope_of(source))
    raise TypeError(
        "Sessions.open() takes a session of a request, an ASGI scope, a Request or WebSocket, the "
        f"environ of Socket.IO, or headers, not {type(source).__name__}."
    )


def _of_mapping(source: Mapping[str, Any]) -> Opened:
    if source.get("type") in _SCOPES and "headers" in source:
        return Opened(_as_session(source.get("session")), dict(source))
    return Opened(None, _scope_of(_cookies(source), path=source.get("PATH_INFO", "")))


def _as_session(it: object) -> Session | None:
    """Return `it` if it is a session. `isinstance` alone would ask an object of another library."""
    return it if issubclass(type(it), Session) and isinstance(it, Session) else None


def _cookies(source: Mapping[str, Any]) -> Iterable[tuple[bytes, bytes]]:
    """Yield the cookies of a WSGI environment or of headers by name."""
    for name, text in source.items():
        if str(name).lower() in _NAMES and isinstance(text, str):
            yield _COOKIE, text.encode("latin-1", "replace")


def _scope_of(headers: Iterable[tuple[bytes, bytes]], *, path: str = "") -> Scope:
    """Return a scope with these headers, for functions of the application that take one."""
    return {
        "type": "http",
        "method": "GET",
        "scheme": "https",
        "path": path,
        "root_path": "",
        "query_string": b"",
        "headers": [(name, HiddenBytes(value)) for name, value in headers],
    }


def _is_header(pair: object) -> bool:
    match pair:
        case (bytes(), bytes()):
            return True
    return False
