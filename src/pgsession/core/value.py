"""Session values: JSON objects that PostgreSQL returns exactly as they were stored.

`plain_member` converts an object to *plain* JSON, or raises an error that names
the path; `encode_text` writes plain JSON as text. Some objects are rejected
before any SQL runs: those that msgspec would convert silently (sets, bytes,
datetimes, NaN) and those that ``jsonb`` cannot hold (NUL, lone surrogates).
Large floats are written without an exponent, because ``jsonb`` would return
``1e16`` as an integer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from pgsession.errors import InvalidValueError, UnsupportedTypeError, ValueTooLargeError

#: A JSON value. It is ``Any`` because callers would need casts with a recursive type.
JSON: TypeAlias = Any

#: The default limit of a session value, in bytes of its JSON text.
DEFAULT_VALUE_LIMIT: Final = 1_000_000

#: How deep lists and objects may nest inside a session.
MAX_DEPTH: Final = 100

#: The largest integer, some 3,900 digits. Python reads no more than 4,300 digits back.
MAX_INTEGER_BITS: Final = 13_000

# Python writes floats from here on with an exponent, and jsonb returns these as integers.
_EXPONENT_FROM: Final = 1e16

# Error messages show at most this many characters of a name.
_MAX_SHOWN: Final = 40

# At most so many levels appear in a path.
_MAX_SEGMENTS: Final = 8

#: If two values have the same type, one of these, ``==`` is enough to compare them as JSON.
ATOMS: Final = frozenset({str, int, float, bool, type(None)})

_Path: TypeAlias = "tuple[_Path | None, str | int]"

_encoder = msgspec.json.Encoder()
_sorted_encoder = msgspec.json.Encoder(order="sorted")
_splitter = msgspec.json.Decoder(dict[str, msgspec.Raw])
_decoder = msgspec.json.Decoder(dict[str, Any])


def encode_value(value: Mapping[str, JSON], *, limit: int) -> bytes:
    """Return the JSON text of a whole session value.

    Raises `UnsupportedTypeError` or `InvalidValueError`, with the path, for a
    value that cannot be stored, and `ValueTooLargeError` for more than `limit`
    bytes.
    """
    if not isinstance(value, Mapping):
        raise UnsupportedTypeError(
            f"A session value must be a dict with string keys, not {type(value).__name__}."
        )
    text = encode_text({name: plain_member(name, value[name]) for name in value})
    check_size(len(text), limit=limit)
    return text


def plain_member(name: str, member: JSON) -> JSON:
    """Return a copy of ``session[name]`` as plain JSON. Raises as `encode_value` does."""
    return _plain(member, (None, _checked_name(name, None)), depth=1, above=())


def encode_member(name: str, member: JSON) -> bytes:
    """Return the canonical JSON text of ``session[name]``. Values are equal if their texts are."""
    return _sorted_encoder.encode(plain_member(name, member))


def check_size(size: int, *, limit: int) -> None:
    """Raise `ValueTooLargeError` if `size` bytes of JSON are more than `limit`."""
    if size > limit:
        raise ValueTooLargeError(
            f"The session is {size:,} bytes of JSON and the limit is {limit:,}. "
            "Keep large data in a table of its own and its key in the session."
        )


def encode_text(document: JSON) -> bytes:
    """Return the JSON text of a document that is plain JSON already. It is not checked."""
    return _encoder.encode(document)


def printed_bound(text: bytes) -> int:
    """Return no fewer bytes than PostgreSQL prints for a JSON text that was encoded here.

    It prints a blank behind each comma and colon. Those in strings are counted too.
    """
    return len(text) + text.count(b",") + text.count(b":")


def embed(text: bytes) -> JSON:
    """Return JSON text in a form that `encode_text` inserts unchanged."""
    return msgspec.Raw(text)


def decode_value(text: str | bytes) -> dict[str, JSON]:
    """Read a session value from its JSON text, or raise `InvalidValueError`."""
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        # Raise outside of this block: the cause and the context would hold the text.
        pass
    raise InvalidValueError("A stored session value is not a JSON object that Python can hold.")


def decode_members(text: bytes | msgspec.Raw) -> dict[str, JSON]:
    """Split the JSON text of an object into undecoded members, for `encode_text`."""
    return _splitter.decode(text)


def decode_member(text: str | bytes) -> JSON:
    """Read the JSON text of one member, or raise `InvalidValueError`."""
    return decode_value(b'{"":%b}' % (text.encode() if isinstance(text, str) else text))[""]


def checked_names(names: Iterable[object]) -> tuple[str, ...]:
    """Return `names` as a tuple, or raise `InvalidValueError` if one cannot be a name."""
    return tuple(_checked_name(name, None) for name in names)


def is_name(text: str) -> bool:
    """Return True if `text` can be the name of a member."""
    return "\0" not in text and not _has_surrogates(text)


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


def changed_text(name: str, member: JSON, stored: JSON) -> bytes | None:
    """Return the `encode_member` text of ``session[name]``, or None if it equals `stored`."""
    if same(member, stored):
        return None
    text = encode_member(name, member)
    if _are_atoms(member, stored) or text != encode_member(name, stored):
        return text
    return None


def differs(name: str, member: JSON, stored: JSON) -> bool:
    """Return True if ``session[name]`` is not the same JSON as the plain `stored`.

    A member that cannot be stored always differs.
    """
    try:
        return changed_text(name, member, stored) is not None
    except InvalidValueError:
        return True


def _are_atoms(one: object, other: object) -> bool:
    """Return True if ``==`` is enough to compare the two values as JSON."""
    return type(one) is type(other) and type(one) in ATOMS


def _plain(node: object, path: _Path, *, depth: int, above: tuple[int, ...]) -> JSON:
    """Return a copy of `node` as plain JSON. `above` holds the ids of the objects around it."""
    if node is None or node is True or node is False:
        return node
    if isinstance(node, str):
        return _checked_text(str.__str__(node), path)
    if isinstance(node, int):
        return _checked_integer(int.__int__(node), path)
    if isinstance(node, float):
        return _plain_float(float.__float__(node), path)
    if not isinstance(node, dict | list | tuple):
        raise UnsupportedTypeError(
            f"{_format_path(path)} is of type {type(node).__name__}, which JSON cannot hold. "
            "Convert it to str, int, float, bool, None, a list or a dict."
        )
    if id(node) in above:
        raise InvalidValueError(f"{_format_path(path)} contains itself, which JSON cannot hold.")
    if depth > MAX_DEPTH:
        raise InvalidValueError(
            f"{_format_path(path)} is nested more than {MAX_DEPTH} levels deep."
        )
    above = (*above, id(node))
    if isinstance(node, dict):
        return {
            _checked_name(name, path): _plain(child, (path, name), depth=depth + 1, above=above)
            for name, child in node.items()
        }
    return [
        _plain(child, (path, index), depth=depth + 1, above=above)
        for index, child in enumerate(node)
    ]


def _checked_name(name: object, path: _Path | None) -> str:
    if isinstance(name, str):
        return _checked_text(str.__str__(name), (path, name))
    raise UnsupportedTypeError(
        f"{_format_path(path)} has a key of type {type(name).__name__}; JSON keys are strings."
    )


def _checked_text(text: str, path: _Path) -> str:
    if "\0" in text:
        raise InvalidValueError(
            f"{_format_path(path)} has a NUL character, which PostgreSQL cannot store."
        )
    if _has_surrogates(text):
        raise InvalidValueError(
            f"{_format_path(path)} has a lone surrogate, which is not Unicode text."
        )
    return text


def _has_surrogates(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)


def _checked_integer(number: int, path: _Path) -> int:
    if number.bit_length() > MAX_INTEGER_BITS:
        raise InvalidValueError(
            f"{_format_path(path)} is an integer of thousands of digits, which is too large."
        )
    return number


def _plain_float(number: float, path: _Path) -> JSON:
    if not math.isfinite(number):
        raise InvalidValueError(f"{_format_path(path)} is NaN or infinite, which JSON cannot hold.")
    if abs(number) >= _EXPONENT_FROM:
        return msgspec.Raw(f"{number:.1f}".encode())
    return number or 0.0  # jsonb does not store a negative zero


def _format_path(path: _Path | None) -> str:
    segments: list[str] = []
    while path is not None:
        path, segment = path
        segments.append(
            f"[{segment!a}]" if isinstance(segment, int) else f'["{_shorten(segment)}"]'
        )
    segments.reverse()
    if len(segments) > _MAX_SEGMENTS:
        segments = [*segments[:_MAX_SEGMENTS], f"… ({len(segments) - _MAX_SEGMENTS} levels more)"]
    return "session" + "".join(segments)


def _shorten(name: str) -> str:
    text = str.__str__(name)  # a StrEnum has another repr
    return ascii(text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…")[1:-1]
