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

#: So many bytes of the Cookie headers are read; a forgery with its name has 100.
READ = 65_536

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
    cookie.find([(b"cookie", header)])  # the first call fills caches, such as that of the logger
    with calls() as made:
        assert not cookie.find([(b"cookie", header)])
    return len(made)


@pytest.mark.parametrize("cookie", [COOKIE, SHORT], ids=["usual-name", "short-name"])
@pytest.mark.parametrize("make", LONG.values(), ids=LONG)
def test_calls(cookie: Cookie, make: Callable[[int], bytes]) -> None:
    """Only the first 64 kB of a header cause calls, at most 21 for each forgery in them."""
    few, many = (times_called(cookie, make(size)) for size in (2 * READ, 20 * READ))

    assert many == few < 21 * READ // 100


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
    """A forgery with the right shape costs one signature for each secret, and nothing more."""
    one, ten, all_read, more = (
        times_called(
            Cookie(secret_keys=[SECRET + str(number) for number in range(secrets)]),
            b";".join([PREFIX + FORGED] * number) + b";a=b",
        )
        for number in (1, 10, READ // 100, 1_000)
    )

    each = (ten - one) // 9
    assert all_read == one + each * (READ // 100 - 1)
    assert abs(more - all_read) <= 4  # to cut the header
    assert each <= 8 + 12 * secrets
