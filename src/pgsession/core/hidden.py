"""Texts that no repr shows: keys, secrets and database URLs.

Error trackers store the repr of the local variables of each frame. What is secret is
therefore kept in one of these types from the moment it comes in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

from pgsession.errors import SettingsError

_T = TypeVar("_T")

_SHOWN: Final = "<hidden>"


class Hidden(str):
    """A str whose repr shows nothing of it. In all else it is that str."""

    __slots__ = ()

    def __repr__(self) -> str:
        return _SHOWN


class HiddenBytes(bytes):
    """The same of bytes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return _SHOWN


class HiddenDict(dict[str, Any]):
    """A dict whose repr shows nothing of it."""

    def __repr__(self) -> str:
        return _SHOWN


class HiddenMapping(Mapping[str, str]):
    """A mapping that shows nothing of another, and reads there only what is asked for."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given

    def __getitem__(self, name: str) -> str:
        return self._given[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)

    def __repr__(self) -> str:
        return _SHOWN


def hidden(given: Any) -> Any:  # noqa: ANN401 - anything that a setting may be
    """Return `given` with a repr that shows nothing of the texts in it.

    Texts, and lists, tuples and sets of texts, are replaced; anything else is
    returned as it is.
    """
    if isinstance(given, str):
        return given if isinstance(given, Hidden) else Hidden(given)
    if isinstance(given, bytes | bytearray):
        return HiddenBytes(given)
    if isinstance(given, list):
        return [hidden(each) for each in given]
    if isinstance(given, set | frozenset):
        return frozenset(map(hidden, given))
    if isinstance(given, tuple):
        return tuple(map(hidden, given))
    return given


def read_list(text: str) -> tuple[str, ...]:
    """Return the parts between the commas, without the empty ones."""
    return tuple(Hidden(part.strip()) for part in text.split(",") if part.strip())


def read_setting(name: str, read: Callable[[Any], _T], given: object) -> _T:
    """Return ``read(given)``. Raises `SettingsError` with `name`, but never with what was given."""
    try:
        return read(given)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from None
