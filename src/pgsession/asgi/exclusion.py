"""Excluded requests: which requests have no session, and what they get instead of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

from starlette.types import Scope

from pgsession.errors import SessionExcludedError


def matcher(exclude: Sequence[str] | Callable[[Scope], bool]) -> Callable[[Scope], bool]:
    """Return a function that tells whether a scope is excluded.

    If `exclude` is a function, return it. Else it is a list of path prefixes:
    ``/static`` excludes ``/static`` and all paths below it, but not
    ``/static-old``. For a mounted application, prefixes are relative to the
    path of the mount.
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
    """`request.session` on an excluded path. Any use of it raises `SessionExcludedError`."""

    __slots__ = ()

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # copy, debuggers and others look for optional methods
            raise AttributeError(name)
        reject_use()

    def __getitem__(self, name: str) -> NoReturn:
        reject_use()

    def __setitem__(self, name: str, member: object) -> NoReturn:
        reject_use()

    def __delitem__(self, name: str) -> NoReturn:
        reject_use()

    def __contains__(self, name: object) -> NoReturn:
        reject_use()

    def __iter__(self) -> NoReturn:
        reject_use()

    def __len__(self) -> NoReturn:  # noqa: PLE0303 - it raises
        reject_use()

    def __bool__(self) -> NoReturn:  # noqa: PLE0304 - it raises
        reject_use()

    def __eq__(self, other: object) -> NoReturn:
        reject_use()

    def __hash__(self) -> NoReturn:  # noqa: PLE0309 - it raises
        reject_use()

    def __or__(self, other: object) -> NoReturn:
        reject_use()

    def __ior__(self, other: object) -> NoReturn:
        reject_use()


def reject_use() -> NoReturn:
    """Raise `SessionExcludedError`."""
    raise SessionExcludedError(
        "This path is excluded from sessions. Take it out of `exclude`, or do not use the "
        "session here."
    )
