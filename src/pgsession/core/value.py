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
from collections.abc import Iterable, Iterator, Mapping
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

#: If two values have the same type, one of these, ``==`` is enough to compare them as JSON.
ATOMS: Final = frozenset({str, int, float, bool, type(None)})

# The integers of a machine word.
_WORD: Final = 2**63

#: From so many bytes on, the garbage collector would take most of the time of decoding.
_LARGE_TEXT: Final = 65_536

_encoder = msgspec.json.Encoder()
_sorted_encoder = msgspec.json.Encoder(order="sorted")
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
    if printed_bound(text) > limit:
        check_size(printed_size(text), limit=limit)
    return text


def checked_members(value: Mapping[str, JSON], *, limit: float) -> Mapping[str, JSON]:
    """Return `value`, or a copy of it, as `encode_text` takes it.

    Raises as `encode_value` does, but finds only a part of the values that are too large.
    """
    if type(value) is dict and is_plain(value, Budget(limit), depth=MAX_DEPTH + 1):
        return value
    budget, members = Budget(limit), {}
    for name in value:
        members[checked_name(name, None)] = checked_member(name, value[name], budget)
    return members


def encode_member(name: str, member: JSON, budget: Budget) -> bytes:
    """Return the canonical JSON text of ``session[name]``. Values are equal if their texts are.

    Raises as `checked_member` does.
    """
    return _sorted_encoder.encode(checked_member(name, member, budget))


def checked_member(name: str, member: JSON, budget: Budget) -> JSON:
    """Return ``session[name]``, or a copy of it, as `encode_text` takes it.

    Raises as `checked_members` does, if the member has more bytes than the `budget`.
    """
    checked_name(name, None)
    if type(member) in ATOMS:
        if member is None or (type(member) is int and -_WORD < member < _WORD):
            return member  # the same result, but cheaper
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


def encode_text(document: JSON) -> bytes:
    """Return the JSON text of a document that is plain JSON already. It is not checked."""
    return _encoder.encode(document)


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
    raise InvalidValueError("A stored session value is not a JSON object that Python can hold.")


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


def is_written_as(member: JSON, text: bytes) -> bool:
    """Return True if `text`, which is compact, is the JSON text of `member`. False may be wrong.

    Nothing is decoded for this, and no object of a handler is called.
    """
    try:
        plain = is_plain(member, Budget(printed_bound(text)), depth=MAX_DEPTH)
    except ValueTooLargeError:
        return False
    return plain and _encoder.encode(member) == text


def decode_members(text: bytes | msgspec.Raw) -> dict[str, JSON]:
    """Split the JSON text of an object into undecoded members, for `encode_text`."""
    return _splitter.decode(text)


def decode_member(text: str | bytes) -> JSON:
    """Read the JSON text of one member, or raise `InvalidValueError`."""
    return decode_value(b'{"":%b}' % (text.encode() if isinstance(text, str) else text))[""]


def checked_names(names: Iterable[object]) -> tuple[str, ...]:
    """Return `names` as a tuple, or raise `InvalidValueError` if one cannot be a name."""
    return tuple(checked_name(name, None) for name in names)


def is_name(text: str) -> bool:
    """Return True if `text` can be the name of a member."""
    return is_text(text)


def same(one: JSON, other: JSON) -> bool:
    """Return True if two values are the same JSON. This is a fast check: False may be wrong.

    `other` must be plain. Both checks are needed: ``==`` does not distinguish
    True from 1, and the text does not distinguish a set from a list or NaN from
    null.
    """
    try:
        return bool(one == other) and (
            _are_atoms(one, other) or _encoder.encode(one) == _encoder.encode(other)
        )
    except Exception:  # noqa: BLE001 - the comparison of a foreign object may raise anything
        return False


def same_content(content: dict[str, JSON], stored: dict[str, JSON], *, text: bytes) -> bool:
    """Return True if `content`, of any class, is the same JSON as `stored`, whose text is `text`.

    As `same`, it is fast and False may be wrong.
    """
    try:
        return dict.__eq__(content, stored) and _encoder.encode(content) == text
    except Exception:  # noqa: BLE001 - as in `same`
        return False


def changed_text(name: str, member: JSON, stored: JSON, budget: Budget) -> bytes | None:
    """Return the `encode_member` text of ``session[name]``, or None if it equals `stored`."""
    if same(member, stored):
        return None
    checked = checked_member(name, member, budget)
    text = _sorted_encoder.encode(checked)
    if not _are_atoms(member, stored):
        # What is written as it is has no numbers that must be written in full.
        other = stored if checked is member else checked_member(name, stored, Budget())
        if text == _sorted_encoder.encode(other):
            return None
    return text


def differs(name: str, member: JSON, stored: JSON) -> bool:
    """Return True if ``session[name]`` is not the same JSON as the plain `stored`.

    A member that cannot be stored always differs.
    """
    if same(member, stored):
        return False
    limit = printed_bound(encode_member(name, stored, Budget()))
    try:
        return changed_text(name, member, stored, Budget(limit)) is not None
    except InvalidValueError:
        return True


def _are_atoms(one: object, other: object) -> bool:
    """Return True if ``==`` is enough to compare the two values as JSON."""
    return type(one) is type(other) and type(one) in ATOMS
