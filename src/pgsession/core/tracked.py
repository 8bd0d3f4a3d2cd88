"""A dict that records that it was used, whatever used it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from pgsession.core.state import SessionState
from pgsession.core.value import ATOMS

#: The methods with which a dict is read, and those with which it is changed.
READS: Final = (
    "__contains__",
    "__eq__",
    "__getitem__",
    "__iter__",
    "__len__",
    "__ne__",
    "__or__",
    "__reversed__",
    "__ror__",
    "copy",
    "get",
    "items",
    "keys",
    "values",
)
WRITES: Final = (
    "__delitem__",
    "__ior__",
    "__setitem__",
    "clear",
    "pop",
    "popitem",
    "setdefault",
    "update",
)


#: Those of them that return no member.
_KEEPING: Final = frozenset(
    {
        "__contains__",
        "__delitem__",
        "__ior__",
        "__iter__",
        "__len__",
        "__reversed__",
        "__setitem__",
        "clear",
        "keys",
        "update",
    }
)


class TrackedDict(dict[str, Any]):
    """A `dict` that records in its state that it was used, and that it gave a list or a dict away.

    Frameworks other than Starlette read `scope["session"]`, and tell nobody. The
    package itself uses the methods of `dict`, such as ``dict.items(session)``,
    which record nothing; it changes no list and no dict that it gets so.
    """

    __slots__ = ("__weakref__", "_state")

    _state: SessionState

    def __init__(self, state: SessionState) -> None:
        set_state(self, state)

    @property
    def accessed(self) -> bool:
        """True once a handler has used the session, so that the response depends on it."""
        return self._state.accessed

    @accessed.setter
    def accessed(self, accessed: bool) -> None:
        """Do what `mark_accessed` does, for frameworks such as Quart. False is a `ValueError`."""
        if not accessed:
            raise ValueError("session.accessed cannot be set to False: it tells what was done.")
        self._state.accessed = True

    def mark_accessed(self) -> None:
        """Record that the response depends on the session, so that it gets ``Vary: Cookie``.

        Starlette's `request.session` calls this; so does each use of the mapping itself.
        """
        self._state.accessed = True

    def _note_change(self) -> None:
        """Record that the content is about to be changed."""
        state = self._state
        state.accessed = state.is_written = True

    # The methods that handlers use most are written out, as a call costs less so.

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - JSON
        state = self._state
        state.accessed = True
        member = dict.__getitem__(self, name)
        if type(member) not in ATOMS:
            state.give_out()
        return member

    def __contains__(self, name: object) -> bool:
        self._state.accessed = True
        return dict.__contains__(self, name)

    def get(self, name: str, default: Any = None, /) -> Any:  # noqa: ANN401 - JSON
        state = self._state
        state.accessed = True
        member = dict.get(self, name, default)
        if type(member) not in ATOMS:
            state.give_out()
        return member

    def __setitem__(self, name: str, member: Any) -> None:  # noqa: ANN401 - JSON
        self._note_change()
        dict.__setitem__(self, name, member)


_SLOT: Final = vars(TrackedDict)["_state"]

#: Give a session its state. No `__setattr__` is asked, as it allows a handler less.
set_state: Final[Callable[[TrackedDict, SessionState], None]] = _SLOT.__set__

#: Return the state of a session: what the package keeps there, and a handler does not see.
state_of: Final[Callable[[TrackedDict], SessionState]] = _SLOT.__get__


def _recording(name: str) -> Any:  # noqa: ANN401 - the method of any name
    """Return a method that does what the one of `dict` does, and records it."""
    method: Callable[..., Any] = getattr(dict, name)
    is_change, is_giving = name in WRITES, name not in _KEEPING

    @wraps(method)
    def recorded(self: TrackedDict, *args: object, **members: object) -> Any:  # noqa: ANN401 - as `method`
        if is_change:
            self._note_change()
        else:
            self._state.accessed = True
        if is_giving:
            self._state.give_out()
        return method(self, *args, **members)

    return recorded


# In a loop, so that type checkers see the signatures of `dict`.
for _name in {*READS, *WRITES} - vars(TrackedDict).keys():
    setattr(TrackedDict, _name, _recording(_name))
