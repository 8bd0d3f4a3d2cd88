"""Members as they were, kept to find what has changed since."""

from __future__ import annotations

from typing import Final

import msgspec

from pgsession.core.plain import Budget
from pgsession.core.value import JSON, encode_member
from pgsession.errors import InvalidValueError

# The JSON texts of what cannot be stored begin with this.
_NO_TEXT: Final = b"\0"


class Before:
    """Members as they were. They are kept as bytes: a handler may change what it is given."""

    __slots__ = ("_packed", "_texts")

    def __init__(self, members: dict[str, JSON]) -> None:
        self._texts: dict[str, bytes] | None = None
        try:
            # MessagePack and not JSON, which does not distinguish NaN from null.
            self._packed = msgspec.msgpack.encode(members)
        except (OverflowError, UnicodeEncodeError):  # a long integer, a lone surrogate
            self._packed = b""
            self._texts = texts_of(members)

    def is_same(self, members: dict[str, JSON]) -> bool:
        """Return True if `members` are the same. This is a fast check: False may be wrong."""
        try:
            return msgspec.msgpack.encode(members) == self._packed
        except (OverflowError, UnicodeEncodeError):
            return False

    @property
    def texts(self) -> dict[str, bytes]:
        """The JSON texts of the members."""
        if self._texts is None:
            self._texts = texts_of(msgspec.msgpack.decode(self._packed))
        return self._texts


def texts_of(members: dict[str, JSON]) -> dict[str, bytes]:
    """Return the canonical JSON texts of members, also of those that cannot be stored."""
    return {name: _text(name, member) for name, member in members.items()}


def _text(name: str, member: JSON) -> bytes:
    try:
        return encode_member(name, member, Budget())
    except InvalidValueError:
        # It is an error once it is to be stored. Here it need only differ from other values.
        return _NO_TEXT + repr(member).encode(errors="backslashreplace")


def can_be_stored(texts: dict[str, bytes]) -> bool:
    """Return False if an error that names the path is to come."""
    return not any(text.startswith(_NO_TEXT) for text in texts.values())
