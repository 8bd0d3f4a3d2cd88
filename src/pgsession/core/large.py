"""Large stored values: a list or an object is decoded when it is looked at.

Decoded JSON takes up to forty times the memory of its text, and the time of a
request that uses a large session is that of decoding and comparing it. So a value of many
kilobytes is only split into its members when it is loaded. A member that was
never looked at has not changed, so it is not compared either. Text and numbers cannot
be changed in place: they are decoded once, and are the same while they are the same object.
"""

from __future__ import annotations

from collections.abc import ItemsView
from collections.abc import Set as AbstractSet
from itertools import repeat
from operator import is_
from typing import Any, Final

import msgspec

from pgsession.core.baseline import Baseline, members_size, text_size
from pgsession.core.comparison import changed_text, differs
from pgsession.core.plain import Budget
from pgsession.core.undecoded import Undecoded, UndecodedMembers
from pgsession.core.value import (
    ATOMS,
    JSON,
    decode_value,
    embed,
    encode_text,
    has_long_number,
    printed_size,
    split_members,
)
from pgsession.errors import InvalidValueError

#: From so many bytes of text on, a value is large: its size is known, and no copy of its text and
#: numbers is kept.
LARGE_VALUE: Final = 16_384

#: From so many on, its lists and objects are decoded when they are looked at. Code in C that reads
#: a dict without its methods does not get them then, so it is far more than sessions usually have.
UNDECODED_VALUE: Final = 65_536

# Lists and objects below so many bytes are decoded at once: that costs less than to put it off.
_LARGE_MEMBER: Final = 512

#: The first bytes of lists and objects.
_OPENING: Final = b"[{"


class LargeValue(dict[str, Any]):
    """A stored value with what it is compared with later."""

    __slots__ = ("baseline",)

    def __init__(self, others: dict[str, Any], baseline: LargeBaseline) -> None:
        super().__init__()
        dict.update(self, others)
        dict.update(self, baseline.kept)
        self.baseline: LargeBaseline = baseline

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)


class UndecodedValue(UndecodedMembers, LargeValue):
    """A stored value whose large members are decoded when they are looked at."""

    __slots__ = ()


class LargeBaseline(Baseline):
    """A stored value of members that are kept as they are, and of others, which are a `Baseline`.

    Those that are kept have no second copy, as they cannot be changed in place: atoms,
    and the text of large members.
    """

    __slots__ = ("_others", "kept")

    def __init__(self, kept: dict[str, Any], others: Baseline, *, size: int) -> None:
        super().__init__(b"")
        #: `Undecoded` members and atoms. Do not change the dict.
        self.kept: dict[str, Any] = kept
        self._others = others
        self._size = size

    @property
    def text(self) -> bytes:
        kept = {
            name: embed(each.text) if type(each) is Undecoded else each
            for name, each in self.kept.items()
        }
        return encode_text({**self._others.value, **kept})

    @property
    def names(self) -> AbstractSet[str]:
        return self.kept.keys() | self._others.names

    @property
    def size_bound(self) -> int:
        return self.size

    def size_of(self, names: AbstractSet[str]) -> int:
        kept = {name: self.kept[name] for name in self.kept.keys() & names}
        large = {name: each for name, each in kept.items() if type(each) is Undecoded}
        short = members_size({**kept, **dict.fromkeys(large, 0)})  # one byte, in place of the text
        texts = sum(each.size - 1 for each in large.values())
        return self._others.size_of(self._others.names & names) + short + texts

    def is_same(self, content: dict[str, Any]) -> bool:
        # Large members that were looked at are not compared here, as that takes long.
        kept, others = self.kept, self._without_kept(dict.items(content))
        if len(others) + len(kept) != dict.__len__(content):
            return False
        found = list(map(dict.get, repeat(content), kept))
        return (
            all(map(is_, found, kept.values())) or _are_equal(found, list(kept.values()))
        ) and self._others.is_same(others)

    def differs(self, name: str, member: Any) -> bool:  # noqa: ANN401 - JSON
        if name not in self.kept:
            return self._others.differs(name, member)
        stored = self.kept[name]
        if type(stored) is not Undecoded:
            return differs(name, member, stored)
        try:
            return _changed_text(name, member, stored, Budget(stored.size)) is not None
        except InvalidValueError:
            return True

    def written(self, content: ItemsView[str, Any], budget: Budget) -> dict[str, Any]:
        kept = self.kept
        written = self._others.written(self._without_kept(content).items(), budget)
        for name, member in content:
            if name in kept and member is not kept[name]:
                text = _changed_text(name, member, kept[name], budget)
                if text is not None:
                    written[name] = embed(text)
        return written

    def changed(self, removed: AbstractSet[str], text: bytes) -> Baseline:
        kept, others = _split(text, is_printed=False)
        gone = self.names & (removed | kept.keys() | others.keys())
        size = self.size - self.size_of(gone) + text_size(text)
        remaining = {name: each for name, each in self.kept.items() if name not in gone}
        return LargeBaseline(
            remaining | kept, self._others.changed(gone, encode_text(others)), size=size
        )

    def _without_kept(self, content: ItemsView[str, Any]) -> dict[str, Any]:
        kept = self.kept
        return {name: member for name, member in content if name not in kept}


def _are_equal(found: list[Any], kept: list[Any]) -> bool:
    # In this order: what is of the same types is compared without the code of others.
    return list(map(type, found)) == list(map(type, kept)) and found == kept


def _changed_text(name: str, member: Any, stored: Any, budget: Budget) -> bytes | None:  # noqa: ANN401 - JSON
    """Do what `changed_text` does, of what is kept as it is."""
    if type(stored) is Undecoded:
        if member is stored:
            return None
        stored = stored.decode()
    return changed_text(name, member, stored, budget)


def as_large(baseline: Baseline) -> LargeBaseline:
    """Return a baseline that keeps no decoded copy of large members."""
    if isinstance(baseline, LargeBaseline):
        return baseline
    baseline.part()
    return LargeBaseline({}, baseline, size=baseline.size)


def read_value(text: str | bytes) -> dict[str, JSON]:
    """Read a session value from its JSON text, or raise `InvalidValueError`.

    A `str` is as PostgreSQL has printed it, `bytes` are as they were written here.
    """
    if len(text) < LARGE_VALUE:
        return decode_value(text)
    is_printed = isinstance(text, str)
    encoded = text.encode() if isinstance(text, str) else text
    kept, others = _split(encoded, is_printed=is_printed)
    size = len(encoded) if is_printed else printed_size(encoded)
    baseline = LargeBaseline(kept, Baseline(encode_text(others)), size=size)
    undecoded = [each for each in kept.values() if type(each) is Undecoded]
    if not undecoded:
        return LargeValue(others, baseline)
    if has_long_number(encoded):
        for each in undecoded:
            each.decode()  # a long number may be one that Python cannot read
    return UndecodedValue(others, baseline)


def _split(text: bytes, *, is_printed: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the members that are kept as they are, and the others: small lists and objects."""
    if len(text) < UNDECODED_VALUE or _is_mostly_strings(text):
        return _parted(decode_value(text))
    members = split_members(text)
    large = {
        name: Undecoded(each, is_printed=is_printed)
        for name, each in members.items()
        if len(each) >= _LARGE_MEMBER and _is_container(each)
    }
    for name in large:
        del members[name]
    atoms, others = _parted(decode_value(encode_text(members)))
    return {**atoms, **large}, others


def _is_mostly_strings(text: bytes) -> bool:
    """Return True if a value has so few parts that it is decoded as fast as it is split.

    It is a guess, of one byte in 19: to count all commas would take as long as to decode it.
    """
    return text[::19].count(b",") * 19 * 128 < len(text)


def _parted(value: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the atoms of a value, and the lists and objects."""
    atoms = {name: member for name, member in value.items() if type(member) in ATOMS}
    return atoms, {name: member for name, member in value.items() if name not in atoms}


def _is_container(text: msgspec.Raw) -> bool:
    return memoryview(text)[0] in _OPENING
