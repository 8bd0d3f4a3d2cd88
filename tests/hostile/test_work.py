"""The work that a header causes, counted in function calls instead of milliseconds."""

import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

from pgsession.core.cookie import Cookie
from tests.applications import SECRET
from tests.hostile.forgeries import KEY, PREFIX

COOKIE = Cookie(secret_keys=[SECRET])
SHORT = Cookie(secret_keys=[SECRET], name="s")

FORGED = KEY.encode() + b"." + b"s" * 43

#: Headers of about `size` bytes; for each kind, the worst case that we know.
LONG: dict[str, Callable[[int], bytes]] = {
    "backslashes": lambda size: PREFIX + b'"' + b"\\" * size + b'"',
    "quotes": lambda size: PREFIX + b'"' + b'\\"' * (size // 2) + b'"',
    "octal": lambda size: PREFIX + b'"' + b"\\000" * (size // 4) + b'"',
    "one-value": lambda size: PREFIX + b"x" * size,
    "semicolons": lambda size: PREFIX + b";" * size,
    "blanks": lambda size: (b";" + b" " * 99) * (size // 100) + PREFIX,
    "blanks-after": lambda size: (PREFIX + FORGED + b" " * size) + b"x",
    "cookies": lambda size: b"; ".join(b"c%d=%d" % (n, n) for n in range(size // 10)) + PREFIX,
    "names": lambda size: PREFIX * (size // len(PREFIX)),
    "empty-ones": lambda size: (PREFIX + b";") * (size // 16),
    "short-names": lambda size: PREFIX + b"s=" * (size // 2),
    "short-empty-ones": lambda size: PREFIX + b"s=;" * (size // 3),
    "forged": lambda size: (PREFIX + FORGED + b";") * (size // 100),
    "almost": lambda size: (PREFIX + FORGED[:-1] + b"!;") * (size // 100),
    "attached": lambda size: (b"x" + PREFIX + FORGED + b";") * (size // 100),
    "NULs": lambda size: PREFIX + b"\0" * size,
    "high-bytes": lambda size: PREFIX + b"\xff" * size,
}


@contextmanager
def calls() -> Iterator[list[str]]:
    """Record every call inside the block, of Python functions and of C functions."""
    made: list[str] = []

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        if event in {"call", "c_call"}:
            made.append(event)

    before = sys.getprofile()
    gc.collect()
    gc.disable()  # a collection would call unrelated finalizers
    sys.setprofile(note)
    try:
        yield made
    finally:
        sys.setprofile(before)
        gc.enable()


def times_called(cookie: Cookie, header: bytes) -> int:
    with calls() as made:
        assert cookie.find([(b"cookie", header)]) is None
    return len(made)


@pytest.mark.parametrize("cookie", [COOKIE, SHORT], ids=["usual-name", "short-name"])
@pytest.mark.parametrize("make", LONG.values(), ids=LONG)
def test_calls(cookie: Cookie, make: Callable[[int], bytes]) -> None:
    """A header ten times as long causes no more calls, and no header causes a thousand."""
    assert times_called(cookie, make(60_000)) == times_called(cookie, make(600_000)) < 1_000


@pytest.mark.parametrize("cookie", [COOKIE, SHORT], ids=["usual-name", "short-name"])
@pytest.mark.parametrize("make", LONG.values(), ids=LONG)
def test_no_way_back(cookie: Cookie, make: Callable[[int], bytes]) -> None:
    """No header makes the search backtrack, which would take minutes.

    This test needs a clock: the steps inside the search cannot be counted.
    """
    header = make(600_000)
    before = time.thread_time()

    cookie.find([(b"cookie", header)])

    assert time.thread_time() - before < 0.25


@pytest.mark.parametrize("secrets", [1, 5])
def test_signatures(secrets: int) -> None:
    """A thousand forgeries with the right shape cost as much as 33, with any number of secrets."""
    cookie = Cookie(secret_keys=[SECRET + str(number) for number in range(secrets)])
    forgery = PREFIX + FORGED

    few, many = (b"; ".join([forgery] * number) for number in (33, 1_000))

    assert times_called(cookie, many) == times_called(cookie, few)
    assert times_called(cookie, forgery) < times_called(cookie, few)
