"""An independent definition of session values, to compare with."""

import math
from typing import Any


class Refused(Exception):  # noqa: N818 - a result, not a failure
    """The value cannot be stored."""


def canonical(node: Any, depth: int = 0) -> Any:
    """Return the value that is read after `node` was written."""
    match node:
        case None | True | False:
            return node
        case str():
            text = "".join(node)
            if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in text):
                raise Refused
            return text
        case int():
            if abs(node) >= 2**13_000:
                raise Refused
            return int(node)
        case float():
            if not math.isfinite(node):
                raise Refused
            return float(node) + 0.0
        case list() | tuple() | dict() if depth > 100:
            raise Refused
        case list() | tuple():
            return [canonical(child, depth + 1) for child in node]
        case dict():
            if not all(isinstance(name, str) for name in node):
                raise Refused
            return {canonical(name): canonical(child, depth + 1) for name, child in node.items()}
    raise Refused


def typed(node: Any) -> Any:
    """Distinguish 1 from 1.0 and True, which compare as equal, and 0.0 from -0.0."""
    match node:
        case dict():
            return {name: typed(child) for name, child in node.items()}
        case list():
            return [typed(child) for child in node]
        case _:
            return type(node), repr(node)
