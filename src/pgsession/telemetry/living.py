"""What observable instruments look at: objects that are not kept alive for that."""

from __future__ import annotations

from typing import Generic, TypeVar
from weakref import ref

_T = TypeVar("_T")
_About = TypeVar("_About")


class Living(Generic[_T, _About]):
    """Objects that still exist, each with something about it.

    An exporter asks in a thread of its own. After a fork it asks the copies in the child too: each
    object knows what of it belongs to which process.
    """

    def __init__(self) -> None:
        self._all: dict[int, tuple[ref[_T], _About]] = {}

    def add(self, thing: _T, about: _About) -> None:
        """Add an object, until it is gone."""
        number, known = id(thing), self._all
        known[number] = ref(thing, lambda _: known.pop(number, None)), about

    def now(self) -> list[tuple[_T, _About]]:
        """Return those that exist now."""
        found = [(each(), about) for each, about in list(self._all.values())]
        return [(thing, about) for thing, about in found if thing is not None]
