"""Large stored values: a member is decoded when it is looked at.

Decoded JSON takes up to forty times the memory of its text. So a value of many
kilobytes is only split into its members when it is loaded. A member that was
never looked at has not changed, so it is not compared either.
"""

from __future__ import annotations

from collections.abc import ItemsView
from collections.abc import Set as AbstractSet
from typing import Any, Final

from pgsession.core.baseline import Baseline, members_size, text_size
from pgsession.core.plain import Budget
from pgsession.core.undecoded import Undecoded, UndecodedMembers
from pgsession.core.value import (
    JSON,
    canonical_text,
    checked_member,
    decode_value,
    embed,
    encode_text,
    has_long_number,
    printed_size,
    split_members,
)
from pgsession.errors import InvalidValueError

#: From so many bytes of text on, a value is large.
LARGE_VALUE: Final = 65_536

# Members below so many bytes are decoded at once.
_LARGE_MEMBER: Final = 4_096


class LargeValue(UndecodedMembers):
    """A stored value whose members are decoded when they are looked at."""

    __slots__ = ("baseline",)

    def __init__(self, others: dict[str, Any], baseline: LargeBaseline) -> None:
        super().__init__()
        dict.update(self, others)
        dict.update(self, baseline.large)
        #: What the value is compared with later.
        self.baseline: LargeBaseline = baseline

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)


class LargeBaseline(Baseline):
    """A stored value with large members, which are kept as text. The others are a `Baseline`."""

    __slots__ = ("_others", "large")

    def __init__(self, large: dict[str, Undecoded], others: Baseline, *, size: int) -> None:
        super().__init__(b"")
        #: The large members. Do not change them.
        self.large: dict[str, Undecoded] = large
        self._others = others
        self._size = size

    @property
    def text(self) -> bytes:
        return encode_text({**self._others.value, **_embedded(self.large)})

    @property
    def names(self) -> AbstractSet[str]:
        return self.large.keys() | self._others.names

    @property
    def size_bound(self) -> int:
        return self.size

    def size_of(self, names: AbstractSet[str]) -> int:
        large = self.large.keys() & names
        short = members_size(dict.fromkeys(large, 0))  # one byte, in place of the text
        texts = sum(self.large[name].size - 1 for name in large)
        return self._others.size_of(self._others.names & names) + short + texts

    def is_same(self, content: dict[str, Any]) -> bool:
        # Large members that were looked at are not compared here, as that takes long.
        return all(
            dict.get(content, name) is text for name, text in self.large.items()
        ) and self._others.is_same(self._without_large(dict.items(content)))

    def differs(self, name: str, member: Any) -> bool:  # noqa: ANN401 - JSON
        stored = self.large.get(name)
        if stored is None:
            return self._others.differs(name, member)
        try:
            return _changed_text(name, member, stored, Budget(stored.size)) is not None
        except InvalidValueError:
            return True

    def written(self, content: ItemsView[str, Any], budget: Budget) -> dict[str, Any]:
        written = self._others.written(self._without_large(content).items(), budget)
        for name, member in content:
            stored = self.large.get(name)
            if stored is not None:
                text = _changed_text(name, member, stored, budget)
                if text is not None:
                    written[name] = embed(text)
        return written

    def changed(self, removed: AbstractSet[str], text: bytes) -> Baseline:
        large, others = _split(text, is_printed=False)
        gone = self.names & (removed | large.keys() | others.keys())
        size = self.size - self.size_of(gone) + text_size(text)
        kept = {name: each for name, each in self.large.items() if name not in gone}
        return LargeBaseline(
            kept | large, self._others.changed(gone, encode_text(others)), size=size
        )

    def _without_large(self, content: ItemsView[str, Any]) -> dict[str, Any]:
        return {name: member for name, member in content if name not in self.large}


def _changed_text(name: str, member: Any, stored: Undecoded, budget: Budget) -> bytes | None:  # noqa: ANN401 - JSON
    """Do what `changed_text` does, and decode `stored` only if its text is another one."""
    if member is stored:
        return None
    checked = checked_member(name, member, budget)
    if encode_text(checked) == stored.text:
        return None
    text, other = canonical_text(checked), stored.decode()
    if checked is not member:  # it has numbers that must be written in full
        other = checked_member(name, other, Budget())
    return None if text == canonical_text(other) else text


def as_large(baseline: Baseline) -> LargeBaseline:
    """Return a baseline that keeps no decoded copy of large members."""
    if isinstance(baseline, LargeBaseline):
        return baseline
    return LargeBaseline({}, baseline, size=baseline.size)


def read_value(text: str | bytes) -> dict[str, JSON]:
    """Read a session value from its JSON text, or raise `InvalidValueError`.

    A `str` is as PostgreSQL has printed it, `bytes` are as they were written here.
    """
    if len(text) < LARGE_VALUE:
        return decode_value(text)
    is_printed = isinstance(text, str)
    encoded = text.encode() if isinstance(text, str) else text
    large, others = _split(encoded, is_printed=is_printed)
    if not large or has_long_number(encoded):
        value = decode_value(encoded)  # a long number may be one that Python cannot read
        if not large:
            return value
    size = len(encoded) if is_printed else printed_size(encoded)
    return LargeValue(others, LargeBaseline(large, Baseline(encode_text(others)), size=size))


def _split(text: bytes, *, is_printed: bool) -> tuple[dict[str, Undecoded], dict[str, Any]]:
    """Return the large members of a value, undecoded, and the others."""
    members = split_members(text)
    large = {
        name: Undecoded(each, is_printed=is_printed)
        for name, each in members.items()
        if len(each) >= _LARGE_MEMBER
    }
    for name in large:
        del members[name]
    return large, decode_value(encode_text(members))


def _embedded(large: dict[str, Undecoded]) -> dict[str, Any]:
    return {name: embed(each.text) for name, each in large.items()}
