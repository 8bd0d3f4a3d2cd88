"""The stored value of a session, as far as one request knows it. Changes are compared with it."""

from __future__ import annotations

from collections.abc import ItemsView
from collections.abc import Set as AbstractSet
from typing import Any, Final

from pgsession.core.comparison import changed_text, differs
from pgsession.core.plain import Budget
from pgsession.core.value import (
    ATOMS,
    checked_member,
    checked_members,
    decode_value,
    embed,
    encode_text,
    printed_size,
)

#: PostgreSQL prints at most so many times the bytes of a text that msgspec has written: a float
#: like 1e308 is printed with all its digits.
_MAX_GROWTH: Final = 63


class Baseline:
    """A plain value that a handler cannot change.

    It is kept as JSON text, and also as a value once it is compared. The value of one that was
    just loaded is shared: its members are those of the session, which nobody has yet, so
    the same object is the same JSON. `part` ends that, and writes the text.
    """

    __slots__ = ("_size", "_text", "_value", "is_shared")

    def __init__(
        self, text: bytes | None, value: dict[str, Any] | None = None, *, is_shared: bool = False
    ) -> None:
        """Keep a text, or a plain value, which the caller must not change."""
        self._text = text
        self._value = value
        #: True until `part` is called.
        self.is_shared: bool = is_shared
        self._size: int | None = None

    def part(self) -> None:
        """Share nothing with the session any more: call this before anybody gets a list or a dict.

        Calling it again is fine.
        """
        if self.is_shared:
            _ = self.text  # written now: later the members may have changed
            self.is_shared, self._value = False, None

    @property
    def text(self) -> bytes:
        """The JSON text of the value. Large numbers may have exponents.

        Raises `InvalidValueError` for a value that no store should have: of another kind than JSON.
        """
        if self._text is None:
            try:
                self._text = encode_text(self._value)
            except Exception:  # `encode_text` names no member
                checked_members(self.value, limit=float("inf"))
                raise
        return self._text

    @property
    def value(self) -> dict[str, Any]:
        """The value. Do not change it."""
        value = self._value
        if value is None:
            value = self._value = decode_value(self.text)
        return value

    @property
    def names(self) -> AbstractSet[str]:
        """The names of the members."""
        return self.value.keys()

    @property
    def size(self) -> int:
        """How many bytes PostgreSQL prints, or 0 if there are no members."""
        if self._size is None:
            self._size = self.size_of(self.names)
        return self._size

    @property
    def size_bound(self) -> int:
        """At least `size`, and cheap."""
        return len(self.text) * _MAX_GROWTH

    def size_of(self, names: AbstractSet[str]) -> int:
        """Return how many bytes of the printed value the members `names` take, with `names`."""
        return members_size({name: self.value[name] for name in names})

    def is_untouched(self, content: dict[str, Any]) -> bool:
        """Return True if nobody has a list or a dict of `content`, and ``==`` finds no difference.

        That is enough where no method of the session has put 1 in the place of True.
        """
        return self.is_shared and dict.__eq__(content, self.value)

    def is_same(self, content: dict[str, Any]) -> bool:
        """Return True if `content` is the same JSON. This is a fast check: False may be wrong."""
        value = self.value if self._value is None else self._value
        try:
            # Both are needed, as in `same`.
            return dict.__eq__(content, value) and (
                _has_same_members(content, value)
                if self.is_shared
                else encode_text(content) == self.text
            )
        except Exception:  # noqa: BLE001 - the comparison of a foreign object may raise anything
            return False

    def differs(self, name: str, member: Any) -> bool:  # noqa: ANN401 - JSON
        """Return True if ``session[name]``, a member that is stored, is not the same JSON."""
        return differs(name, member, self.value[name])

    def written(self, content: ItemsView[str, Any], budget: Budget) -> dict[str, Any]:
        """Return the members of `content` that differ, checked, for `encode_text`."""
        before = self.value if self._value is None else self._value
        written: dict[str, Any] = {}
        for name, member in content:
            if name not in before:
                written[name] = checked_member(name, member, budget)
                continue
            stored = before[name]
            if member is stored:  # text, a number, or what nobody has
                continue
            if type(member) in ATOMS and type(member) is type(stored):
                if member != stored:  # the same result as `changed_text`, but cheaper
                    written[name] = checked_member(name, member, budget)
            elif (text := changed_text(name, member, stored, budget)) is not None:
                written[name] = embed(text)
        return written

    def changed(self, removed: AbstractSet[str], text: bytes) -> Baseline:
        """Return the baseline without the members `removed`, with those in the JSON `text`."""
        value = self.value.copy()
        for name in removed:
            value.pop(name, None)
        value.update(decode_value(text))
        return Baseline(None, value, is_shared=self.is_shared)


def _has_same_members(content: dict[str, Any], value: dict[str, Any]) -> bool:
    """Return True if the members of two equal dicts are the same objects, or atoms of one type."""
    for name, member in dict.items(content):  # in any order: a member may have been put back
        stored = value[name]
        if member is not stored and (type(member) is not type(stored) or type(member) not in ATOMS):
            return False
    return True


def members_size(members: dict[str, Any]) -> int:
    """Return how many bytes these plain members take in the value that PostgreSQL prints."""
    text = encode_text(checked_members(members, limit=float("inf")))
    return printed_size(text) if members else 0  # two brackets, or the ", " before a member


def text_size(text: bytes) -> int:
    """Return the same of the members in a JSON text."""
    return 0 if text == b"{}" else printed_size(text)
