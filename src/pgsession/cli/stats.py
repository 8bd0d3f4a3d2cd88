"""``pgsession stats``: the sessions, their users, and the state of the table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import groupby

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pgsession.cli import options
from pgsession.cli.exits import WRONG, Command, run
from pgsession.cli.output import is_terminal, print_json, print_plain, print_rich
from pgsession.cli.statistics import read_statistics
from pgsession.cli.summary import Line, summarize


@click.command("stats", cls=Command, short_help="Count the sessions; show the table's state.")
@click.option(
    "--top",
    "most",
    type=click.IntRange(0, 1000),
    default=10,
    show_default=True,
    help="How many of the users with most sessions to show.",
)
@click.option("--quick", "is_quick", is_flag=True, help="Count nothing: read the catalog only.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.001, max=86_400),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="How long counting may take.",
)
@options.database_url
@options.schema
@options.table
@options.wait
@options.as_json
def stats(
    *,
    most: int,
    is_quick: bool,
    timeout: float,
    database_url: str,
    schema: str | None,
    table: str,
    wait: float,
    as_json: bool,
) -> None:
    """Count the sessions and their users, and show the state of the table.

    Reads the whole table, unless --quick is given. Give it the SESSION_ variables
    of the application: they say how long sessions live at most.

    Exits 1 if the sessions could not be counted: in the given time, or as this
    role may not read them. The rest is printed then too.
    """
    settings = options.settings_of(database_url, schema, table, wait=wait)
    with _spinner(is_quick=is_quick):
        found = run(read_statistics(settings, is_quick=is_quick, most=most, timeout=timeout))
    if as_json:
        print_json(found)
    elif is_terminal():
        _print_for_people(summarize(found, is_for_people=True))
    else:
        print_plain(("SECTION", "NAME", "VALUE"), [line[:3] for line in summarize(found)])
    if found.not_counted is not None and not is_quick:
        sys.exit(WRONG)


def _spinner(*, is_quick: bool) -> AbstractContextManager[object]:
    console = Console(stderr=True)
    if is_quick or not console.is_terminal:
        return nullcontext()
    return console.status("Counting the sessions")


def _print_for_people(lines: Sequence[Line]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", overflow="fold")
    table.add_column(overflow="fold")
    for place, (section, group) in enumerate(groupby(lines, key=lambda line: line.section)):
        if place:
            table.add_row("", "")
        table.add_row(Text(section, style="bold not dim"), "")
        for line in group:
            style = "yellow" if line.is_remark else ""
            table.add_row(Text(f"  {line.name}"), Text(line.text, style=style))
    print_rich(table)
