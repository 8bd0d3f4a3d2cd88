"""Operations made by hand, each from the times of its call and its return."""

import math
from dataclasses import replace

from tests.concurrency.history import Action, Key, Life, Operation, Outcome
from tests.concurrency.rotation_history import Request

KEY = Key(0)
HEIR = Key(0, 1)


def write(start: float, end: float, value: str, *, name: str = "a", key: Key = KEY) -> Operation:
    return Operation(
        action=Action.MERGE,
        key=key,
        invoked=start,
        returned=end,
        life=Life.LIVING,
        wrote={name: value},
    )


def read(start: float, end: float, value: str | None, *, key: Key = KEY) -> Operation:
    """Return a read that found this value of `a`, or an empty session if None."""
    return Operation(
        action=Action.GET,
        key=key,
        invoked=start,
        returned=end,
        life=Life.LIVING,
        saw={} if value is None else {"a": value},
    )


def dead_read(start: float, end: float, *, key: Key = KEY) -> Operation:
    return Operation(action=Action.GET, key=key, invoked=start, returned=end, life=Life.DEAD)


def clear(start: float, end: float) -> Operation:
    return Operation(action=Action.CLEAR, key=KEY, invoked=start, returned=end, life=Life.DEAD)


def renew(start: float, end: float) -> Operation:
    return Operation(action=Action.RENEW, key=KEY, invoked=start, returned=end, life=Life.LIVING)


def remove(start: float, end: float) -> Operation:
    return Operation(
        action=Action.MERGE,
        key=KEY,
        invoked=start,
        returned=end,
        life=Life.LIVING,
        removed=frozenset("a"),
    )


def take(start: float, end: float, value: str | None) -> Operation:
    return Operation(
        action=Action.TAKE,
        key=KEY,
        invoked=start,
        returned=end,
        life=Life.UNTOLD if value is None else Life.LIVING,
        removed=frozenset("a"),
        saw={} if value is None else {"a": value},
    )


def unknown(operation: Operation) -> Operation:
    return replace(
        operation,
        outcome=Outcome.UNKNOWN,
        returned=math.inf,
        life=Life.UNTOLD,
        saw=None,
        number=None,
    )


def failed(operation: Operation) -> Operation:
    return replace(operation, outcome=Outcome.FAILED, life=Life.UNTOLD, saw=None, number=None)


def numbered(operation: Operation, number: int) -> Operation:
    """Return an operation that found this number of its key."""
    return replace(operation, number=number)


def rotate(start: float, end: float, offered: int, number: int) -> Operation:
    return Operation(
        action=Action.ROTATE,
        key=KEY,
        invoked=start,
        returned=end,
        life=Life.LIVING,
        offered=offered,
        number=number,
    )


def show(start: float, end: float, offered: int) -> Operation:
    return Operation(action=Action.SHOW, key=KEY, invoked=start, returned=end, offered=offered)


def ask(start: float, end: float, number: int, given: int | None = None) -> Request:
    """Return a request of a browser that opened its session with this number."""
    return Request(key="key", number=number, invoked=start, returned=end, given=given)


def refused(request: Request) -> Request:
    return replace(request, opened=False)


def retiring(request: Request) -> Request:
    return replace(request, retired=True)


def copied(request: Request) -> Request:
    return replace(request, is_copy=True)
