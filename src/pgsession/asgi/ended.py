"""A session whose request is over: it can be read, and a change is an error."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, NoReturn

from pgsession.core.session import Session
from pgsession.errors import RequestEndedError

_LOGGER = logging.getLogger("pgsession")


class EndedSession(Session):
    """A session whose request is over, so that nothing saves its changes any more.

    A change raises `RequestEndedError`. Reading a list or a dict logs a warning,
    once in each process, because a change of it could not be seen.
    """

    #: The warning was logged.
    has_warned: bool = False

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - JSON
        member = dict.__getitem__(self, name)
        _warn_if_mutable((member,))
        return member

    def get(self, name: str, default: Any = None, /) -> Any:  # noqa: ANN401 - JSON
        return self[name] if dict.__contains__(self, name) else default

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(dict.items(self)),)

    # Each method that changes the session calls one of these, also one that was bound before.

    def note_change(self) -> NoReturn:
        raise RequestEndedError

    def _check_not_started(self) -> NoReturn:
        raise RequestEndedError

    def _attached(self) -> NoReturn:
        raise RequestEndedError


def _warning(name: str) -> Callable[..., Any]:
    method = getattr(dict, name)

    @wraps(method)
    def warned(self: EndedSession) -> Any:  # noqa: ANN401 - what `method` returns
        _warn_if_mutable(dict.values(self))
        return method(self)

    return warned


def _warn_if_mutable(members: Iterable[object]) -> None:
    if not EndedSession.has_warned and any(isinstance(each, list | dict) for each in members):
        EndedSession.has_warned = True
        _LOGGER.warning(
            "A list or dict of a session was read after its request had ended. A change of it is "
            "not saved. Change the session before the request ends, and give a task that outlives "
            "the request a copy of what it needs."
        )


# In a loop, so that type checkers see the signatures of `dict`.
for _name in ("copy", "items", "values"):
    setattr(EndedSession, _name, _warning(_name))
