"""docs/concepts: each figure in the prose is that of the code."""

import re
import tracemalloc
from datetime import timedelta
from inspect import signature

import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from pgsession import PostgresStore, SessionSettings
from pgsession.asgi.caching import _KEPT_STATUSES
from pgsession.asgi.device_binding import _LATE, _LONGEST, _OLD
from pgsession.asgi.reuse import _INTERVAL
from pgsession.asgi.unavailable import _HEADERS, _TRY_AGAIN_LATER
from pgsession.core.bound import REGISTERED_WITHIN
from pgsession.core.cookie import _MAX_HEADER, MAX_AGE
from pgsession.core.decision import touch_due
from pgsession.core.keys import _DIGEST_BYTES, SELECTOR_LENGTH, VERIFIER_LENGTH, key_digest
from pgsession.core.logs import INTERVAL
from pgsession.core.period import DEFAULT_PERIOD
from pgsession.core.rotation import DEFAULT_GRACE
from pgsession.core.store import DEFAULT_EXCLUSIVE_LIMIT, DEFAULT_EXCLUSIVE_TIMEOUT
from pgsession.core.users import RETIRED_FOR
from pgsession.core.value import DEFAULT_VALUE_LIMIT
from pgsession.dbsc.bound_cookie import _MARGIN
from pgsession.postgres.batching import _LANES, _LEAST, _MOST_WAITING, _SIZE
from pgsession.postgres.calls_apart import _RETRY_EVERY
from pgsession.postgres.connections.locks import _MOST, _ROW, Locks
from pgsession.postgres.connections.own_pool import _LONGEST as LONGEST_PAUSE
from pgsession.postgres.connections.own_pool import _RESTARTING, _SHORTEST
from pgsession.postgres.connections.pool import _LONGEST as KEPT_AT_MOST
from pgsession.postgres.connections.pool import Pool
from pgsession.postgres.connections.runner import DEFAULT_TIMEOUT
from pgsession.postgres.dead_keys import MOST_REMEMBERED, REMEMBERED, DeadKeys
from pgsession.postgres.lone_calls import _QUIET
from pgsession.postgres.statements.text import PATIENCE
from pgsession.postgres.sweeping.sweeper import DEFAULT_SWEEP_EVERY
from tests.concurrency import test_rotation_simulation as simulation
from tests.guides.figures import minutes, missing, word, words
from tests.guides.test_diagrams import FIRST, WAITING
from tests.project.documents import ROOT, Document

SELECTOR, VERIFIER = "selector".ljust(SELECTOR_LENGTH, "k"), "v" * VERIFIER_LENGTH

WEEK = DEFAULT_PERIOD.total_seconds()
DAYS = word(DEFAULT_PERIOD.days)
TIMEOUT = f"{word(DEFAULT_TIMEOUT)} seconds by default"

#: The functions on the way of a read, as the page about the architecture lists them.
WAY = re.findall(
    r"^[\w.]+ +\S+\.py +", Document("docs/concepts/architecture.md").text, re.MULTILINE
)

#: psycopg asks a server to cancel, and then waits for the answer as long again.
_CANCEL = signature(AsyncConnection._try_cancel)  # noqa: SLF001 - nothing public says it
CANCELLING = 2 * _CANCEL.parameters["timeout"].default

#: Phrases with a figure in them, made from the code, by the page that says them.
FIGURES = {
    "architecture": [
        f"{word(len(WAY)).capitalize()} named functions lie",
        f"a released connection for {words(KEPT_AT_MOST)}",
        f"{word(_QUIET)} calls alone before that",
        f"reconnecting after {words(_SHORTEST)}",
        f"cancellation takes {word(CANCELLING)} seconds",
        f"may then wait {word(CANCELLING)} seconds",
        f"locked rows for {PATIENCE:g} s, then",
        f"callers at once after {words(_RESTARTING)}",
    ],
    "request": [
        f"no more than {_MAX_HEADER // 1024} kB",
        f"none, for {word(REMEMBERED)} sec",
    ],
    "merging": [f"For {words(RETIRED_FOR)} it makes no session"],
    "keys": [
        f"{SELECTOR_LENGTH} characters from {6 * SELECTOR_LENGTH} random bits",
        f"{VERIFIER_LENGTH} characters from {6 * VERIFIER_LENGTH} random bits",
        f"the first {_DIGEST_BYTES} bytes of the SHA-256",
        f"arrives with it within {words(RETIRED_FOR)}",
        f"{words(DEFAULT_GRACE).capitalize()} is enough for that",
        f"lets {simulation.HONEST} browsers",
        f"use a site for {words(timedelta(days=simulation.DAYS))}",
        f"Of {simulation.VICTIMS} thieves",
        f"within {word(simulation.HALF_FOUND)} hours",
        f"at most one line in {word(_INTERVAL)} seconds",
    ],
    "locked-rows": [
        f"for {PATIENCE:g} seconds",
        f"every {_RETRY_EVERY:g} seconds",
        f"A batch waits {PATIENCE:g} seconds",
        f"tried again every {_RETRY_EVERY:g} seconds",
        f"none waits {PATIENCE:g} seconds again",
        f"within `timeout` ({TIMEOUT}), the call",
        f"within `timeout` ({TIMEOUT}), the request",
        f"`exclusive_limit` ({DEFAULT_EXCLUSIVE_LIMIT.total_seconds():g} seconds by default)",
        f"unless {_MOST} of them are held",
        f"Inner blocks have {_MOST} connections",
        f"| `timeout`, {DEFAULT_TIMEOUT:g} s |",
        f"its argument, {DEFAULT_EXCLUSIVE_TIMEOUT.total_seconds():g} s if none",
        f"| {word(10 * _ROW)} tenths of `timeout` |",
        f"`exclusive_limit`, {DEFAULT_EXCLUSIVE_LIMIT.total_seconds():g} s",
        f"opens up to {_MOST} more",
    ],
    "lifetimes": [
        f"sets the cookie for {DEFAULT_PERIOD.days} days",
        f"On day {DEFAULT_PERIOD.days + 1}, after {DEFAULT_PERIOD.days} days without",
        f"the default period of {DAYS} days",
        f"It expires in {DAYS} days",
        f"the expiry to {DAYS} days from now",
        f"**Day {DEFAULT_PERIOD.days + 1}.** There was no",
        f"`Max-Age={WEEK:.0f}`",
        f"{WEEK / 36_000:g} hours, has passed",
        f"| {DEFAULT_PERIOD.days} days |",
        f"| {DEFAULT_SWEEP_EVERY // timedelta(minutes=1)} minutes |",
        f"about every {minutes(DEFAULT_SWEEP_EVERY)} minutes",
        f"for {MAX_AGE.days} days at most",
        f"comes {word(INTERVAL)} seconds later",
    ],
    "binding": [
        f"at most {REGISTERED_WITHIN.total_seconds():g} seconds old",
        f"offer of a registration | {REGISTERED_WITHIN.total_seconds():g} seconds |",
        f"`device_binding` and {_LATE // timedelta(minutes=1)} minutes",
        f"| {_OLD // timedelta(minutes=1)} minutes |",
        f"| {_LONGEST:g} seconds, then 503 |",
        f"drops it {words(_MARGIN)} sooner",
        f"under {minutes(10 * _MARGIN)} minutes it drops it a tenth sooner",
    ],
    "outages": [
        f"`Retry-After: {dict(_HEADERS)[b'retry-after'].decode()}`",
        f"is closed with {_TRY_AGAIN_LATER}",
        f"up to {_RESTARTING:g} second in the first second",
        f"`timeout` ({DEFAULT_TIMEOUT:g} s), and 1 second more",
        f"{_MOST_WAITING:,} waiting calls",
        f"first after {_SHORTEST:g} seconds",
        f"of {words(LONGEST_PAUSE)} at most",
        f"to connect every {words(LONGEST_PAUSE).replace('a ', '')}",
        f"one every {word(INTERVAL)} seconds",
    ],
    "batching": [
        f"at most {_SIZE} sessions",
        f"at least {_LEAST} each",
        f"At most {word(_LANES)} statements of a kind",
        f"follows {word(_QUIET)} reads that were alone",
        f"({_MOST_WAITING:,} waiting calls of one kind)",
        f"remembers for {word(REMEMBERED)} seconds",
        f"for those {word(REMEMBERED)} seconds",
        f"at most {MOST_REMEMBERED:,} keys, 2 to 3 MB",
        f"within about {word(2 * KEPT_AT_MOST)} seconds",
        f"{FIRST} of them leave together",
        f"the other {WAITING - FIRST} do",
    ],
    "why-not": [f"`value_limit` is {DEFAULT_VALUE_LIMIT // 1_000_000} MB by default"],
    "web": [
        f"the {_MAX_HEADER // 1024} kB of headers",
        f"for {MAX_AGE.days} days at most",
        f"once in {MAX_AGE.days * 9 // 10} days",
        f"every {MAX_AGE.days // 10} days",
        f"within the {_MAX_HEADER // 1024} kB",
        "the status {1}, {0} or {2}".format(*sorted(_KEPT_STATUSES)),
    ],
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures(name: str) -> None:
    """Each figure of a page is that of the code."""
    assert missing(f"docs/concepts/{name}.md", FIGURES[name]) == []


def test_remembered_keys() -> None:
    """The keys that a process remembers take 2 MB, or 3 MB if all have a verifier."""
    sizes = []
    for key in (SELECTOR, f"{SELECTOR}.{VERIFIER}"):
        tracemalloc.start()
        keys = DeadKeys(clock=lambda: 0.0)
        for number in range(2 * MOST_REMEMBERED):
            keys.add(key_digest(key.replace("selector", f"{number:08}")))
        sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        assert len(keys) == MOST_REMEMBERED

    assert [round(size, -6) for size in sizes] == [2_000_000, 3_000_000]


async def accept(_: object) -> None:
    pass


@pytest.mark.parametrize(("size", "served"), [(1, [1, 1]), (12, [6, 3])])
def test_shared_pool(size: int, served: list[int]) -> None:
    """Of a caller's pool, half serves locks and a quarter inner blocks, at least one connection."""
    theirs = AsyncConnectionPool("", min_size=0, max_size=size, open=False)
    pool = Pool(theirs, check=accept, inspect=accept, on_open=lambda: None, timeout=1)
    locks = Locks(pool, is_shared=True, timeout=1, limit=1)

    assert [it._value for it in locks._slots] == served  # noqa: SLF001 - it is seen nowhere else


def test_defaults() -> None:
    """The defaults of the page about lifetimes are those of the settings."""
    settings = SessionSettings(secret_key="a secret of more than thirty-two bytes")
    limits = (settings.max_lifetime, settings.max_inactivity, settings.touch_after)

    assert limits == (None, None, None)
    assert PostgresStore("postgresql:///app").default_period == DEFAULT_PERIOD


@pytest.mark.parametrize(("passed", "is_due"), [(0.09, False), (0.11, True)])
def test_tenth(*, passed: float, is_due: bool) -> None:
    """An extension is due when a tenth of the period has passed."""
    remaining = (1 - passed) * DEFAULT_PERIOD

    assert is_due is touch_due(
        remaining=remaining, period=DEFAULT_PERIOD, lifetime=None, touch_after=None
    )


def test_modules() -> None:
    """Each module that the page about the architecture names exists."""
    text = Document("docs/concepts/architecture.md").text
    named = set(re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py)`", text))

    assert len(named) > 100
    assert {
        each
        for each in named
        if not any((ROOT / base / each).exists() for base in ("src/pgsession", "src", "."))
    } == set()
