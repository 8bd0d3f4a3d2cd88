"""Session values: which ones are valid, how they are written, and which ones are rejected."""

import base64
import datetime as dt
import enum
import json
import math
import uuid
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pgsession.core.comparison import differs, same
from pgsession.core.plain import MAX_DEPTH, MAX_INTEGER_BITS, Budget
from pgsession.core.value import (
    checked_member,
    decode_value,
    embed,
    encode_member,
    encode_text,
    encode_value,
    printed_size,
)
from pgsession.errors import InvalidValueError, UnsupportedTypeError, ValueTooLargeError

LIMIT = 1_000_000

#: Part of every value that is rejected here; no error may contain it.
PRIVATE = "hunter2"


class Text(str):
    """A str subclass with its own repr, such as markupsafe's."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Text({PRIVATE})"


class Number(int):
    """An int subclass."""


class Measure(float):
    """A float subclass."""


class Pair(NamedTuple):
    """A named tuple."""

    one: int
    other: int


class Colour(enum.StrEnum):
    """A StrEnum."""

    RED = "red"


class Level(enum.IntEnum):
    """An IntEnum."""

    HIGH = 3


class Odd:
    """An object that raises when it is compared, like numpy's arrays and SQLAlchemy's columns."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __eq__(self, other: object) -> bool:
        raise self.error

    __hash__ = None  # type: ignore[assignment]  # as in numpy and SQLAlchemy


def nested(depth: int) -> list[Any]:
    """Return `depth` nested lists."""
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def cyclic_list() -> list[Any]:
    value: list[Any] = [PRIVATE]
    value.append(value)
    return value


def cyclic_dict() -> dict[str, Any]:
    value: dict[str, Any] = {"text": PRIVATE}
    value["self"] = {"deeper": [value]}
    return value


def rejection_of(value: Any) -> InvalidValueError:
    """Return the error that `value` raises."""
    with pytest.raises(InvalidValueError) as caught:
        encode_value(value, limit=LIMIT)
    return caught.value


UNSUPPORTED = [
    pytest.param({"tags": {PRIVATE}}, 'session["tags"] is of type set', id="set"),
    pytest.param({"tags": frozenset({1})}, 'session["tags"] is of type frozenset', id="frozenset"),
    pytest.param({"raw": PRIVATE.encode()}, 'session["raw"] is of type bytes', id="bytes"),
    pytest.param({"raw": bytearray(b"x")}, 'session["raw"] is of type bytearray', id="bytearray"),
    pytest.param(
        {"cart": [1, 2, {"price": Decimal("1.5")}]},
        'session["cart"][2]["price"] is of type Decimal',
        id="Decimal",
    ),
    pytest.param(
        {"cart": [0, 1, 2, dt.datetime(2030, 1, 1, tzinfo=dt.UTC)]},
        'session["cart"][3] is of type datetime',
        id="datetime",
    ),
    pytest.param({"day": dt.date(2030, 1, 1)}, 'session["day"] is of type date', id="date"),
    pytest.param({"id": uuid.UUID(int=1)}, 'session["id"] is of type UUID', id="UUID"),
    pytest.param({"user": object()}, 'session["user"] is of type object', id="object"),
    pytest.param({"z": 1j}, 'session["z"] is of type complex', id="complex"),
    pytest.param({"call": len}, 'session["call"] is of type builtin_function', id="function"),
    pytest.param({"keys": {}.keys()}, 'session["keys"] is of type dict_keys', id="dict view"),
    pytest.param(
        {"m": MappingProxyType({"a": PRIVATE})},
        'session["m"] is of type mappingproxy',
        id="nested mapping that is no dict",
    ),
    pytest.param({1: PRIVATE}, "session has a key of type int", id="int key"),
    pytest.param({None: 1}, "session has a key of type NoneType", id="None key"),
    pytest.param({True: 1}, "session has a key of type bool", id="bool key"),
    pytest.param({b"a": 1}, "session has a key of type bytes", id="bytes key"),
    pytest.param(
        {"a": [{1.5: PRIVATE}]}, 'session["a"][0] has a key of type float', id="nested float key"
    ),
    pytest.param(
        {"a": {("x", PRIVATE): 1}}, 'session["a"] has a key of type tuple', id="nested tuple key"
    ),
]

INVALID = [
    pytest.param({"n": math.nan}, 'session["n"] is NaN or infinite', id="NaN"),
    pytest.param({"n": [math.inf]}, 'session["n"][0] is NaN or infinite', id="inf"),
    pytest.param({"n": {"m": -math.inf}}, 'session["n"]["m"] is NaN or infinite', id="-inf"),
    pytest.param({"n": Measure("nan")}, 'session["n"] is NaN or infinite', id="NaN of a subclass"),
    pytest.param({"t": f"{PRIVATE}\0"}, 'session["t"] has a NUL character', id="NUL"),
    pytest.param({"t": ["", "\0"]}, 'session["t"][1] has a NUL character', id="nested NUL"),
    pytest.param({"a\0": PRIVATE}, r'session["a\x00"] has a NUL character', id="NUL in a key"),
    pytest.param(
        {"t": {"a\0": PRIVATE}},
        r'session["t"]["a\x00"] has a NUL character',
        id="NUL in a nested key",
    ),
    pytest.param({"t": f"{PRIVATE}\ud800"}, 'session["t"] has a lone surrogate', id="surrogate"),
    pytest.param({"t": "\udfff"}, 'session["t"] has a lone surrogate', id="last surrogate"),
    pytest.param(
        {"\ud83d": PRIVATE}, r'session["\ud83d"] has a lone surrogate', id="surrogate in a key"
    ),
    pytest.param(
        {"t": [{"\udc00": 1}]},
        r'session["t"][0]["\udc00"] has a lone surrogate',
        id="surrogate in a nested key",
    ),
    pytest.param({"t": Text("\0")}, 'session["t"] has a NUL character', id="NUL in a subclass"),
    pytest.param({"a": cyclic_list()}, 'session["a"][1] contains itself', id="cyclic list"),
    pytest.param(
        {"a": cyclic_dict()}, 'session["a"]["self"]["deeper"][0] contains itself', id="cyclic dict"
    ),
    pytest.param(
        {"a": nested(MAX_DEPTH + 1)},
        'session["a"]' + "[0]" * 7 + "\u2026 (93 levels more) is nested more than 100 levels deep",
        id="too deep",
    ),
    pytest.param(
        {"a": nested(100_000)},
        'session["a"]' + "[0]" * 7 + "\u2026 (93 levels more) is nested more than 100 levels deep",
        id="deeper than Python's stack",
    ),
    pytest.param(
        {"n": 2**MAX_INTEGER_BITS}, 'session["n"] is an integer of thousands', id="huge integer"
    ),
    pytest.param(
        {"n": [-(10**5000)]},
        'session["n"][0] is an integer of thousands',
        id="too many digits for str()",
    ),
    pytest.param(
        {Colour.RED: {Colour.RED: math.nan}}, 'session["red"]["red"] is NaN', id="path of enums"
    ),
    pytest.param(
        {Text("a"): {Text("b"): math.nan}}, 'session["a"]["b"] is NaN', id="path of subclasses"
    ),
    pytest.param(
        {"n" * 1000: math.nan}, f'session["{"n" * 40}\\u2026"] is NaN', id="path of a long name"
    ),
    pytest.param({'"\n': math.nan}, 'session[""\\n"] is NaN', id="path with a line break"),
]


@pytest.mark.parametrize(("value", "message"), UNSUPPORTED)
def test_unsupported_type(value: Any, message: str) -> None:
    """A type that JSON lacks raises a TypeError that names the path and shows no content."""
    error = rejection_of(value)

    assert isinstance(error, TypeError)
    assert str(error).startswith(message)
    assert PRIVATE not in str(error)
    assert (error.__cause__, error.__context__) == (None, None)


@pytest.mark.parametrize(("value", "message"), INVALID)
def test_invalid_value(value: Any, message: str) -> None:
    """A value that PostgreSQL cannot store raises a ValueError that names the path only."""
    error = rejection_of(value)

    assert not isinstance(error, TypeError)
    assert str(error).startswith(message)
    assert PRIVATE not in str(error)
    assert (error.__cause__, error.__context__) == (None, None)


@pytest.mark.parametrize(
    "value", [[PRIVATE], PRIVATE, None, 1], ids=lambda value: type(value).__name__
)
def test_no_object(value: Any) -> None:
    """A session value that is not a mapping is rejected, and the error names its type."""
    error = rejection_of(value)

    assert isinstance(error, UnsupportedTypeError)
    assert str(error).startswith("A session value must be a dict with string keys, not ")
    assert PRIVATE not in str(error)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({}, id="empty"),
        pytest.param({"a": nested(MAX_DEPTH)}, id="as deep as allowed"),
        pytest.param({"n": 2**MAX_INTEGER_BITS - 1}, id="integer as large as allowed"),
        pytest.param({"n": 1 - 2**MAX_INTEGER_BITS}, id="integer as small as allowed"),
        pytest.param({"": 1, "__class__": 2, "k" * 10_000: 3, "🙂": 4}, id="odd names"),
        pytest.param({"set": 1, "removed": 2, "__ci_vars": 3}, id="names of others' internals"),
        pytest.param({"t": "\u2028 \x7f \x01 \ufffe 🙂"}, id="odd text"),
        pytest.param({"n": 2**53 + 1, "m": -(2**64) - 1}, id="beyond a double"),
        pytest.param({"n": [1e16, -1e16, 1e17, 1e308, 5e-324, 1e15]}, id="large and small floats"),
        pytest.param({"a": [None, True, False, 0, 0.0, 1, 1.0, ""]}, id="look-alikes"),
    ],
)
def test_accepted(value: dict[str, Any]) -> None:
    """A value that JSON can hold is read back as it was written, with the same types."""
    read = decode_value(encode_value(value, limit=LIMIT))

    assert read == value
    assert json.dumps(read, sort_keys=True) == json.dumps(value, sort_keys=True)


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
FLOATS = st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number or 0.0)
NODES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**80), 10**80) | FLOATS | TEXTS,
    lambda children: st.lists(children) | st.dictionaries(TEXTS, children),
    max_leaves=10,
)


@given(st.dictionaries(TEXTS, NODES, max_size=5))
@settings(deadline=None)
def test_round_trip(value: dict[str, Any]) -> None:
    """Every JSON object is read back exactly, integers as integers and floats as floats."""
    read = decode_value(encode_value(value, limit=LIMIT))

    assert json.dumps(read, sort_keys=True) == json.dumps(value, sort_keys=True)


@given(FLOATS)
@example(1e16)
@example(-1e16)
@example(9999999999999998.0)
@example(1e22)
@example(1.7976931348623157e308)
@example(5e-324)
@example(2.2250738585072014e-308)
@settings(deadline=None)
def test_float_in_jsonb(number: float) -> None:
    """A float is unchanged by jsonb, which writes every number as a plain decimal."""
    written = Decimal(encode_member("n", number, Budget()).decode())

    read = decode_value(f'{{"n": {written:f}}}')["n"]

    assert (type(read), read) == (float, number)


@pytest.mark.parametrize(
    ("member", "read"),
    [
        pytest.param((1, (2, 3)), [1, [2, 3]], id="tuple"),
        pytest.param(Pair(1, 2), [1, 2], id="named tuple"),
        pytest.param(Text("text"), "text", id="str subclass"),
        pytest.param(Number(10**30), 10**30, id="int subclass"),
        pytest.param(Measure(1e20), 1e20, id="float subclass"),
        pytest.param(Colour.RED, "red", id="StrEnum"),
        pytest.param(Level.HIGH, 3, id="IntEnum"),
        pytest.param(OrderedDict(b=1, a=2), {"b": 1, "a": 2}, id="OrderedDict"),
        pytest.param(defaultdict(list, a=[1]), {"a": [1]}, id="defaultdict"),
        pytest.param({Colour.RED: 1, Text("t"): 2}, {"red": 1, "t": 2}, id="odd names"),
        pytest.param(-0.0, 0.0, id="negative zero"),
    ],
)
def test_plain(member: Any, read: Any) -> None:
    """An instance of a subclass of a JSON type is read as the plain type."""
    result = decode_value(encode_value({"m": member}, limit=LIMIT))["m"]

    assert (type(result), json.dumps(result)) == (type(read), json.dumps(read))


def test_names_by_descent() -> None:
    """A name that is an instance of a str subclass is written as a plain string."""
    assert encode_value({Colour.RED: 1, Text("t"): 2}, limit=LIMIT) == b'{"red":1,"t":2}'


def test_top_level_mapping() -> None:
    """The whole value may be any mapping."""
    assert encode_value(MappingProxyType({"a": 1}), limit=LIMIT) == b'{"a":1}'


def test_shared_object() -> None:
    """An object that occurs twice in a value, but not inside itself, is written twice."""
    shared = {"a": [1]}

    text = encode_value({"one": shared, "other": [shared, shared]}, limit=LIMIT)

    assert decode_value(text) == {"one": shared, "other": [shared, shared]}


def test_untouched() -> None:
    """Encoding does not change the value."""
    value = {"t": (1, -0.0, Text("x")), "d": {"b": 1, "a": 2}}

    encode_value(value, limit=LIMIT)

    assert repr(value) == repr({"t": (1, -0.0, Text("x")), "d": {"b": 1, "a": 2}})


def test_canonical() -> None:
    """Members that are equal as JSON have equal texts, whatever the order of their names."""
    one = encode_member("m", {"b": (1, 2), "a": {"d": 1, "c": 2}}, Budget())
    other = encode_member("m", {"a": {"c": 2, "d": 1}, "b": [1, 2]}, Budget())

    assert one == other == b'{"a":{"c":2,"d":1},"b":[1,2]}'


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        pytest.param("x" * 91, 100, id="ASCII"),
        pytest.param("é" * 45 + "x", 100, id="bytes, not letters"),
        pytest.param("\n" * 45 + "x", 100, id="escapes count"),
        pytest.param(", : " * 22 + "xxx", 100, id="punctuation in a text"),
    ],
)
def test_size_limit(text: str, limit: int) -> None:
    """PostgreSQL may print as many bytes as the limit, blanks included, and no more."""
    assert printed_size(encode_value({"a": text}, limit=limit)) == limit

    with pytest.raises(ValueTooLargeError, match="is 100 bytes of JSON and the limit is 99"):
        encode_value({"a": text}, limit=limit - 1)


def test_size_error() -> None:
    """The error for a value that is too large contains no part of it."""
    with pytest.raises(ValueTooLargeError) as caught:
        encode_value({PRIVATE: PRIVATE * 100}, limit=10)

    assert PRIVATE not in str(caught.value)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_plain_members() -> None:
    """Members encoded one by one give the same text as the whole value."""
    value = {"b": [1], "a": {"d": 1e16, "c": "ü"}}

    members = {name: checked_member(name, member, Budget()) for name, member in value.items()}

    assert encode_text(members) == encode_value(value, limit=LIMIT)


def test_embed() -> None:
    """Text that is already JSON is put into a larger document unchanged."""
    assert encode_text([{"v": embed(b'{"n":1.0}')}]) == b'[{"v":{"n":1.0}}]'


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(PRIVATE, id="no JSON"),
        pytest.param("", id="empty"),
        pytest.param(f'{{"a": "{PRIVATE}"', id="truncated"),
        pytest.param(f'["{PRIVATE}"]', id="list"),
        pytest.param("null", id="null"),
        pytest.param('"text"', id="text"),
        pytest.param(f'{{"a": "{PRIVATE}", "n": NaN}}', id="NaN"),
        pytest.param('{"n": 1e999}', id="infinite"),
        pytest.param('{"n": 1' + "0" * 5000 + "}", id="huge integer"),
        pytest.param('{"a":' + "[" * 100_000 + "]" * 100_000 + "}", id="deeper than the stack"),
        pytest.param(rf'{{"{PRIVATE}": "\ud800"}}', id="lone surrogate"),
        pytest.param(PRIVATE.encode() + b"\xff", id="no UTF-8"),
        pytest.param(b"\x80\x04}" + PRIVATE.encode(), id="pickle"),
    ],
)
def test_unreadable(text: str | bytes) -> None:
    """Stored text that is not a JSON object raises one error, which repeats no part of it."""
    with pytest.raises(InvalidValueError) as caught:
        decode_value(text)

    assert str(caught.value) == "A stored session value is not a JSON object that Python can hold."
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_duplicate_names() -> None:
    """If stored text has two members with one name, the last counts, as in jsonb."""
    assert decode_value('{"a": 1, "a": 2}') == {"a": 2}


@given(st.binary() | TEXTS | st.from_regex(r"\{.*\}", fullmatch=True))
@settings(deadline=None)
def test_decode_fuzz(text: str | bytes) -> None:
    """Reading any stored bytes gives a dict or `InvalidValueError`."""
    try:
        read = decode_value(text)
    except InvalidValueError:
        return
    assert isinstance(read, dict)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(True, 1, id="True and 1"),
        pytest.param(False, 0, id="False and 0"),
        pytest.param(1, 1.0, id="1 and 1.0"),
        pytest.param([True], [1], id="nested True and 1"),
        pytest.param({"a": 1.0}, {"a": 1}, id="nested 1.0 and 1"),
        pytest.param({1, 2}, [1, 2], id="set and list"),
        pytest.param(math.nan, None, id="NaN and null"),
        pytest.param(math.inf, None, id="inf and null"),
        pytest.param(b"abc", base64.b64encode(b"abc").decode(), id="bytes and their base64"),
        pytest.param(Decimal(1), 1, id="Decimal and int"),
        pytest.param(Decimal("1.5"), 1.5, id="Decimal and float"),
        pytest.param(Decimal(1), "1", id="Decimal and its text"),
        pytest.param(Fraction(1), 1, id="Fraction and int"),
        pytest.param(1 + 0j, 1, id="complex and int"),
        pytest.param({1: "a"}, {"1": "a"}, id="int name and its text"),
        pytest.param(uuid.UUID(int=1), str(uuid.UUID(int=1)), id="UUID and its text"),
        pytest.param(cyclic_list(), [PRIVATE, [PRIVATE]], id="cyclic"),
        pytest.param([1, 2], [2, 1], id="order of a list"),
        pytest.param("a", "b", id="texts"),
    ],
)
def test_not_same(one: Any, other: Any) -> None:
    """Values that differ as JSON are never the same, at the top level or below."""
    assert not same(one, other)
    assert not same([one], [other])
    assert not same({"m": one}, {"m": other})


@pytest.mark.parametrize("error", [TypeError(), ValueError(), RecursionError()], ids=repr)
@pytest.mark.parametrize("wrap", [lambda odd: odd, lambda odd: [odd]], ids=["top", "nested"])
def test_incomparable(wrap: Callable[[object], object], error: Exception) -> None:
    """An object that raises when it is compared is not the same as anything."""
    assert not same(wrap(Odd(error)), wrap(1))


@given(NODES)
@settings(deadline=None)
def test_same_as_read(node: Any) -> None:
    """A value that was stored and read again is the same as before."""
    read = decode_value(encode_value({"n": node}, limit=LIMIT))

    assert not differs("n", node, read["n"])
    assert same(read, decode_value(encode_value(read, limit=LIMIT)))


@pytest.mark.parametrize(
    ("member", "stored"),
    [
        pytest.param({"b": 1, "a": 2}, {"a": 2, "b": 1}, id="order of names"),
        pytest.param((1, 2), [1, 2], id="tuple and list"),
        pytest.param(Text("a"), "a", id="str subclass"),
        pytest.param(Number(1), 1, id="int subclass"),
        pytest.param(Measure(1.5), 1.5, id="float subclass"),
        pytest.param(Colour.RED, "red", id="StrEnum"),
        pytest.param(-0.0, 0.0, id="negative zero"),
        pytest.param(1e16, 1e16, id="large float"),
    ],
)
def test_no_difference(member: Any, stored: Any) -> None:
    """Values that are stored as the same JSON do not differ."""
    assert not differs("m", member, stored)


@pytest.mark.parametrize(
    "member",
    [{1}, math.nan, Odd(TypeError()), "\0", cyclic_list()],
    ids=lambda member: type(member).__name__,
)
def test_difference_of_the_invalid(member: Any) -> None:
    """A value that cannot be stored differs from any stored value."""
    assert differs("m", member, None)
