"""docs/concepts/why-not.md: its figures are those of the benchmark."""

import re

from tests.guides.figures import PINS
from tests.guides.results import DATES, number, rate
from tests.project.documents import Document

PAGE = Document("docs/concepts/why-not.md")


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_figures() -> None:
    """Each figure of the table stands in the results of the benchmark."""
    head, *rows = (
        cells(line)
        for line in re.findall(r"^\|.*\|$", PAGE.text, re.MULTILINE)
        if not line.startswith("|--")
    )
    wanted = [
        (heading.split("s,")[0].capitalize(), heading.split(", ")[1].split()[0].replace("one", "1"))
        for heading in head[1:]
    ]

    assert [row[0] for row in rows if row[0] == "pgsession"]
    assert rows == [
        [row[0], *(rate(work, row[0], in_flight) for work, in_flight in wanted)] for row in rows
    ]


def test_said() -> None:
    """The day, the fastest, and "more than twice as fast" agree with the figures."""
    assert f"measured on {DATES['apps']}" in PAGE.text
    others = ("starsessions, memory", "starsessions, Redis", "pgsession")
    reads = [number(rate("Read", peer, "64")) for peer in others]
    assert number(rate("Read", "Starlette, signed cookie", "64")) > max(reads)
    redis, ours = (number(rate("Write", peer, "1")) for peer in others[1:])
    ratio = redis / ours
    assert 2.2 < ratio < 3


def test_versions() -> None:
    """The versions that are compared are those that the tests run with."""
    compared = f"Starlette {PINS['starlette']}, starsessions {PINS['starsessions']} and Django"

    assert f"{compared} {PINS['django']}." in PAGE.text
