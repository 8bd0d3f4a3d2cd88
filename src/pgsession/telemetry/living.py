"""What observable instruments look at: objects that are not kept alive for that."""

from __future__ import annotations

import os
from typing import Generic, TypeVar
from weakref import ref

_T = TypeVar("_T")
_About = TypeVar("_About")


class Living(Generic[_T, _About]):
    """Objects of this process that still exist, each with something about it.

    An exporter asks in a thread of its own. What was added before a fork belongs to the parent.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._all: dict[int, tuple[ref[_T], _About]] = {}

    def add(self, thing: _T, about: _About) -> None:
        """Add an object, until it is gone."""
        if self._process != os.getpid():
            self._process, self._all = os.getpid(), {}
        number, known = id(thing), self._all
        known[number] = ref(thing, lambda _: known.pop(number, None)), about

    def now(self) -> list[tuple[_T, _About]]:
        """Return those that exist now."""
        if self._process != os.getpid():
            return []
        found = [(each(), about) for each, about in list(self._all.values())]
        return [(thing, about) for thing, about in found if thing is not None]
