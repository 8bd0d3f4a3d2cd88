"""Plain JSON: which objects can be written as they are, and a copy of those that cannot.

`is_plain` looks at an object level by level, with functions that are written in
C, and `as_plain` node by node. Only the second can name the path to a fault.
"""

from __future__ import annotations

import math
from decimal import Decimal
from itertools import chain
from typing import Any, Final

import msgspec

from pgsession.core.paths import Path, checked_name, checked_text, format_path, is_text
from pgsession.errors import InvalidValueError, UnsupportedTypeError, ValueTooLargeError

#: How deep lists and objects may nest inside a session.
MAX_DEPTH: Final = 100

#: The largest integer, some 3,900 digits. Python reads no more than 4,300 digits back.
MAX_INTEGER_BITS: Final = 13_000

# From here on msgspec writes floats with an exponent, which jsonb would return as integers.
_LARGE: Final = 1e16

# Below this Python writes floats with an exponent, and jsonb with all zeros.
_SMALL: Final = 1e-4


class Budget:
    """How many bytes of JSON are left to a value.

    It is charged for each part with the fewest bytes that the part can have, so
    that a value that exhausts it is too large for certain.
    """

    __slots__ = ("left", "limit")

    def __init__(self, limit: float = math.inf) -> None:
        self.limit: float = limit
        self.left: float = limit

    def spend(self, size: float) -> None:
        """Subtract `size` bytes. Raises `ValueTooLargeError` if fewer are left."""
        self.left -= size
        if self.left < 0:
            raise ValueTooLargeError(
                f"The session is more than {self.limit:,} bytes of JSON, which is the limit. "
                "Keep large data in a table of its own and its key in the session."
            )


def is_plain(node: object, budget: Budget, *, depth: int) -> bool:
    """Return True if msgspec writes `node` exactly as PostgreSQL will return it.

    Then it has only types that JSON has, not their subclasses, and at most `depth`
    lists and objects around each other. False may be wrong. Raises `ValueTooLargeError`.

    The time is linear in the size of the text or in the budget, whichever is less.
    """
    level: list[Any] = [node]
    while level:
        kinds = set(map(type, level))
        if not kinds <= _CHECKS.keys() or (depth <= 0 and not kinds.isdisjoint(_CONTAINERS)):
            return False
        below: list[Any] = []
        for kind in kinds:
            alike = level if len(kinds) == 1 else [each for each in level if type(each) is kind]
            children = _CHECKS[kind](alike, budget)
            if children is None:
                return False
            below = below + children if below else children
        level, depth = below, depth - 1
    return True


# Each of these takes the nodes of one type and returns their children, or None if a node is not
# plain. It charges the budget before it does what takes time.


def _check_lists(nodes: list[Any], budget: Budget) -> list[Any] | None:
    budget.spend(2 * sum(map(len, nodes)))  # two brackets, and ", " between two items
    return list(chain.from_iterable(nodes))


def _check_dicts(nodes: list[Any], budget: Budget) -> list[Any] | None:
    budget.spend(6 * sum(map(len, nodes)))  # two brackets, '"": ' and ", "
    names = list(chain.from_iterable(nodes))
    if not set(map(type, names)) <= {str} or _check_texts(names, budget) is None:
        return None
    return list(chain.from_iterable(map(dict.values, nodes)))


def _check_texts(nodes: list[Any], budget: Budget) -> list[Any] | None:
    budget.spend(sum(map(len, nodes)))
    return [] if is_text("".join(nodes)) else None


def _check_integers(nodes: list[Any], budget: Budget) -> list[Any] | None:
    bits = list(map(int.bit_length, nodes))
    budget.spend(max(len(nodes), sum(bits) // 4))  # a digit has 3.3 bits
    return [] if max(bits) <= MAX_INTEGER_BITS else None


def _check_floats(nodes: list[Any], budget: Budget) -> list[Any] | None:
    budget.spend(3 * len(nodes))
    for each in nodes:
        if not (_SMALL <= each < _LARGE or -_LARGE < each <= -_SMALL) and (
            each or math.copysign(1.0, each) < 0  # a negative zero is stored as zero
        ):
            return None
    return []


def _check_constants(nodes: list[Any], budget: Budget) -> list[Any] | None:
    budget.spend(4 * len(nodes))
    return []


_CHECKS: Final = {
    list: _check_lists,
    tuple: _check_lists,
    dict: _check_dicts,
    str: _check_texts,
    int: _check_integers,
    float: _check_floats,
    bool: _check_constants,
    type(None): _check_constants,
}

_CONTAINERS: Final = (list, tuple, dict)


class _Copy(msgspec.Struct, frozen=True):
    """The plain copy of an object, which is used again where the object occurs again."""

    #: It must not be freed: another object would get its id.
    node: object
    plain: Any
    depth: int
    size: float


def as_plain(
    node: object,
    path: Path,
    budget: Budget,
    *,
    depth: int = 1,
    copies: dict[int, _Copy | None] | None = None,
) -> Any:  # noqa: ANN401 - JSON
    """Return a copy of `node` as plain JSON, or raise an error that names the path.

    `copies` holds None for the objects around it.
    """
    if node is None or node is True or node is False:
        budget.spend(4)
        return node
    if isinstance(node, str):
        text = checked_text(str.__str__(node), path)
        budget.spend(2 + len(text))
        return text
    if isinstance(node, int):
        return _plain_integer(int.__int__(node), path, budget)
    if isinstance(node, float):
        return _plain_float(float.__float__(node), path, budget)
    if not isinstance(node, dict | list | tuple):
        raise UnsupportedTypeError(
            f"{format_path(path)} is of type {type(node).__name__}, which JSON cannot hold. "
            "Convert it to str, int, float, bool, None, a list or a dict, or use session.typed()."
        )
    copies = {} if copies is None else copies
    if id(node) in copies:
        copy = copies[id(node)]
        if copy is None:
            raise InvalidValueError(f"{format_path(path)} contains itself, which JSON cannot hold.")
        if depth <= copy.depth:
            budget.spend(copy.size)
            return copy.plain
    if depth > MAX_DEPTH:
        raise InvalidValueError(f"{format_path(path)} is nested more than {MAX_DEPTH} levels deep.")
    left, copies[id(node)] = budget.left, None
    plain = _plain_container(node, path, budget, depth=depth + 1, copies=copies)
    copies[id(node)] = _Copy(node, plain, depth, left - budget.left)
    return plain


def _plain_container(
    node: dict[Any, Any] | list[Any] | tuple[Any, ...],
    path: Path,
    budget: Budget,
    *,
    depth: int,
    copies: dict[int, _Copy | None],
) -> Any:  # noqa: ANN401 - JSON
    if not isinstance(node, dict):
        items: list[Any] = []
        for index, child in enumerate(node):
            budget.spend(2)
            items.append(as_plain(child, (path, index), budget, depth=depth, copies=copies))
        return items
    members: dict[str, Any] = {}
    for key, child in node.items():
        name = checked_name(key, path)
        budget.spend(6 + len(name))
        members[name] = as_plain(child, (path, name), budget, depth=depth, copies=copies)
    return members


def _plain_integer(number: int, path: Path, budget: Budget) -> int:
    bits = number.bit_length()
    budget.spend(max(1, bits // 4))
    if bits > MAX_INTEGER_BITS:
        raise InvalidValueError(
            f"{format_path(path)} is an integer of thousands of digits, which is too large."
        )
    return number


def _plain_float(number: float, path: Path, budget: Budget) -> Any:  # noqa: ANN401 - JSON
    size = abs(number)
    if not math.isfinite(number):
        raise InvalidValueError(f"{format_path(path)} is NaN or infinite, which JSON cannot hold.")
    if size >= _LARGE:
        text = f"{number:.1f}"
    elif size >= _SMALL or not size:
        budget.spend(3)
        return number or 0.0  # jsonb does not store a negative zero
    else:
        text = f"{Decimal(repr(number)):f}"
    budget.spend(len(text))
    return msgspec.Raw(text.encode())
