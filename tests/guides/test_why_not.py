"""docs/concepts/why-not.md: its figures are those of the benchmark."""

import re

from tests.project.documents import ROOT, Document

PAGE = Document("docs/concepts/why-not.md")
RESULTS = (ROOT / "benchmarks/results/results.md").read_text(encoding="utf-8")

#: The columns of a table of the results: requests a second with so many in flight.
_COLUMNS = ("1", "16", "64", "256")


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")[1:-1]]


def measured(work: str, peer: str, in_flight: str) -> str:
    """Return a figure of the results as it is printed there."""
    _, _, table = RESULTS.partition(f"| {work} ")
    row = next(line for line in table.splitlines() if line.startswith(f"| {peer} "))
    return cells(row)[1 + _COLUMNS.index(in_flight)]


def test_figures() -> None:
    """Each figure of the table stands in the results of the benchmark."""
    head, *rows = (
        cells(line)
        for line in re.findall(r"^\|.*\|$", PAGE.text, re.MULTILINE)
        if not line.startswith("|--")
    )
    wanted = [
        (heading.split("s,")[0].capitalize(), heading.split(", ")[1].split()[0])
        for heading in head[1:]
    ]

    assert [row[0] for row in rows if row[0] == "pgsession"]
    assert rows == [
        [row[0], *(measured(work, row[0], in_flight) for work, in_flight in wanted)] for row in rows
    ]


def test_said() -> None:
    """The sentences about the figures agree with them: the day, the fastest, and twice as fast."""

    def rate(work: str, peer: str, in_flight: str) -> int:
        return int(measured(work, peer, in_flight).replace(" ", ""))

    assert re.search(r"^\| apps +\| 2026-11-23 ", RESULTS, re.MULTILINE)
    assert "measured on 2026-11-23" in PAGE.text
    others = ("starsessions, memory", "starsessions, Redis", "pgsession")
    reads = [rate("Read", peer, "64") for peer in others]
    assert rate("Read", "Starlette, signed cookie", "64") > max(reads)
    ratio = rate("Write", "starsessions, Redis", "1") / rate("Write", "pgsession", "1")
    assert 1.8 < ratio < 2.2
