"""The figures of pages that are measured are those of the committed results."""

import re
from json import dumps

from benchmarks.options import parse
from benchmarks.parts.in_process import LOADS
from benchmarks.parts.over_http import LOAD as SOCKETS
from benchmarks.values import VALUE
from tests.guides.figures import missing, word, words
from tests.guides.results import DATES, RESULTS, measured, number, rate

#: Peers of the README, and their names in the results.
PEERS = {
    "Starlette's signed cookie": "Starlette, signed cookie",
    "**pgsession**": "pgsession",
    "one statement a call": "one statement a call",
    "starsessions on Redis": "starsessions, Redis",
}

#: The columns of the table over HTTP.
READ, WRITE = 4, 8

#: The rows of the last table: the figure, what is required, what was measured, whether it is met.
REQUIRED = {
    figure: (required, float(found), met)
    for figure, required, found, met in re.findall(
        r"^\| (.*?) +\| +[≥≤] (\S+(?: \(aim\))?) \| +(\S+) .*?\| +(met|NOT MET) \|$",
        RESULTS,
        re.MULTILINE,
    )
    if "(aim)" not in required
}
MISSED = {figure: values for figure, values in REQUIRED.items() if values[2] == "NOT MET"}
AIMS = dict(re.findall(r"^\| (.*?) +\| +[≥≤] (\S+) \(aim\) ", RESULTS, re.MULTILINE))

#: How the page says the figures of the last table that have an aim, or that are missed.
TARGETS = {
    "read at 64 in flight, rate ÷ Starlette, signed cookie": "reads ÷ Starlette's cookie",
    "write at 64 in flight, rate ÷ Starlette, signed cookie": "writes ÷ Starlette's cookie",
    "read at 64 in flight, rate ÷ starsessions, Redis": "reads ÷ starsessions on Redis",
    "write at 64 in flight, rate ÷ starsessions, Redis": "writes ÷ starsessions on Redis",
    "read at 1 in flight, rate ÷ starsessions, Redis": "reads ÷ Redis, one in flight",
    "write at 1 in flight, rate ÷ starsessions, Redis": "writes ÷ Redis, one in flight",
    "none at 64 in flight, rate ÷ no session": "no session used ÷ no middleware",
    "get at 1,000,000 rows ÷ at 10,000, 64 in flight": "the store, a million rows ÷ 10,000",
    "get at 10,000,000 rows ÷ at 10,000, 64 in flight": "the store, ten million rows ÷ 10,000",
    "behind uvicorn: read at 64 in flight, rate ÷ Starlette, signed cookie": (
        "behind uvicorn, reads ÷ cookie"
    ),
    "behind uvicorn: write at 64 in flight, rate ÷ Starlette, signed cookie": (
        "behind uvicorn, writes ÷ cookie"
    ),
    "behind uvicorn: read, 2 workers at 64 in flight, rate ÷ Starlette, signed cookie": (
        "with two workers, reads ÷ cookie"
    ),
    "behind uvicorn: write, 2 workers at 64 in flight, rate ÷ Starlette, signed cookie": (
        "with two workers, writes ÷ cookie"
    ),
    "read, 20 kB at 64 in flight, rate ÷ starsessions, Redis": "20 kB, reads ÷ Redis",
    "write, 20 kB at 64 in flight, rate ÷ starsessions, Redis": "20 kB, writes ÷ Redis",
    "read, 200 kB at 64 in flight, rate ÷ starsessions, Redis": "200 kB, reads ÷ Redis",
    "write, 200 kB at 64 in flight, rate ÷ starsessions, Redis": "200 kB, writes ÷ Redis",
    "ms of CPU that the import adds": "the import, ms of CPU",
}


def rounded(text: str) -> str:
    """Return a rate to the nearest hundred."""
    return f"{round(number(text), -2):,}"


def served(peer: str) -> tuple[str, str]:
    """Return the reads and the writes of a second over HTTP."""
    cells = measured("none/s", peer)
    return rounded(cells[READ]), rounded(cells[WRITE])


def test_readme() -> None:
    """The README has the rates of the results, to the nearest hundred, and their day."""
    rows = [
        f"| {name} | {rounded(rate('Read', peer, '64'))} | {rounded(rate('Write', peer, '64'))} |"
        for name, peer in PEERS.items()
    ]
    reads, writes = served("pgsession")
    cookie, redis = served("Starlette, signed cookie"), served("starsessions, Redis")
    phrases = [
        *rows,
        f"medians of one run on {DATES['apps']}:",
        f"reads at {reads} requests a second and writes at {writes}",
        f"(the cookie: {cookie[0]} and {cookie[1]};",
        f"starsessions on Redis: {redis[0]} and {redis[1]})",
        f"the {word(len(MISSED))} targets that pgsession does not reach",
    ]

    assert missing("README.md", phrases) == []


def test_one_day() -> None:
    """All figures are of the day that the page names."""
    assert len(set(DATES.values())) == 1
    assert missing("docs/project/speed.md", [f"one run, on {DATES['apps']};"]) == []


def rows() -> list[str]:
    """Return the rows of the table of targets."""
    found = []
    for figure, said in TARGETS.items():
        required, reached, _ = REQUIRED[figure]
        is_met = "no" if figure in MISSED else "yes"
        found.append(
            f"| {said} | {required} | {AIMS.get(figure, 'none')} | {reached:g} | {is_met} |"
        )
    return found


def test_targets() -> None:
    """The page lists the targets, what was measured, and how many are not reached."""
    [start] = re.findall(r"what the first call imports add +\| +([\d.]+) \|", RESULTS)
    phrases = [
        *rows(),
        f"reach {word(len(MISSED))} of its targets",
        f"its first call: {start} ms of CPU together",
    ]

    assert set(MISSED) <= set(TARGETS)
    assert set(AIMS) <= set(TARGETS)
    assert missing("docs/project/speed.md", phrases) == []


def test_ratios() -> None:
    """The ratios in the prose are those of the results."""
    redis = REQUIRED["read at 1 in flight, rate ÷ starsessions, Redis"][1]
    bare = REQUIRED["read at 1 in flight, rate ÷ one bare SELECT"][1]
    alone, many = (
        REQUIRED[f"get at 10,000,000 rows ÷ at 10,000, {load} in flight"][1] for load in (1, 64)
    )
    ours, theirs = (
        number(rate("Write", peer, "1")) for peer in ("pgsession", "starsessions, Redis")
    )
    phrases = [
        f"{redis:.1f} times as fast as starsessions on Redis",
        f"at {bare:.2f} of the rate of a bare `SELECT`",
        f"ten million rows at {alone:.2f} of its rate",
        f"it reads at {many:.2f} of that rate",
    ]

    assert missing("docs/project/speed.md", phrases) == []
    assert 0.33 < ours / theirs < 0.48  # less than half the rate


def test_method() -> None:
    """The page about the method names the figures of the programs that measure."""
    options, large = parse([]), parse(["--large"])
    loads = ", ".join(map(str, LOADS[:-1]))
    phrases = [
        f"{words(options.seconds)} for one peer",
        f"There are {options.sessions:,} sessions of about {round(len(dumps(VALUE)), -1)} bytes",
        f"at {loads} and {LOADS[-1]} in flight",
        f"at {SOCKETS} connections",
        f"each of {options.rows:,} sessions, {word(options.renewals)} times",
        f"a sweep of a {word(options.expired)} expired rows",
        f"adds a table of {max(large.sizes) // 10**6} million rows",
    ]

    assert missing("benchmarks/README.md", phrases) == []


def test_statements() -> None:
    """The statements of a read under load are those of the results of the benchmark."""
    phrase = f"took {measured('Read', 'pgsession')[-2]} statements"

    assert missing("docs/concepts/request.md", [phrase]) == []


def test_lone_call() -> None:
    """A lone call is about a tenth slower at most than one without batches, a read is faster."""
    ratios = [float(ratio) for ratio in measured("1 in flight", "one statement a call")[5:]]

    assert len(ratios) == 5
    assert 0.85 < min(ratios) < 0.95
    assert ratios[0] > 1
    assert missing("docs/concepts/batching.md", ["about a tenth slower at most"]) == []
