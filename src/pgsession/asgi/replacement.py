"""What an application puts into ``scope["session"]`` in place of its session.

| What is there when the response starts | What is done |
|---|---|
| nothing: the key was removed | the session is ended |
| None, a class or a member of an Enum, such as Litestar's `Empty` | the session is ended |
| the same, where Litestar has a session middleware of its own | nothing: that one's session ended |
| a dict, put there by a route of Litestar (`set_session`) | it replaces the content |
| another dict, or another object in a route of Litestar | an error is logged |
| a dict of starsessions, or of a session middleware of Litestar's | nothing: it is theirs |
| an object of another class, such as the session of Starlette's middleware | the same |

A dict is taken over only where no other session middleware can have put it there:
else its content would get into the row, and the session of the visitor would be lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto

from starlette.types import Scope


class Replacement(Enum):
    """What an object in the place of a session means."""

    #: Another middleware keeps its own session there.
    NEIGHBOUR = auto()
    #: The application has ended the session.
    END = auto()
    #: The application has replaced the whole content.
    CONTENT = auto()
    #: It may be either of the last but one: nothing can be done safely.
    UNKNOWN = auto()


def judge_replacement(scope: Scope) -> Replacement:
    """Judge what is in ``scope["session"]``, if it is not the session that was put there."""
    put = scope.get("session")
    kind = type(put)  # `isinstance` would ask an object of another library
    is_litestar = "litestar_app" in scope
    if put is None:
        return Replacement.END
    if issubclass(kind, Enum | type):
        is_theirs = is_litestar and _brings_sessions(scope)
        return Replacement.NEIGHBOUR if is_theirs else Replacement.END
    if "session_handler" in scope:  # starsessions
        return Replacement.NEIGHBOUR
    if not is_litestar:
        return Replacement.UNKNOWN if kind is dict else Replacement.NEIGHBOUR
    if _is_mount(scope):
        return Replacement.UNKNOWN if kind is dict else Replacement.NEIGHBOUR
    if _brings_sessions(scope):
        return Replacement.NEIGHBOUR
    return Replacement.CONTENT if kind is dict else Replacement.UNKNOWN


def _is_mount(scope: Scope) -> bool:
    """Return True if the route of Litestar is another application, which may bring anything."""
    return "ASGIRouteHandler" in {each.__name__ for each in type(scope["route_handler"]).__mro__}


def _brings_sessions(scope: Scope) -> bool:
    """Return True if a session middleware that is not ours is around the route of Litestar."""
    resolve = getattr(scope.get("route_handler"), "resolve_middleware", tuple)
    return any(_keeps_sessions(getattr(each, "middleware", each)) for each in resolve())


def _keeps_sessions(middleware: object) -> bool:
    """Return True for a class or a function that is called after sessions and not ours."""
    classes: Iterable[object] = getattr(middleware, "__mro__", (middleware,))
    names = [f"{getattr(it, '__module__', '')}.{getattr(it, '__name__', '')}" for it in classes]
    is_ours = any(name.startswith("pgsession.") for name in names)
    return not is_ours and any("session" in name.lower() for name in names)
