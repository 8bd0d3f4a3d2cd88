"""Requests without a session: which they are, and what they get in its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

from starlette.types import Scope

from pgsession.errors import SessionExcludedError


def matcher(exclude: Sequence[str] | Callable[[Scope], bool]) -> Callable[[Scope], bool]:
    """Return a predicate of the scope for path prefixes, or the predicate that was given.

    ``/static`` stands for itself and whatever lies below it, not for
    ``/statistics``. Paths are those that the application sees, below the path
    at which it is mounted.
    """
    if callable(exclude):
        return exclude
    prefixes = tuple(prefix.rstrip("/") for prefix in exclude)
    if not prefixes:
        return _excludes_nothing
    return lambda scope: _is_below(prefixes, scope)


def _excludes_nothing(_scope: Scope) -> bool:
    return False


def _is_below(prefixes: tuple[str, ...], scope: Scope) -> bool:
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and (path == root or path.startswith(root + "/")):
        path = path[len(root) :]
    return any(path == prefix or path.startswith(prefix + "/") for prefix in prefixes)


class ExcludedSession:
    """`request.session` on an excluded path: any use of it raises `SessionExcludedError`."""

    __slots__ = ()

    def _refuse(self, *_: object) -> NoReturn:
        raise SessionExcludedError(
            "This path is excluded from sessions, so it has none. Take it out of `exclude`, or do "
            "not use the session here."
        )

    __getattr__ = __getitem__ = __setitem__ = __delitem__ = _refuse
    __contains__ = __iter__ = __len__ = __bool__ = __eq__ = __or__ = __ior__ = _refuse
    __hash__ = object.__hash__
