"""Members of a large session that are decoded when they are looked at."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, Final, TypeVar

import msgspec

from pgsession.core.value import JSON, compact, decode_member, printed_size

#: Held for the exchange of one member.
_LOCK: Final = threading.Lock()

_T = TypeVar("_T")


class Undecoded:  # noqa: PLW1641 - not hashable, as lists and dicts are not
    """The JSON text of a member that nobody has looked at."""

    __slots__ = ("_is_printed", "_text")

    def __init__(self, text: msgspec.Raw, *, is_printed: bool) -> None:
        self._text = text
        self._is_printed = is_printed

    def __eq__(self, other: object) -> bool:
        # Other dicts, such as a `defaultdict`, compare what they find in the memory.
        return self is other or bool(
            self.decode() == (other.decode() if type(other) is Undecoded else other)
        )

    @property
    def size(self) -> int:
        """How many bytes PostgreSQL prints."""
        return len(self._text) if self._is_printed else printed_size(bytes(self._text))

    @property
    def text(self) -> bytes:
        """The compact JSON text."""
        return compact(self._text) if self._is_printed else bytes(self._text)

    def decode(self) -> JSON:
        """Return the member, a new one each time."""
        return decode_member(bytes(self._text))


class UndecodedMembers(dict[str, Any]):
    """Has a class of dicts decode a member when it is looked at.

    The methods of `dict` itself, such as ``dict.items(session)``, show members
    as they are, `Undecoded` ones too.
    """

    __slots__ = ()

    def _look_at(self, name: Any) -> None:  # noqa: ANN401 - any object may be asked for
        member = dict.get(self, name)
        if type(member) is Undecoded:
            decoded = member.decode()
            with _LOCK:  # another thread may have looked at it, and changed what it got
                if dict.get(self, name) is member:
                    dict.__setitem__(self, name, decoded)

    def _look_at_all(self) -> None:
        for name in dict.keys(self):
            self._look_at(name)

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - JSON
        self._look_at(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None, /) -> Any:  # noqa: ANN401 - JSON
        self._look_at(name)
        return super().get(name, default)

    def __iter__(self) -> Iterator[str]:
        return super().__iter__()  # else ``dict(session)`` would copy what it finds in the memory

    def __repr__(self) -> str:
        self._look_at_all()
        return super().__repr__()

    def __reduce__(self) -> Any:  # noqa: ANN401 - what the class itself returns
        self._look_at_all()
        return super().__reduce__()


def _looking(name: str, *, at_all: bool) -> Any:  # noqa: ANN401 - the method of any name
    """Return a method that does what the class itself does, after it has decoded members."""

    def looking(self: UndecodedMembers, *args: Any, **members: Any) -> Any:  # noqa: ANN401 - as above
        if at_all:
            self._look_at_all()
        elif args:
            self._look_at(args[0])
        return getattr(super(UndecodedMembers, self), name)(*args, **members)

    looking.__name__ = name
    return looking


# In a loop, so that type checkers see the signatures of `dict`.
for _name in ("pop", "setdefault"):
    setattr(UndecodedMembers, _name, _looking(_name, at_all=False))
for _name in ("__eq__", "__ne__", "__or__", "__ror__", "copy", "items", "popitem", "values"):
    setattr(UndecodedMembers, _name, _looking(_name, at_all=True))


#: The subclasses that `undecoded_class` has made.
_CLASSES: Final[dict[type, Any]] = {}


def undecoded_class(kind: type[_T]) -> type[_T]:
    """Return the subclass of `kind`, a class of dicts, that may have `Undecoded` members."""
    if issubclass(kind, UndecodedMembers):
        return kind
    if kind not in _CLASSES:
        _CLASSES[kind] = type(kind.__name__, (UndecodedMembers, kind), {"__slots__": ()})
    made: type[_T] = _CLASSES[kind]
    return made
