"""The figures of the pages about security are those of the code."""

import pytest

from pgsession import SessionSettings
from pgsession.core.bound import REGISTERED_WITHIN
from pgsession.core.cookie import _MAX_HEADER
from pgsession.core.cookie_attributes import _MAX_LABELS, _MAX_PAIR
from pgsession.core.keys import SELECTOR_LENGTH, VERIFIER_LENGTH
from pgsession.core.period import DEFAULT_PERIOD, MAX_PERIOD
from pgsession.core.plain import MAX_DEPTH, MAX_INTEGER_BITS
from pgsession.core.secret_keys import MIN_SECRET_BYTES
from pgsession.postgres.connections.deadline import GRACE
from pgsession.postgres.connections.failures import _PAUSES
from pgsession.postgres.dead_keys import REMEMBERED
from tests.guides.figures import SOON, missing, word, words

SETTINGS = SessionSettings(secret_key="a secret of more than thirty-two bytes")

COOKIE = SETTINGS.make_cookie()
SHORT = "k" * SELECTOR_LENGTH
LONG = f"{SHORT}.{'v' * VERIFIER_LENGTH}"

#: The bytes of the shortest text that has the form of our cookie, with what separates it from the
#: next: the older text, a key and a signature.
FORGERY = len(f"{COOKIE.name}=") + len(f"{'k' * 40}.{'s' * 43}") + len("; ")


def value_size(key: str, *, number: int = 0) -> int:
    """Return the bytes of a cookie's value."""
    text = COOKIE.write(key, DEFAULT_PERIOD, number=number)
    return len(text.partition(b"=")[2].partition(b";")[0])


#: Phrases with a figure in them, made from the code, by the page that says them.
FIGURES = {
    "asvs": [
        f"{6 * SELECTOR_LENGTH} bits, `tests",
        f"within {_MAX_PAIR} bytes",
        f"{value_size(SHORT)} to {value_size(LONG, number=999_999_999)} bytes",
        f"`default_period`, {words(DEFAULT_PERIOD)} unless you set it",
    ],
    "guarantees": [
        f"`timeout` ({SETTINGS.timeout:g} s) and {word(2 * GRACE)} second more",
        f"At most {_MAX_HEADER // 1024} kB of the headers",
        f"once in {word(REMEMBERED)} seconds",
        f"open streams {SOON}",
    ],
    "hostile-input": [
        f"within the first {_MAX_HEADER // 1024} kB",
        f"not found for {word(REMEMBERED)} seconds",
        f"the limit is {MAX_INTEGER_BITS:,} bits",
        f"kept up to {MAX_DEPTH} levels",
        f"more than {MAX_PERIOD.days / 365.25:g} years",
        f"retried up to {word(len(_PAUSES))} times",
        f"within `timeout` plus {word(2 * GRACE)} second",
    ],
    "threat-model": [
        f"{6 * SELECTOR_LENGTH} bits from the system",
        f"with fewer than {MIN_SECRET_BYTES} bytes",
        f"good for {words(REGISTERED_WITHIN)} and for one key",
        f"end it {SOON}",
        f"Only {_MAX_HEADER // 1024} kB of the Cookie headers",
        f"at most {word(_MAX_LABELS - 1)} domains",
        f"some {round(_MAX_HEADER // FORGERY, -1)} forgeries",
        f"one statement in {word(REMEMBERED)} seconds",
    ],
}


@pytest.mark.parametrize("page", FIGURES)
def test_figures(page: str) -> None:
    """Each figure of a page is that of the code."""
    assert missing(f"docs/security/{page}.md", FIGURES[page]) == []
