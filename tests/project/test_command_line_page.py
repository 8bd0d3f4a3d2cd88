"""docs/reference/command-line.md names the commands, keys, numbers and exit codes."""

import re
from dataclasses import fields
from typing import Any, Final

import click
import pytest

from pgsession.cli import (
    commands,
    counting,
    devices,
    exits,
    holding,
    revoke,
    statistics,
    storage,
    summary,
)
from pgsession.cli.findings import Finding, Verdict
from pgsession.postgres import clearance
from tests.project.documents import Document

PAGE: Final = Document("docs/reference/command-line.md").text

#: The row of each document, and the dataclass that it is printed from.
DOCUMENTS: Final[dict[str, list[Any]]] = {
    "| `devices` |": [devices.Listing, devices.ListedSession],
    "| `revoke` |": [revoke.Revoked],
    "| `stats` |": [statistics.Statistics],
    "| `stats`, `counts` |": [counting.Counts],
    "| `stats`, `top` |": [counting.TopUser],
    "| `stats`, `sizes` |": [storage.Sizes],
    "| `stats`, `indexes` |": [storage.Index],
    "| `stats`, `activity` |": [storage.Activity],
    "| `stats`, `holders` |": [holding.Holder],
}


@pytest.mark.parametrize("row", DOCUMENTS)
def test_keys(row: str) -> None:
    """The page lists the keys of each JSON document, in order."""
    [line] = [it for it in PAGE.splitlines() if it.startswith(row) and "](" not in it]
    named = re.findall(r"`(\w+)`", line.removeprefix(row).split("; all is")[0])
    named = [it for it in dict.fromkeys(named) if it != "null"]

    assert named == [each.name for kind in DOCUMENTS[row] for each in fields(kind)]


def test_keys_of_check() -> None:
    """The page lists the keys of each finding, in order."""
    [line] = [it for it in PAGE.splitlines() if it.startswith("| `check` | `findings`")]
    finding = commands.document_of(Finding("server", Verdict.OK, "…"))

    named = re.findall(r"`(\w+)`", line.partition("of each")[2])
    assert [it for it in named if it not in {each.value for each in Verdict}] == [*finding]


def test_commands() -> None:
    """The page names every command, and its examples use options that exist."""
    group = commands.command
    assert set(re.findall(r"^\| \[?`(\w+)`\]?(?:\(\S+\))? \| \w+s ", PAGE, re.MULTILINE)) == {
        *group.commands
    }
    for name, rest in re.findall(r"pgsession (\w+)([^\n|`]*)", PAGE):
        command = group.commands.get(name)
        if command is None:
            continue
        options = {it for each in command.params for it in each.opts} | {"--"}
        assert set(re.findall(r"(?<!\S)--[a-z]*", rest)) <= options, rest


def test_exit_codes() -> None:
    """The page has the exit codes, and so has the help."""
    codes = {0, exits.WRONG, exits.USAGE, exits.NOT_REACHABLE}
    codes |= {exits.INTERRUPTED, exits.TERMINATED}
    assert {int(it) for it in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)} == codes
    assert commands.command.help is not None
    assert {int(it) for it in re.findall(r"\b\d+\b", commands.command.help)} == codes


def test_numbers() -> None:
    """The page has the sizes and limits of the code."""
    timeout = next(it for it in commands.command.commands["stats"].params if it.name == "timeout")
    assert isinstance(timeout, click.Option)
    assert f"at most {clearance.ROWS} rows at a time" in PAGE
    assert f"its first {devices.SHORT} characters" in PAGE
    assert f"`--timeout` seconds ({timeout.default})" in PAGE
    assert f"Past {summary.MUCH:.0%}".replace("%", " %") in PAGE
    assert f"of {summary.LARGE // 1024**2} MB or more" in PAGE
    assert summary.LONG == 3600
    assert holding.MOST == 5


def written(option: click.Option) -> tuple[str, str]:
    """Return an option with its metavar and its default, as the page has them."""
    if option.is_flag:
        return option.opts[0], "not set"
    given = option.default if isinstance(option.default, str | float | int) else None
    default = "required" if option.required else "not set" if given is None else f"`{given}`"
    named = option.metavar or option.type.name.upper().removesuffix(" RANGE")
    return f"{option.opts[0]} {named}", default


def test_options() -> None:
    """The page has each option of each command, with its variable and its default."""
    row = r"^\| `(--[^`]+)` \| %s \| (.+?) \| "
    common = re.findall(row % "(`SESSION_\\w+`|\N{EN DASH})", PAGE, re.MULTILINE)
    own = re.findall(row % "`([a-z]+)`", PAGE, re.MULTILINE)
    found: list[tuple[str, str, str]] = []
    for name, command in commands.command.commands.items():
        options = [it for it in command.params if isinstance(it, click.Option)]
        rows = [(*written(it), f"`{it.envvar}`" if it.envvar else "\N{EN DASH}") for it in options]
        of_all = [(option, variable, default) for option, default, variable in rows]
        assert name == "secret" or {*common} <= {*of_all}
        found += [
            (option, name, default)
            for option, variable, default in of_all
            if (option, variable, default) not in common
        ]

    assert own == found
