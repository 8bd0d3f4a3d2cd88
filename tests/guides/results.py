"""The committed results of the benchmark, for the tests of the pages that show some of them."""

import re

from tests.project.documents import ROOT

RESULTS = (ROOT / "benchmarks/results/results.md").read_text(encoding="utf-8")

#: The days of the measurements, a row of the first table for each part.
DATES = dict(re.findall(r"^\| (\w+) +\| (\d{4}-\d\d-\d\d) ", RESULTS, re.MULTILINE))

#: The column of each number of requests in flight.
_COLUMNS = ("1", "16", "64", "256")


def measured(heading: str, row: str) -> list[str]:
    """Return the cells of a row, in the table whose first column has the heading."""
    _, _, table = RESULTS.partition(f"| {heading} ")
    found = next(line for line in table.splitlines() if line.startswith(f"| {row} "))
    return [cell.strip() for cell in found.split("|")[2:-1]]


def rate(work: str, peer: str, in_flight: str) -> str:
    """Return the requests a second of a peer, as they are printed."""
    return measured(work, peer)[_COLUMNS.index(in_flight)]


def number(text: str) -> int:
    """Return a printed number."""
    return int(text.replace(",", ""))
