"""What a session value is: a JSON object that comes back from PostgreSQL as it went in.

One walk turns an object into *plain* JSON or refuses it, naming the path; one
encoder writes plain JSON as text. Whatever msgspec would quietly turn into
something else (sets, bytes, datetimes, NaN) and whatever ``jsonb`` would
refuse or rewrite (NUL, lone surrogates, ``1e16`` becoming an integer) is dealt
with here, before any SQL.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from pgsession.errors import InvalidValueError, UnsupportedTypeError, ValueTooLargeError

#: A JSON value. ``Any`` stands for the recursion that callers could not write without casts.
JSON: TypeAlias = Any

#: The largest encoded session value unless a store is told otherwise, in bytes.
DEFAULT_VALUE_LIMIT: Final = 1_000_000

#: How deep lists and objects may nest inside a session.
MAX_DEPTH: Final = 100

#: Integers beyond this (some 3,900 digits) cannot be read back by Python's own limits.
MAX_INTEGER_BITS: Final = 13_000

# From here on a float is written with an exponent, which jsonb turns into an integer.
_EXPONENT_FROM: Final = 1e16

# So much of a name appears in an error's path.
_SHOWN: Final = 40

#: Of two values of one of these types, ``==`` alone tells whether they are the same JSON.
ATOMS: Final = frozenset({str, int, float, bool, type(None)})

_Path: TypeAlias = "tuple[_Path | None, str | int]"

_encoder = msgspec.json.Encoder()
_sorted_encoder = msgspec.json.Encoder(order="sorted")
_splitter = msgspec.json.Decoder(dict[str, msgspec.Raw])
_decoder = msgspec.json.Decoder(dict[str, Any])


def encode_value(value: Mapping[str, JSON], *, limit: int) -> bytes:
    """Return the JSON text of a whole session value.

    Raises `UnsupportedTypeError` and `InvalidValueError` naming the path, and
    `ValueTooLargeError` for more than `limit` bytes.
    """
    if not isinstance(value, Mapping):
        raise UnsupportedTypeError(
            f"A session value is a dict with string keys, not {type(value).__name__}."
        )
    text = encode_text({name: plain_member(name, value[name]) for name in value})
    check_size(len(text), limit=limit)
    return text


def plain_member(name: str, member: JSON) -> JSON:
    """Return ``session[name]`` as fresh, plain JSON. Raises as `encode_value` does."""
    return _plain(member, (None, _checked_name(name, None)), depth=1, above=())


def encode_member(name: str, member: JSON) -> bytes:
    """Return the canonical JSON text of ``session[name]``: equal texts mean equal values."""
    return _sorted_encoder.encode(plain_member(name, member))


def check_size(size: int, *, limit: int) -> None:
    """Raise `ValueTooLargeError` if `size` bytes of JSON are more than `limit`."""
    if size > limit:
        raise ValueTooLargeError(
            f"The session is {size:,} bytes of JSON and the limit is {limit:,}. "
            "Keep large data in a table of its own and its key in the session."
        )


def encode_text(document: JSON) -> bytes:
    """Return the JSON text of a document of our own making, which needs no check."""
    return _encoder.encode(document)


def embed(text: bytes) -> JSON:
    """Return JSON text in a form that `encode_text` puts into its document as it stands."""
    return msgspec.Raw(text)


def decode_value(text: str | bytes) -> dict[str, JSON]:
    """Read a session value from its JSON text, or raise `InvalidValueError`."""
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        # The text must not travel along with the error: no cause, no context.
        pass
    raise InvalidValueError("A stored session value is no JSON object that Python can hold.")


def decode_members(text: bytes | msgspec.Raw) -> dict[str, JSON]:
    """Split the JSON text of an object into members that `encode_text` joins again."""
    return _splitter.decode(text)


def decode_member(text: str | bytes) -> JSON:
    """Read the JSON text of one member, or raise `InvalidValueError`."""
    return decode_value(b'{"":%b}' % (text.encode() if isinstance(text, str) else text))[""]


def checked_names(names: Iterable[object]) -> tuple[str, ...]:
    """Return names of members, or raise `InvalidValueError` for what can be none."""
    return tuple(_checked_name(name, None) for name in names)


def is_name(text: str) -> bool:
    """Tell whether `text` can be the name of a member."""
    return "\0" not in text and not _has_surrogates(text)


def same(one: JSON, other: JSON, *, text: bytes | None = None) -> bool:
    """Tell cheaply, at C speed, that two values are the same JSON; False may be wrong.

    `other` must be plain, and `text` is its `encode_text` for whoever has it.
    Comparing with ``==`` alone would take True for 1; comparing texts alone
    would take a set for a list and NaN for null.
    """
    try:
        return bool(one == other) and (
            _are_atoms(one, other)
            or _encoder.encode(one) == (_encoder.encode(other) if text is None else text)
        )
    except Exception:  # noqa: BLE001 - a foreign object may raise anything when it is compared
        return False


def changed_text(name: str, member: JSON, stored: JSON) -> bytes | None:
    """Return what `encode_member` does, or None if ``session[name]`` is the plain `stored`."""
    if same(member, stored):
        return None
    text = encode_member(name, member)
    if _are_atoms(member, stored) or text != encode_member(name, stored):
        return text
    return None


def differs(name: str, member: JSON, stored: JSON) -> bool:
    """Tell whether ``session[name]`` is other JSON than the plain `stored`.

    What cannot be stored differs from whatever is.
    """
    try:
        return changed_text(name, member, stored) is not None
    except InvalidValueError:
        return True


def _are_atoms(one: object, other: object) -> bool:
    """Tell whether ``==`` alone says if the two are the same JSON."""
    return type(one) is type(other) and type(one) in ATOMS


def _plain(node: object, path: _Path, *, depth: int, above: tuple[int, ...]) -> JSON:
    """Return `node` as fresh, plain JSON; `above` holds the identities of its ancestors."""
    if node is None or node is True or node is False:
        return node
    if isinstance(node, str):
        return _checked_text(str.__str__(node), path)
    if isinstance(node, int):
        return _checked_integer(int.__int__(node), path)
    if isinstance(node, float):
        return _written_float(float.__float__(node), path)
    if not isinstance(node, dict | list | tuple):
        raise UnsupportedTypeError(
            f"{_shown(path)} is of type {type(node).__name__}, which JSON cannot hold. "
            "Store str, int, float, bool, None, lists and dicts; turn anything else into one."
        )
    if id(node) in above:
        raise InvalidValueError(f"{_shown(path)} contains itself; a session is a tree.")
    if depth > MAX_DEPTH:
        raise InvalidValueError(f"{_shown(path)} is nested more than {MAX_DEPTH} deep.")
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
        f"{_shown(path)} has a key of type {type(name).__name__}; JSON keys are strings."
    )


def _checked_text(text: str, path: _Path) -> str:
    if "\0" in text:
        raise InvalidValueError(f"{_shown(path)} has a NUL character, which PostgreSQL refuses.")
    if _has_surrogates(text):
        raise InvalidValueError(f"{_shown(path)} has a lone surrogate, which is no Unicode text.")
    return text


def _has_surrogates(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)


def _checked_integer(number: int, path: _Path) -> int:
    if number.bit_length() > MAX_INTEGER_BITS:
        raise InvalidValueError(f"{_shown(path)} is an integer of thousands of digits.")
    return number


def _written_float(number: float, path: _Path) -> JSON:
    if not math.isfinite(number):
        raise InvalidValueError(f"{_shown(path)} is NaN or infinite, which JSON cannot hold.")
    if abs(number) >= _EXPONENT_FROM:
        return msgspec.Raw(f"{number:.1f}".encode())
    return number or 0.0  # jsonb has no negative zero


def _shown(path: _Path | None) -> str:
    segments: list[str] = []
    while path is not None:
        path, segment = path
        segments.append(f"[{segment!a}]" if isinstance(segment, int) else f'["{_brief(segment)}"]')
    return "session" + "".join(reversed(segments))


def _brief(name: str) -> str:
    text = str.__str__(name)  # a StrEnum's repr is another
    return ascii(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")[1:-1]
