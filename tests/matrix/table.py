"""The table: rows of what was tried, and the results."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

#: The lines of a page between which the table stands.
BEGIN: Final = "<!-- make matrix: begin -->"
END: Final = "<!-- make matrix: end -->"


class Outcome(Enum):
    """How a cell ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_HERE = "not here"
    #: There is nothing to try.
    NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Result:
    """What a cell says."""

    outcome: Outcome
    #: What was found, as "792 passed".
    said: str = ""
    #: The output of a cell that failed.
    log: Path | None = None

    def __str__(self) -> str:
        if self.outcome is Outcome.FAILED:
            return f"**failed**: {self.said}"
        return self.said or self.outcome.value


NOT_HERE: Final = Result(Outcome.NOT_HERE)
NOTHING: Final = Result(Outcome.NOTHING)


@dataclass(frozen=True, slots=True)
class Row:
    """What was tried together, and its results."""

    names: tuple[str, ...]
    results: tuple[Result, ...]


@dataclass(slots=True)
class Part:
    """A table: the columns that name a row, and those of its results."""

    title: str
    names: Sequence[str]
    columns: Sequence[str]
    rows: list[Row] = field(default_factory=list)

    @property
    def failures(self) -> Iterator[Result]:
        """The results of the cells that failed."""
        for row in self.rows:
            yield from (each for each in row.results if each.outcome is Outcome.FAILED)


def markdown(parts: Iterable[Part]) -> str:
    """Return the tables as Markdown, with columns that are aligned."""
    return "\n".join(f"### {part.title}\n\n{_table(part)}" for part in parts)


def inserted(page: str, tables: str) -> str:
    """Return a page with other tables between its two lines."""
    block = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    page, count = block.subn(lambda _: f"{BEGIN}\n\n{tables}\n{END}", page)
    if count != 1:
        raise ValueError(f"The page has no place for the table: add {BEGIN} and {END}.")
    return page


def _table(part: Part) -> str:
    head = [*part.names, *part.columns]
    lines = [head, *([*row.names, *map(str, row.results)] for row in part.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [
        [text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines
    ]
    padded.insert(1, ["-" * width for width in widths])
    return "".join(f"| {' | '.join(line)} |\n" for line in padded)
