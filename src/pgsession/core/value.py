"""Session values: JSON objects that PostgreSQL returns exactly as they were stored.

`checked_members` and `encode_member` check an object, or raise an error that
names the path; `encode_text` writes plain JSON as text. Some objects are
rejected before any SQL runs: those that msgspec would convert silently (sets,
bytes, datetimes, NaN) and those that ``jsonb`` cannot hold (NUL, lone
surrogates). Numbers are written in full, without an exponent, as ``jsonb``
prints them: it would return ``1e16`` as an integer, and ``1e-300`` with 302
characters.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import msgspec

from pgsession.core.paths import checked_name, is_text
from pgsession.core.plain import MAX_DEPTH, Budget, as_plain, is_plain
from pgsession.errors import InvalidValueError, UnsupportedTypeError, ValueTooLargeError

#: A JSON value. It is ``Any`` because callers would need casts with a recursive type.
JSON: TypeAlias = Any

#: The default limit of a session value, in bytes of the text that PostgreSQL prints.
DEFAULT_VALUE_LIMIT: Final = 1_000_000

#: In place of a default that was not given.
NO_DEFAULT: Final[Any] = object()

#: If two values have the same type, one of these, ``==`` is enough to compare them as JSON.
ATOMS: Final = frozenset({str, int, float, bool, type(None)})

# The integers of a machine word.
_WORD: Final = 2**63

#: From so many bytes on, the garbage collector would take most of the time of decoding.
_LARGE_TEXT: Final = 65_536

_UNREADABLE: Final = "A stored session value is not a JSON object that Python can hold."

# Numbers beyond a float have so many digits in jsonb.
_LONG_NUMBER: Final = b"0" * 309
_DIGITS: Final = bytes.maketrans(b"123456789", b"0" * 9)

# Of so many digits in a row, one in `_STEP` bytes finds 16. Looking at those is twenty times as
# fast as looking at all, and rarely finds as many elsewhere.
_STEP: Final = 19
_LONG_SAMPLE: Final = b"0" * (len(_LONG_NUMBER) // _STEP)

_encoder = msgspec.json.Encoder()
_sorted_encoder = msgspec.json.Encoder(order="sorted")
#: So many members are checked one by one: that is faster than level by level.
_FEW: Final = 8

_splitter = msgspec.json.Decoder(dict[str, msgspec.Raw])
_decoder = msgspec.json.Decoder(dict[str, Any])


def encode_value(value: Mapping[str, JSON], *, limit: float) -> bytes:
    """Return the JSON text of a whole session value.

    Raises `UnsupportedTypeError` or `InvalidValueError`, with the path, for a
    value that cannot be stored, and `ValueTooLargeError` if PostgreSQL would
    print more than `limit` bytes.
    """
    if not isinstance(value, Mapping):
        raise UnsupportedTypeError(
            f"A session value must be a dict with string keys, not {type(value).__name__}."
        )
    text = encode_text(checked_members(value, limit=limit))
    if 2 * len(text) > limit and printed_bound(text) > limit:
        check_size(printed_size(text), limit=limit)
    return text


def checked_members(value: Mapping[str, JSON], *, limit: float) -> Mapping[str, JSON]:
    """Return `value`, or a copy of it, as `encode_text` takes it.

    Raises as `encode_value` does, but finds only a part of the values that are too large.
    """
    if type(value) is dict:
        if len(value) > _FEW:
            if is_plain(value, Budget(limit), depth=MAX_DEPTH + 1):
                return value
        elif all(map(_is_short_atom, value, value.values())):
            return value
    budget, members = Budget(limit), {}
    for name in value:
        members[checked_name(name, None)] = checked_member(name, value[name], budget)
    return members


def _is_short_atom(name: object, member: JSON) -> bool:
    """Return True for a member that is written as it is; False may be wrong. It is fast."""
    if type(name) is not str or not is_text(name):
        return False
    kind = type(member)
    if kind is str:
        return is_text(member)
    return member is None or kind is bool or (kind is int and -_WORD < member < _WORD)


def encode_member(name: str, member: JSON, budget: Budget) -> bytes:
    """Return the canonical JSON text of ``session[name]``. Values are equal if their texts are.

    Raises as `checked_member` does.
    """
    return canonical_text(checked_member(name, member, budget))


def checked_member(name: str, member: JSON, budget: Budget) -> JSON:
    """Return ``session[name]``, or a copy of it, as `encode_text` takes it.

    Raises as `checked_members` does, if the member has more bytes than the `budget`.
    """
    if type(name) is not str or not is_text(name):
        checked_name(name, None)
    kind = type(member)
    if kind in ATOMS:
        # The same results as those of `as_plain`, but cheaper.
        if kind is str and is_text(member):
            budget.spend(len(member))
            return member
        if kind is int and -_WORD < member < _WORD:
            return member
        return as_plain(member, (None, name), budget)
    left = budget.left
    if is_plain(member, budget, depth=MAX_DEPTH):
        return member
    budget.left = left
    return as_plain(member, (None, name), budget)


def printed_bound(text: bytes) -> int:
    """Return at least `printed_size` of a text from here, in far less time."""
    return len(text) + text.count(b",") + text.count(b":")


def printed_size(text: bytes) -> int:
    """Return how many bytes ``session_data::text`` has if `text`, from here, is stored.

    PostgreSQL prints a blank after each comma and each colon that is not in a string.
    """
    outside = b"".join(text.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')[::2])
    return len(text) + outside.count(b",") + outside.count(b":")


def check_size(size: int, *, limit: float, before: int = 0) -> None:
    """Raise `ValueTooLargeError` if `size` bytes are more than `limit` and more than `before`.

    A value that is over a limit lowered since may shrink.
    """
    if size > limit and size > before:
        raise ValueTooLargeError(
            f"The session is {size:,} bytes of JSON and the limit is {limit:,}. "
            "Keep large data in a table of its own and its key in the session."
        )


#: Return the JSON text of a document that is plain JSON already. It is not checked.
encode_text: Final[Callable[[JSON], bytes]] = _encoder.encode


def canonical_text(document: JSON) -> bytes:
    """Return the same with the names of each object in order."""
    return _sorted_encoder.encode(document)


def embed(text: bytes) -> JSON:
    """Return JSON text in a form that `encode_text` inserts unchanged."""
    return msgspec.Raw(text)


def decode_value(text: str | bytes) -> dict[str, JSON]:
    """Read a session value from its JSON text, or raise `InvalidValueError`."""
    try:
        if len(text) < _LARGE_TEXT:
            return _decoder.decode(text)
        with _without_collector():
            return _decoder.decode(text)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        # Raise outside of this block: the cause and the context would hold the text.
        pass
    raise InvalidValueError(_UNREADABLE)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Pause the garbage collector: it would look at all that is decoded again and again.

    A megabyte of lists is decoded in 30 ms so, and in 370 ms otherwise.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def compact(text: bytes | msgspec.Raw) -> bytes:
    """Return JSON text without the blanks between its parts."""
    return msgspec.json.format(bytes(text), indent=-1)


def decode_members(text: bytes | msgspec.Raw) -> dict[str, JSON]:
    """Split the JSON text of an object into undecoded members, for `encode_text`."""
    return _splitter.decode(text)


def split_members(text: bytes) -> dict[str, msgspec.Raw]:
    """Split the JSON text of a stored value into undecoded members.

    Raises `InvalidValueError`. Numbers in the members are not looked at.
    """
    try:
        return _splitter.decode(text)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        pass  # as in `decode_value`
    raise InvalidValueError(_UNREADABLE)


def has_long_number(text: bytes) -> bool:
    """Return True if `text` may have a number that Python cannot read: it has 309 digits."""
    if _LONG_SAMPLE not in text[::_STEP].translate(_DIGITS):
        return False
    return _LONG_NUMBER in text.translate(_DIGITS)


def decode_member(text: str | bytes) -> JSON:
    """Read the JSON text of one member, or raise `InvalidValueError`."""
    return decode_value(b'{"":%b}' % (text.encode() if isinstance(text, str) else text))[""]


def checked_names(names: Iterable[object]) -> tuple[str, ...]:
    """Return `names` as a tuple, or raise `InvalidValueError` if one cannot be a name."""
    return tuple(checked_name(name, None) for name in names)


def is_name(text: str) -> bool:
    """Return True if `text` can be the name of a member."""
    return is_text(text)
