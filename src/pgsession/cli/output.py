"""What the commands print: tables and text for people, JSON for programs.

Texts from the database are anybody's: what a terminal would interpret is shown escaped.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final, TextIO

import click
import msgspec
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pgsession.core.shown import NOTHING, shown

__all__ = ["NOTHING", "shown"]

_KILO: Final = 1024

_UNITS: Final = (("s", 1), ("min", 60), ("h", 3600), ("days", 86_400))


def is_terminal() -> bool:
    """Tell whether a person reads the output."""
    return sys.stdout.isatty()


def escape_unprintable(output: TextIO) -> None:
    """Let an output print as escapes what its encoding lacks."""
    if isinstance(output, io.TextIOWrapper):
        output.reconfigure(errors="backslashreplace")


def print_json(document: object) -> None:
    """Print one JSON document, in ASCII: dataclasses by their fields, times in ISO 8601."""
    click.echo(json.dumps(msgspec.to_builtins(document), indent=2))


def print_plain(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print aligned columns without boxes, colours and limits of width."""
    lines = [headings, *rows]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (
            cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True)
        )
        click.echo("  ".join(padded).rstrip())


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """Print a table as wide as the terminal at most. NO_COLOR is honoured."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    print_rich(table)


def print_rich(renderable: Table | Text) -> None:
    """Print what rich renders, in one piece: click knows what to do if the reader is gone."""
    console = Console(highlight=False, emoji=False)
    with console.capture() as capture:
        console.print(renderable)
    click.echo(capture.get(), nl=False, color=True)


def iso(moment: datetime | None) -> str:
    """Return a time in ISO 8601, in UTC and whole seconds."""
    if moment is None:
        return NOTHING
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def relative(moment: datetime | None, now: datetime) -> str:
    """Return how long ago a time was, or in how long it is."""
    if moment is None:
        return NOTHING
    seconds = (now - moment).total_seconds()
    return f"in {lasting(-seconds)}" if seconds < 0 else f"{lasting(seconds)} ago"


def lasting(seconds: float) -> str:
    """Return a length of time as a round number of seconds, minutes, hours or days."""
    for (unit, length), (_, longer) in pairwise(_UNITS):
        if seconds < 2 * longer:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


def count_of(number: int, thing: str = "session") -> str:
    """Return a number with its noun."""
    return f"{number_of(number)} {thing}{'' if number == 1 else 's'}"


def size_of(number: int) -> str:
    """Return a number of bytes as people read it."""
    size = float(number)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < _KILO:
            return f"{size:.0f} {unit}"
        size /= _KILO
    return f"{size:.1f} TB"


def number_of(number: int) -> str:
    """Return a number with commas between its thousands, or without, for programs."""
    return f"{number:,}" if is_terminal() else str(number)
