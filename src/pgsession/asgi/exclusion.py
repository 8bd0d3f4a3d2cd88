"""Requests without a session: which they are, and what they get in its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

from starlette.types import Scope

from pgsession.errors import SessionExcludedError


def matcher(exclude: Sequence[str] | Callable[[Scope], bool]) -> Callable[[Scope], bool]:
    """Return a predicate of the scope for path prefixes, or the predicate that was given.

    ``/static`` stands for itself and whatever lies below it, not for
    ``/static-old``. Paths are those that the application sees, below the path
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

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # copy, debuggers and the like ask what an object can do
            raise AttributeError(name)
        _refuse()

    def __getitem__(self, name: str) -> NoReturn:
        _refuse()

    def __setitem__(self, name: str, member: object) -> NoReturn:
        _refuse()

    def __delitem__(self, name: str) -> NoReturn:
        _refuse()

    def __contains__(self, name: object) -> NoReturn:
        _refuse()

    def __iter__(self) -> NoReturn:
        _refuse()

    def __len__(self) -> NoReturn:  # noqa: PLE0303 - it raises
        _refuse()

    def __bool__(self) -> NoReturn:  # noqa: PLE0304 - it raises
        _refuse()

    def __eq__(self, other: object) -> NoReturn:
        _refuse()

    def __hash__(self) -> NoReturn:  # noqa: PLE0309 - it raises
        _refuse()

    def __or__(self, other: object) -> NoReturn:
        _refuse()

    def __ior__(self, other: object) -> NoReturn:
        _refuse()


def _refuse() -> NoReturn:
    raise SessionExcludedError(
        "This path is excluded from sessions, so it has none. Take it out of `exclude`, or do "
        "not use the session here."
    )
