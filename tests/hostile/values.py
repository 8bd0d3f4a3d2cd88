"""Values that handlers store, with their numbers in docs/security/hostile-input.md."""

import enum
import math
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import pytest

from pgsession import InvalidValueError, UnsupportedTypeError, ValueTooLargeError


class Colour(enum.Enum):
    """An Enum whose value is JSON, although the member is not."""

    RED = "red"


class Raising:
    """Raises its own error when it is compared."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    __hash__ = None  # type: ignore[assignment]  # goes with __eq__


class Text(str):
    """A str subclass with misleading methods."""

    __slots__ = ()

    def __str__(self) -> str:
        return "not this"

    def __repr__(self) -> str:
        return "nor this"

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


def circle() -> list[Any]:
    value: list[Any] = []
    value.append({"self": value})
    return value


def tower(height: int) -> Any:
    """Return `height` nested lists."""
    value: list[Any] = []
    for _ in range(height - 1):
        value = [value]
    return value


#: Values that cannot be stored, and their errors.
REFUSED: Final = [
    pytest.param({1}, UnsupportedTypeError, id="35-set"),
    pytest.param(b"x", UnsupportedTypeError, id="35-bytes"),
    pytest.param(datetime(2030, 1, 1, tzinfo=UTC), UnsupportedTypeError, id="35-datetime"),
    pytest.param(object(), UnsupportedTypeError, id="35-object"),
    pytest.param(Colour.RED, UnsupportedTypeError, id="35-enum"),
    pytest.param(Raising(), UnsupportedTypeError, id="35-raises-when-compared"),
    pytest.param([{"deep": {1}}], UnsupportedTypeError, id="35-set-deep-inside"),
    pytest.param(circle(), InvalidValueError, id="36-circle"),
    pytest.param(math.nan, InvalidValueError, id="37-NaN"),
    pytest.param(math.inf, InvalidValueError, id="37-inf"),
    pytest.param([-math.inf], InvalidValueError, id="37-inf-deep-inside"),
    pytest.param("a\0b", InvalidValueError, id="38-NUL"),
    pytest.param({"a\0": 1}, InvalidValueError, id="38-NUL-in-a-name"),
    pytest.param("\ud800", InvalidValueError, id="39-surrogate"),
    pytest.param("\udcff.\udc80", InvalidValueError, id="39-surrogate-of-an-undecodable-byte"),
    pytest.param({"\udfff": 1}, InvalidValueError, id="39-surrogate-in-a-name"),
    pytest.param(10**4300, InvalidValueError, id="41-4301-digits"),
    pytest.param(-(10**100_000), InvalidValueError, id="41-100000-digits"),
    pytest.param({1: "a"}, UnsupportedTypeError, id="43-int-name"),
    pytest.param({True: "a", 1.5: "b"}, UnsupportedTypeError, id="43-bool-name"),
    pytest.param({None: "a"}, UnsupportedTypeError, id="43-null-name"),
    pytest.param([{("a", 1): "a"}], UnsupportedTypeError, id="43-tuple-name"),
    pytest.param(tower(101), InvalidValueError, id="46-nested-101"),
    pytest.param(tower(1_000), InvalidValueError, id="46-nested-1000"),
    pytest.param(tower(100_000), InvalidValueError, id="46-nested-100000"),
    pytest.param("x" * 1_000_000, ValueTooLargeError, id="47-over-the-limit"),
    pytest.param("x" * 20_000_000, ValueTooLargeError, id="47-far-over-the-limit"),
    pytest.param(["é" * 400_000, "\x01" * 100_000], ValueTooLargeError, id="47-in-bytes"),
]

#: Values that can be stored, although they look unusual.
KEPT: Final = [
    pytest.param({"n": [2**53 + 1, -(2**64), 2**63, 10**3900]}, id="40-beyond-a-double"),
    pytest.param({"n": [1e16, 1e17, -1e22, 1e308, 5e-324, 0.1, 1.0, 1e-7]}, id="42-floats"),
    pytest.param({"t": tower(100)}, id="46-nested-100"),
    pytest.param({"t": "x" * 900_000}, id="47-just-below-the-limit"),
    pytest.param({"__metadata__": 1, "__ci_vars": 2, "session_key": 3, "_": 4}, id="53-reserved"),
    pytest.param({"set": {}, "removed": [], "replaced": True, "heir": "x"}, id="53-ours"),
    pytest.param({"__class__": 1, "": 2, "k" * 10_000: 3, "🗝": 4}, id="54-odd-names"),
    pytest.param({"%s": "%(a)s", "$1": "$2", "'": '"', "\\u0000": "\\u0000"}, id="54-for-SQL"),
    pytest.param({"é": 1, "e\u0301": 2}, id="54-two-spellings"),
    pytest.param({"t": "\u2028\x01\x7f\ufeff\ufffe\U0010ffff"}, id="54-odd-text"),
    pytest.param({"l": [None, True, False, 0, 1, 0.0, "", [], {}]}, id="54-look-alikes"),
]


class Number(int):
    """An int subclass."""


class Measure(float):
    """A float subclass."""


class Row(list[Any]):
    """A list subclass."""


class Table(dict[Any, Any]):
    """A dict subclass."""


class Pair(NamedTuple):
    """A named tuple."""

    one: object
    other: object


class Label(enum.StrEnum):
    """A StrEnum."""

    RED = "red"
    EMPTY = ""


class Level(enum.IntEnum):
    """An IntEnum."""

    HIGH = 3
