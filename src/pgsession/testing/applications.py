"""The session middleware of an application, found behind whatever stands around it."""

from __future__ import annotations

import types
from collections.abc import Iterator
from inspect import getclosurevars
from typing import Final

from starlette.applications import Starlette

from pgsession.asgi.middleware import SessionMiddleware
from pgsession.errors import SettingsError

#: Where applications and middleware keep what they call.
_INNER: Final = (
    "app",
    "_app",
    "application",
    "asgi_app",
    "other_asgi_app",
    "router",
    "middleware_stack",
)


def middleware_of(app: object) -> SessionMiddleware:
    """Return the one `SessionMiddleware` of an application.

    It may stand around the application or in it, behind other middleware, in a mounted
    application or at a route. A Starlette application that was not called yet is made
    ready, as its first request does. Raises `SettingsError` if there is none, or more than
    one.
    """
    found: list[SessionMiddleware] = []
    seen: dict[int, object] = {}  # with the objects, so that no number is used again
    waiting = [app]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen[id(part)] = part
        if isinstance(part, SessionMiddleware):
            found.append(part)
        waiting.extend(_parts(part))
    match found:
        case [middleware]:
            return middleware
        case []:
            raise SettingsError(
                "The client's application has no SessionMiddleware of pgsession, or it stands "
                "inside something that does not keep it as `app`. Make the client of an "
                "application that has it."
            )
        case _:
            raise SettingsError(
                f"The client's application has {len(found)} SessionMiddlewares. Make another "
                "client, of the mounted application whose session you mean, with "
                "cookies=client.cookies.jar."
            )


def _parts(part: object) -> Iterator[object]:
    """Yield what an application, a middleware or a route may pass its requests on to."""
    if isinstance(part, Starlette) and part.middleware_stack is None:
        part.middleware_stack = part.build_middleware_stack()
    if isinstance(part, types.MethodType):
        yield part.__self__
    elif isinstance(part, types.FunctionType):
        yield from _closure(part)
    else:
        members = getattr(part, "__dict__", {})
        yield from (members[name] for name in _INNER if name in members)
        yield from members.get("routes", ())


def _closure(function: types.FunctionType) -> Iterator[object]:
    """Yield the application that a function calls, if it is a middleware."""
    cells = getclosurevars(function).nonlocals
    yield from (cells[name] for name in _INNER if name in cells)
