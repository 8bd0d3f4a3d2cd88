"""What a header makes us do, counted in steps of the interpreter and not in milliseconds."""

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

#: Headers of so many bytes, or somewhat more; of each kind the worst that could be thought of.
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
    """Note every call that is made meanwhile, of Python's functions and of C's."""
    made: list[str] = []

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        if event in {"call", "c_call"}:
            made.append(event)

    before = sys.getprofile()
    gc.collect()
    gc.disable()  # a collection in between would call the finalizers of others
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
    """A header ten times as long costs not one call more, and none costs a thousand."""
    assert times_called(cookie, make(60_000)) == times_called(cookie, make(600_000)) < 1_000


@pytest.mark.parametrize("cookie", [COOKIE, SHORT], ids=["usual-name", "short-name"])
@pytest.mark.parametrize("make", LONG.values(), ids=LONG)
def test_no_way_back(cookie: Cookie, make: Callable[[int], bytes]) -> None:
    """No header makes the search go back over it, which would take minutes instead of the blink.

    The one test with a clock: what goes on inside the search cannot be counted.
    """
    header = make(600_000)
    before = time.thread_time()

    cookie.find([(b"cookie", header)])

    assert time.thread_time() - before < 0.25


@pytest.mark.parametrize("secrets", [1, 5])
def test_signatures(secrets: int) -> None:
    """A thousand well-shaped forgeries cost no more than thirty-three, however many secrets."""
    cookie = Cookie(secret_keys=[SECRET + str(number) for number in range(secrets)])
    forgery = PREFIX + FORGED

    few, many = (b"; ".join([forgery] * number) for number in (33, 1_000))

    assert times_called(cookie, many) == times_called(cookie, few)
    assert times_called(cookie, forgery) < times_called(cookie, few)
