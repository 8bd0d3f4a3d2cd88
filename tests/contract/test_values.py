"""Values are read back as they were written, or are rejected before anything is written."""

import math
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pgsession import (
    Changes,
    Entry,
    InvalidValueError,
    Store,
    UnsupportedTypeError,
    ValueTooLargeError,
)

Value: TypeAlias = dict[str, Any]

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(2**13_000) + 1, max_value=2**13_000 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUES = st.dictionaries(
    TEXT,
    st.recursive(
        LEAVES,
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
        max_leaves=20,
    ),
    max_size=5,
)


def typed(node: object) -> object:
    """Distinguish 1 from 1.0 and True, which compare as equal."""
    match node:
        case dict():
            return {name: typed(child) for name, child in node.items()}
        case list():
            return [typed(child) for child in node]
        case _:
            return type(node), node


async def read(store: Store, key: str) -> Entry:
    entry = await store.get(key)
    assert entry is not None
    return entry


def circle() -> Value:
    value: Value = {}
    value["self"] = [value]
    return value


def tower(height: int) -> Value:
    value: Any = 1
    for _ in range(height):
        value = [value]
    return {"tower": value}


# All examples share the store; each one uses its own key.
@pytest.mark.usefixtures("untraced")
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(value=VALUES)
@example({"floats": [1e16, -1e16, 1e22, 1e23, 1e308, 1.7976931348623157e308, 5e-324, 0.1, 1e-7]})
@example({"floats": [0.0, 1.0, 100.0, 123456789012345680.0, 2.0**53, 2.0**63]})
@example({"integers": [2**53 + 1, 2**63, -(2**64), 10**3900, True, False, 1, 0]})
@example(
    {"text": ["é", "e\u0301", "🗝", "\u2028", "\x01\x7f", "\ufffe", "\\u0000", '"', "\U0010ffff"]}
)
@example({"": "", "a.b": 1, "a b": 2, "__class__": 3, "k" * 10_000: 4})
@example(tower(99))
async def test_round_trip(store: Store, value: Value) -> None:
    """A JSON value is read back exactly, including the type of each number."""
    key = await store.generate(value)

    assert typed((await read(store, key)).value) == typed(value)


@pytest.mark.usefixtures("untraced")
@settings(
    max_examples=75, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(before=VALUES, after=VALUES)
async def test_merge_round_trip(store: Store, before: Value, after: Value) -> None:
    """Merged members are read back exactly, next to the existing members."""
    key = await store.generate(before)

    await store.merge(key, Changes(set=after))

    assert typed((await read(store, key)).value) == typed(before | after)


async def test_tuple(store: Store) -> None:
    """A tuple is read back as a list."""
    key = await store.generate({"pair": (1, (2, 3))})

    assert (await read(store, key)).value == {"pair": [1, [2, 3]]}


async def test_any_mapping(store: Store) -> None:
    """Any mapping with string keys is accepted as a value."""
    key = await store.generate(MappingProxyType({"a": 1}))

    assert (await read(store, key)).value == {"a": 1}


async def test_empty(store: Store) -> None:
    """An empty value is a value, not None."""
    key = await store.generate()

    await store.set(key, {})

    assert (await read(store, key)).value == {}


async def test_independent_copy(store: Store) -> None:
    """A reader's edits of a value affect neither the store nor the next reader."""
    key = await store.generate({"cart": [1]})
    first = (await read(store, key)).value
    assert first is not None

    first["cart"].append(2)
    first["user"] = "eve"

    assert (await read(store, key)).value == {"cart": [1]}


async def test_writer_keeps_own(store: Store) -> None:
    """A writer's edits of a value after storing it do not affect the store."""
    value = {"cart": [1]}
    key = await store.generate(value)
    await store.set(key, value)

    value["cart"].append(2)

    assert (await read(store, key)).value == {"cart": [1]}


REFUSED = [
    pytest.param({"a": {1}}, UnsupportedTypeError, id="set"),
    pytest.param({"a": b"x"}, UnsupportedTypeError, id="bytes"),
    pytest.param({"a": datetime(2026, 1, 1, tzinfo=UTC)}, UnsupportedTypeError, id="datetime"),
    pytest.param({"a": Decimal(1)}, UnsupportedTypeError, id="Decimal"),
    pytest.param({"a": object()}, UnsupportedTypeError, id="object"),
    pytest.param({1: "a"}, UnsupportedTypeError, id="int key"),
    pytest.param({"a": {None: 1}}, UnsupportedTypeError, id="null key deep inside"),
    pytest.param({"a": [{True: 1}]}, UnsupportedTypeError, id="bool key"),
    pytest.param({"a": math.nan}, InvalidValueError, id="NaN"),
    pytest.param({"a": [-math.inf]}, InvalidValueError, id="inf"),
    pytest.param({"a": "\0"}, InvalidValueError, id="NUL"),
    pytest.param({"\0": 1}, InvalidValueError, id="NUL in a name"),
    pytest.param({"a": "\ud800"}, InvalidValueError, id="lone surrogate"),
    pytest.param({"a": {"\udfff": 1}}, InvalidValueError, id="lone surrogate in a name"),
    pytest.param({"a": 10**5000}, InvalidValueError, id="5000 digits"),
    pytest.param(circle(), InvalidValueError, id="circle"),
    pytest.param(tower(101), InvalidValueError, id="too deep"),
    pytest.param(tower(100_000), InvalidValueError, id="far too deep"),
    pytest.param({"a": "x" * 1_000_000}, ValueTooLargeError, id="too large"),
]

WRITERS: dict[str, Callable[[Store, str, Mapping[str, Any]], Awaitable[object]]] = {
    "generate": lambda store, _key, value: store.generate(value),
    "set": lambda store, key, value: store.set(key, value, period=-1),
    "merge": lambda store, key, value: store.merge(key, Changes(set=value), period=-1),
    "renew": lambda store, key, value: store.renew(key, Changes(set=value), period=-1),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize(("value", "error"), REFUSED)
async def test_refused(
    store: Store,
    write: Callable[[Store, str, Any], Awaitable[object]],
    value: Any,
    error: type[Exception],
) -> None:
    """A value that JSON or PostgreSQL cannot hold is rejected, and the old value is kept."""
    key = await store.generate({"user": "ann"})

    with pytest.raises(error):
        await write(store, key, value)

    assert (await read(store, key)).value == {"user": "ann"}


@pytest.mark.parametrize("value", [[("a", 1)], "text", 1, {"a"}], ids=repr)
async def test_no_mapping(store: Store, value: Any) -> None:
    """A value that is not a mapping is rejected."""
    key = await store.generate({"user": "ann"})

    with pytest.raises(UnsupportedTypeError):
        await store.set(key, value)

    assert (await read(store, key)).value == {"user": "ann"}


async def test_limit(make_store: Callable[..., Store]) -> None:
    """A store shows its limit in bytes of printed JSON, accepts just as many, and no more."""
    store = make_store(value_limit=100)
    fits, too_large = {"a": "x" * 91}, {"a": "x" * 92}

    key = await store.generate(fits)
    with pytest.raises(ValueTooLargeError):
        await store.set(key, too_large)

    assert store.value_limit == 100
    assert (await read(store, key)).value == fits
