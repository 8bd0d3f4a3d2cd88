"""docs/concepts: each figure in the prose is that of the code."""

import re
from datetime import timedelta

import pytest

from pgsession import PostgresStore, SessionSettings
from pgsession.asgi.device_binding import _LATE, _LONGEST, _OLD
from pgsession.asgi.unavailable import _HEADERS, _TRY_AGAIN_LATER
from pgsession.core.bound import REGISTERED_WITHIN
from pgsession.core.cookie import _MAX_HEADER, MAX_AGE
from pgsession.core.decision import touch_due
from pgsession.core.keys import _DIGEST_BYTES, SELECTOR_LENGTH, VERIFIER_LENGTH
from pgsession.core.logs import INTERVAL
from pgsession.core.period import DEFAULT_PERIOD
from pgsession.core.store import DEFAULT_EXCLUSIVE_LIMIT, DEFAULT_EXCLUSIVE_TIMEOUT
from pgsession.core.users import RETIRED_FOR
from pgsession.dbsc.bound_cookie import _MARGIN
from pgsession.postgres.batching import _LANES, _LEAST, _MOST_WAITING, _SIZE
from pgsession.postgres.coalescer import _RETRY_EVERY
from pgsession.postgres.connections.locks import _MOST, _ROW
from pgsession.postgres.connections.own_pool import _LONGEST as LONGEST_PAUSE
from pgsession.postgres.connections.own_pool import _RESTARTING, _SHORTEST
from pgsession.postgres.connections.runner import DEFAULT_TIMEOUT
from pgsession.postgres.dead_keys import MOST_REMEMBERED, REMEMBERED
from pgsession.postgres.statements.text import PATIENCE
from pgsession.postgres.sweeping.sweeper import DEFAULT_SWEEP_EVERY
from tests.project.documents import ROOT, Document

RESULTS = (ROOT / "benchmarks/results/results.md").read_text(encoding="utf-8")

WORDS = {2: "two", 5: "five", 9: "nine", 10: "ten"}
PERIODS = {0.5: "half a second", 30.0: "half a minute", 60.0: "a minute"}

WEEK = DEFAULT_PERIOD.total_seconds()


def minutes(period: timedelta) -> int:
    return int(period.total_seconds() // 60)


#: Phrases with a figure in them, made from the code, by the page that says them.
FIGURES = {
    "request": [
        f"no more than {_MAX_HEADER // 1024} kB",
        f"none, for {WORDS[int(REMEMBERED)]} sec",
    ],
    "merging": [f"For {PERIODS[RETIRED_FOR.total_seconds()]} it makes no session"],
    "keys": [
        f"{SELECTOR_LENGTH} characters from {6 * SELECTOR_LENGTH} random bits",
        f"{VERIFIER_LENGTH} characters from {6 * VERIFIER_LENGTH} random bits",
        f"the first {_DIGEST_BYTES} bytes of the SHA-256",
        f"arrives with it within {PERIODS[RETIRED_FOR.total_seconds()]}",
    ],
    "locked-rows": [
        f"for {PATIENCE:g} seconds",
        f"every {_RETRY_EVERY:g} seconds",
        f"`timeout` ({WORDS[int(DEFAULT_TIMEOUT)]} seconds by default)",
        f"| `timeout`, {DEFAULT_TIMEOUT:g} s |",
        f"its argument, {DEFAULT_EXCLUSIVE_TIMEOUT.total_seconds():g} s if none",
        f"| {WORDS[round(10 * _ROW)]} tenths of `timeout` |",
        f"`exclusive_limit`, {DEFAULT_EXCLUSIVE_LIMIT.total_seconds():g} s",
        f"opens up to {_MOST} more",
    ],
    "lifetimes": [
        f"`Max-Age={WEEK:.0f}`",
        f"{WEEK / 36_000:g} hours, has passed",
        f"| {DEFAULT_PERIOD.days} days |",
        f"| {minutes(DEFAULT_SWEEP_EVERY)} minutes |",
        f"about every {WORDS[minutes(DEFAULT_SWEEP_EVERY)]} minutes",
        f"for {MAX_AGE.days} days at most",
        f"comes {WORDS[int(INTERVAL)]} seconds later",
    ],
    "binding": [
        f"at most {REGISTERED_WITHIN.total_seconds():g} seconds old",
        f"`device_binding` and {minutes(_LATE)} minutes",
        f"| {minutes(_OLD)} minutes |",
        f"| {_LONGEST:g} seconds, then 503 |",
        f"drops it {PERIODS[_MARGIN.total_seconds()]} sooner",
        f"under {WORDS[minutes(10 * _MARGIN)]} minutes it drops it a tenth sooner",
    ],
    "outages": [
        f"`Retry-After: {dict(_HEADERS)[b'retry-after'].decode()}`",
        f"is closed with {_TRY_AGAIN_LATER}",
        f"up to {_RESTARTING:g} second in the first second",
        f"`timeout` ({DEFAULT_TIMEOUT:g} s), and 1 second more",
        f"{_MOST_WAITING:,} waiting calls",
        f"first after {_SHORTEST:g} seconds",
        f"of {PERIODS[LONGEST_PAUSE]} at most",
        f"one every {WORDS[int(INTERVAL)]} seconds",
    ],
    "batching": [
        f"at most {_SIZE} sessions",
        f"at least {_LEAST} each",
        f"At most {WORDS[_LANES]} statements of a kind",
        f"({_MOST_WAITING:,} waiting calls of one kind)",
        f"remembers for {WORDS[int(REMEMBERED)]} seconds",
        f"at most {MOST_REMEMBERED:,} keys",
    ],
    "web": [
        f"the {_MAX_HEADER // 1024} kB of headers",
        f"for {MAX_AGE.days} days at most",
        f"once in {MAX_AGE.days * 9 // 10} days",
        f"every {MAX_AGE.days // 10} days",
    ],
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures(name: str) -> None:
    """Each figure of a page is that of the code."""
    said = " ".join(Document(f"docs/concepts/{name}.md").text.split())

    assert [phrase for phrase in FIGURES[name] if phrase not in said] == []


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


def measured(heading: str, row: str) -> list[str]:
    """Return the cells of a row of the results of the benchmark, in the table of a heading."""
    _, _, table = RESULTS.partition(f"| {heading} ")
    found = next(line for line in table.splitlines() if line.startswith(f"| {row} "))
    return [cell.strip() for cell in found.split("|")[2:-1]]


def test_statements() -> None:
    """The statements of a read under load are those of the results of the benchmark."""
    said = " ".join(Document("docs/concepts/request.md").text.split())

    assert f"took {measured('Read', 'pgsession')[-2]} statements" in said


def test_lone_call() -> None:
    """A lone call costs up to a quarter more than one without batches, in the results."""
    ratios = [float(ratio) for ratio in measured("1 in flight", "one statement a call")[5:]]

    assert len(ratios) == 5
    assert 0.75 <= min(ratios) < 0.8
    assert "up to a quarter for the store alone" in Document("docs/concepts/batching.md").text


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
