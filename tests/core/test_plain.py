"""The check of a value: its time is linear in the text, and it ends where the limit is passed."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgsession.core.plain import MAX_DEPTH, Budget, as_plain, is_plain
from pgsession.core.session import Session
from pgsession.core.tracked import state_of
from pgsession.core.value import (
    checked_member,
    encode_text,
    encode_value,
    printed_bound,
    printed_size,
)
from pgsession.errors import InvalidValueError, ValueTooLargeError

LIMIT = 1_000_000


class Row(list[Any]):
    """A list subclass, which is not written as it is."""


def doubled(levels: int, pair: Callable[[Any], object]) -> object:
    """Return a structure whose lists share their parts, and have no end if these are counted."""
    node: object = 1
    for _ in range(levels):
        node = pair([node, node])
    return node


def deep_lists(count: int) -> list[Any]:
    """Return lists that are 98 deep, as many as `count`."""
    lists: list[Any] = []
    for _ in range(count):
        node: list[Any] = []
        for _ in range(97):
            node = [node]
        lists.append(node)
    return lists


def fails_at_once(value: dict[str, Any]) -> None:
    """Store a value that is refused in less time than anybody notices.

    This needs a clock: functions that are written in C cannot be counted. It is generous: what
    goes wrong here takes hours.
    """
    before = time.thread_time()
    with pytest.raises(InvalidValueError):
        encode_value(value, limit=LIMIT)
    session = Session({"n": 1})
    dict.update(session, value)
    with pytest.raises(InvalidValueError):
        state_of(session).changes(session)
    assert session.modified
    assert time.thread_time() - before < 3


PAIRS = {
    "list": list,
    "tuple": tuple,
    "dict": lambda pair: dict(zip("ab", pair, strict=True)),
    "subclass": Row,
}


@pytest.mark.parametrize("levels", [22, 90, 200])
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_shared_parts(pair: Callable[[Any], object], levels: int) -> None:
    """A structure whose parts are shared again and again is refused without being walked."""
    fails_at_once({"it": doubled(levels, pair)})


def test_shared_by_members() -> None:
    """Members that share one large object are counted together."""
    shared = {"rows": ["x" * 100] * 1_000}

    fails_at_once({f"m{number}": shared for number in range(10_000)})
    fails_at_once({f"m{number}": (Row([shared]),) for number in range(10_000)})


def test_circle_with_branches() -> None:
    """An object that contains itself more than once is refused as fast as any other."""
    circle: list[Any] = []
    circle += [circle, circle]

    fails_at_once({"it": circle})


@pytest.mark.parametrize(
    "member",
    [
        pytest.param([1e-300] * 140_000, id="small floats"),
        pytest.param([1e300] * 140_000, id="large floats"),
        pytest.param([10**3_900] * 140_000, id="large integers"),
        pytest.param([-0.0] * 4_000_000, id="negative zeros"),
        pytest.param(list(range(4_000_000)), id="integers"),
        pytest.param(["x" * LIMIT] * 1_000, id="one text many times"),
        pytest.param([{"x" * LIMIT: 1}] * 1_000, id="one name many times"),
    ],
)
def test_far_beyond_the_limit(member: list[Any]) -> None:
    """A value that is far too large is refused where the limit is passed."""
    with pytest.raises(ValueTooLargeError, match="more than 1,000,000 bytes of JSON"):
        checked_member("it", member, Budget(LIMIT))

    fails_at_once({"it": member})


def test_depth() -> None:
    """As many lists as allowed may be around each other, whatever is in the last one."""
    lists: Any = deep_lists(1)  # 99 deep

    assert is_plain([lists], Budget(), depth=MAX_DEPTH)
    assert not is_plain([[lists]], Budget(), depth=MAX_DEPTH)


def test_shared_at_two_depths() -> None:
    """A part that occurs twice is nested as deep as where it is deepest."""
    shared: Any = Row([1])
    for _ in range(59):
        shared = Row([shared])
    deeper: Any = shared
    for _ in range(MAX_DEPTH - 60 - 1):
        deeper = [deeper]

    assert checked_member("it", [shared, deeper], Budget()) == [shared, deeper]
    with pytest.raises(InvalidValueError, match="nested more than 100 levels"):
        checked_member("it", [shared, [deeper]], Budget())


NODES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text("ab,:"), inner)
    ),
)


@given(NODES)
@settings(deadline=None)
def test_budget(node: object) -> None:
    """Neither check charges more bytes than PostgreSQL prints: it would refuse too early."""
    text = encode_text([as_plain(node, (None, "n"), Budget())])
    size = printed_size(text) - 2

    for check in (
        lambda budget: as_plain(node, (None, "n"), budget),
        lambda budget: is_plain(node, budget, depth=MAX_DEPTH),
    ):
        budget = Budget(size)
        check(budget)
        assert budget.left >= 0
    assert size <= printed_bound(text) - 2


@given(NODES)
@settings(deadline=None)
def test_plain_is_written_alike(node: object) -> None:
    """What is plain has the same text as its plain copy."""
    if is_plain(node, Budget(), depth=MAX_DEPTH):
        assert encode_text(node) == encode_text(as_plain(node, (None, "n"), Budget()))
