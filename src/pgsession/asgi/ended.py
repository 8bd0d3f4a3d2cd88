"""A session whose request is over: it can be read, and a change is an error."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, ClassVar, NoReturn

from pgsession.asgi.reference import Reference
from pgsession.core.logs import event, own_logger
from pgsession.core.session import Session
from pgsession.core.tracked import state_of
from pgsession.core.undecoded import UndecodedMembers, undecoded_class
from pgsession.errors import RequestEndedError

_LOGGER = own_logger()


class EndedSession(Session):
    """A session whose request is over, so that nothing saves its changes any more.

    A change raises `RequestEndedError`. It also logs a warning, once in each
    process, and so does reading a list or a dict, because a change of it could
    not be seen.
    """

    __slots__ = ()

    #: The warnings that were logged.
    given: ClassVar[set[str]] = set()

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - JSON
        member = dict.__getitem__(self, name)
        _warn_if_mutable((member,))
        return member

    def get(self, name: str, default: Any = None, /) -> Any:  # noqa: ANN401 - JSON
        return self[name] if dict.__contains__(self, name) else default

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(dict.items(self)),)

    # Each method that changes the session calls one of these, also one that was bound before.

    def _note_change(self) -> NoReturn:
        # The error of a task that is kept, as asyncio advises, is seen by nobody.
        _warn("A session was changed after its request had ended. The change is not saved.")
        raise RequestEndedError

    def _check_not_started(self) -> NoReturn:
        raise RequestEndedError

    def _attached(self) -> NoReturn:
        raise RequestEndedError

    @property
    def handle(self) -> NoReturn:
        """Not known any more: the request may have ended the session, or begun another."""
        raise RequestEndedError


def end(session: Session, reference: Reference | None) -> None:
    """Make `session` one whose request is over, and whose row `reference` leads to.

    An unavailable one stays what it is.
    """
    state = state_of(session)
    state.attachment, state.reference = None, reference
    if type(session) is Session:  # nearly always; its own `__setattr__` asks more
        object.__setattr__(session, "__class__", EndedSession)
        return
    if session.is_unavailable:
        return
    is_large = isinstance(session, UndecodedMembers)
    kind = undecoded_class(EndedSession) if is_large else EndedSession
    object.__setattr__(session, "__class__", kind)


def _warning(name: str) -> Callable[..., Any]:
    method = getattr(dict, name)

    @wraps(method)
    def warned(self: EndedSession) -> Any:  # noqa: ANN401 - what `method` returns
        _warn_if_mutable(dict.values(self))
        return method(self)

    return warned


def _warn_if_mutable(members: Iterable[object]) -> None:
    if any(isinstance(each, list | dict) for each in members):
        _warn(
            "A list or dict of a session was read after its request had ended. A change of it is "
            "not saved."
        )


def _warn(text: str) -> None:
    if text not in EndedSession.given:
        EndedSession.given.add(text)
        _LOGGER.warning(
            "%s Change the session before the request ends, or open it again: async with "
            "sessions.open(session), of pgsession.Sessions.",
            text,
            extra=event("read_after_request"),
        )


def _typed(self: EndedSession, *args: Any, **default: Any) -> Any:  # noqa: ANN401 - as `typed`
    _warn(
        "A typed object of a session was read after its request had ended. A change of it is not "
        "saved."
    )
    return Session.typed(self, *args, **default)


# In a loop, so that type checkers see the signatures of `dict`.
for _name in ("copy", "items", "values"):
    setattr(EndedSession, _name, _warning(_name))
setattr(EndedSession, "typed", _typed)  # noqa: B010 - as above
