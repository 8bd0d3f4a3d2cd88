"""What `Sessions.open` accepts: where the cookie of a session, or the session itself, is found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

from msgspec import Struct
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

#: The variables of a WSGI environment that are headers begin with this.
_PREFIX: Final = "HTTP_"


class Opened(Struct, frozen=True):
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
        return _of_mapping(source)
    if isinstance(source, list | tuple) and all(map(_is_header, source)):
        return Opened(None, _scope_of(source))
    raise TypeError(
        "Sessions.open() takes a session of a request, an ASGI scope, a Request or WebSocket, the "
        f"environ of Socket.IO, or headers, not {type(source).__name__}."
    )


def _of_mapping(source: Mapping[str, Any]) -> Opened:
    """Tell a scope, an environment and headers apart.

    The client names and writes its headers, but all of them are texts: what only a server can
    have put there is no text.
    """
    within = source.get("asgi.scope")
    scope = within if isinstance(within, Mapping) else source
    if scope.get("type") in _SCOPES and isinstance(scope.get("headers"), list | tuple):
        return Opened(_as_session(scope.get("session")), dict(scope))
    if isinstance(source.get("wsgi.version"), tuple):
        return Opened(None, _scope_of(_variables(source), path=str(source.get("PATH_INFO", ""))))
    return Opened(None, _scope_of(_texts(source.items())))


def _as_session(it: object) -> Session | None:
    """Return `it` if it is a session. `isinstance` alone would ask an object of another library."""
    return it if issubclass(type(it), Session) and isinstance(it, Session) else None


def _variables(environment: Mapping[str, Any]) -> Iterable[tuple[bytes, bytes]]:
    """Yield the headers of a WSGI environment (PEP 3333)."""
    return _texts(
        (name.removeprefix(_PREFIX).replace("_", "-"), text)
        for name, text in environment.items()
        if name.startswith(_PREFIX)
    )


def _texts(headers: Iterable[tuple[object, object]]) -> Iterable[tuple[bytes, bytes]]:
    """Yield headers as ASGI has them."""
    for name, text in headers:
        if isinstance(name, str) and isinstance(text, str):
            yield name.lower().encode("latin-1", "replace"), text.encode("latin-1", "replace")


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
