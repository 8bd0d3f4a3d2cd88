"""The order of an application's middleware: what stands outside of ours has no session."""

from __future__ import annotations

import dis
import logging
from collections.abc import Iterator, Sequence
from inspect import unwrap
from types import CodeType
from typing import Final

from starlette.middleware import Middleware
from starlette.types import Scope

from pgsession.asgi.neighbours import OwnMiddleware
from pgsession.core.logs import event, own_logger

_LOGGER = own_logger()

_REMEDY: Final = (
    "Add SessionMiddleware after it (add_middleware and @app.middleware put each new one around "
    "those before), or list it first in middleware=[…]."
)

_SESSION: Final = "session"

#: The parameters of a dispatch function: the request and `call_next`.
_PARAMETERS: Final = 2

#: The instructions that read an attribute.
_ATTRIBUTE: Final = frozenset({"LOAD_ATTR", "LOAD_METHOD"})


def order_hint(scope: Scope) -> str | None:
    """Return why a request may have no session although the application has our middleware.

    None if the scope has a session, or if its Starlette or FastAPI application
    does not list `SessionMiddleware`.
    """
    listed = _listed(scope)
    if _SESSION in scope or _position(listed) == len(listed):
        return None
    return (
        "This application has SessionMiddleware, but this code runs outside of it, in a middleware "
        f"that was added later. {_REMEDY} (Or the path is excluded, with "
        'excluded_session="absent".)'
    )


def log_misplaced(scope: Scope) -> None:
    """Log each function-based middleware that stands outside and uses the session.

    `scope` is that of the lifespan or of a request. Only what can be read in its code is found:
    ``request.session`` in the dispatch function of a `BaseHTTPMiddleware`, as
    ``@app.middleware("http")`` adds it. Nothing is logged if another session middleware stands
    outside.
    """
    listed = _listed(scope)
    outside = listed[: _position(listed)]
    if len(outside) == len(listed) or _SESSION in scope or any(map(_has_session, outside)):
        return
    for each in outside:
        dispatch = _dispatch_of(each)
        if (level := _level_of(dispatch)) is not None:
            _LOGGER.log(
                level,
                "%s uses request.session, but it stands outside of SessionMiddleware: it has no "
                "session before call_next, and saves no change after it. %s",
                getattr(dispatch, "__qualname__", "A middleware"),
                _REMEDY,
                extra=event("middleware_misplaced"),
            )


def _listed(scope: Scope) -> Sequence[Middleware]:
    """Return the middleware that was added to the Starlette application, outermost first."""
    listed = getattr(scope.get("app"), "user_middleware", ())
    return listed if isinstance(listed, Sequence) else ()


def _position(listed: Sequence[Middleware]) -> int:
    """Return where the outermost of ours stands; without one, the number of all."""
    return next((at for at, each in enumerate(listed) if _is_of(each, OwnMiddleware)), len(listed))


def _is_of(each: Middleware, kind: type) -> bool:
    factory = getattr(each, "cls", None)
    return isinstance(factory, type) and issubclass(factory, kind)


def _has_session(each: Middleware) -> bool:
    """Return True if a middleware seems to be another library's for sessions."""
    return _SESSION in getattr(getattr(each, "cls", None), "__name__", "").lower()


def _dispatch_of(each: Middleware) -> object:
    """Return the dispatch function of a `BaseHTTPMiddleware`, or None."""
    from starlette.middleware.base import BaseHTTPMiddleware  # noqa: PLC0415 - few need it

    if not _is_of(each, BaseHTTPMiddleware):
        return None
    given = each.kwargs.get("dispatch", each.args[0] if each.args else None)
    return given if callable(given) else getattr(each.cls, "dispatch", None)


def _level_of(dispatch: object) -> int | None:
    """Return how to log that a function reads ``request.session``; None if it does not.

    ERROR if it does so before it mentions `call_next`, where it fails; after that it can read the
    session, but no more. Code that also names the key ``"session"`` may look whether it is
    there, so it does not count.
    """
    code = getattr(unwrap(dispatch) if callable(dispatch) else None, "__code__", None)
    if not isinstance(code, CodeType) or code.co_argcount < _PARAMETERS:
        return None
    parts = list(_parts(code))
    if any(_SESSION in part.co_consts for part in parts):
        return None
    request, call_next = code.co_varnames[code.co_argcount - _PARAMETERS : code.co_argcount]
    named = [name for part in parts for name in _named(part, request, call_next)]
    if _SESSION not in named:
        return None
    return logging.ERROR if named[0] == _SESSION else logging.WARNING


def _parts(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of a function and of the functions in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _parts(constant)


def _named(code: CodeType, request: str, call_next: str) -> Iterator[str]:
    """Yield `call_next` where it is read, and "session" where that attribute of `request` is."""
    loaded: object = None
    for instruction in dis.get_instructions(code):
        name, given = instruction.opname, instruction.argval
        if "LOAD_FAST" in name or name == "LOAD_DEREF":
            names = given if isinstance(given, tuple) else (given,)  # several from Python 3.13 on
            loaded = names[-1]
            if call_next in names:
                yield call_next
        else:
            if name in _ATTRIBUTE and given == _SESSION and loaded == request:
                yield _SESSION
            loaded = None
