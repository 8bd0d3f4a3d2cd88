"""docs/reference/check.md lists every finding of `pgsession check`."""

import ast
import re

from pgsession.cli.index_findings import NEEDED
from pgsession.postgres.connections.reasons import NO_DESCRIPTORS, REASONS, UNKNOWN
from tests.project.documents import ROOT

#: The codes of the page, each with its verdict or exit code.
LISTED = re.findall(
    r"^\| `([a-z_.-]+)` \| (\w+) \|",
    (ROOT / "docs/reference/check.md").read_text("utf-8"),
    re.MULTILINE,
)


def made() -> set[tuple[str, str]]:
    """Return the codes and verdicts that the source makes, besides those that are in order."""
    found = set()
    for file in (ROOT / "src/pgsession/cli").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Name("Finding"),
                    args=[ast.Constant(str(subject)), ast.Attribute(attr=verdict), *_],
                    keywords=keywords,
                ) if verdict != "OK":
                    names = [each.value for each in keywords if each.arg == "name"]
                    code = subject.replace(" ", "-")
                    match names:
                        case []:
                            found.add((code, verdict.lower()))
                        case [ast.Constant(str(name))]:
                            found.add((f"{code}.{name}", verdict.lower()))
                case _:
                    pass
    return found


def test_findings() -> None:
    """Each finding that is not in order has its line, and no line is of another."""
    wanted = made() | {(f"indexes.{needed.name}", "warning") for needed in NEEDED}

    assert {(code, verdict) for code, verdict in LISTED if not verdict.isdigit()} == wanted


def test_reasons() -> None:
    """Each reason why the database cannot be reached has its line, with its exit code."""
    reasons = (*REASONS, NO_DESCRIPTORS, UNKNOWN)
    wanted = {(f"database.{it.name}", "3" if it.may_pass else "1") for it in reasons}

    assert {(code, number) for code, number in LISTED if number.isdigit()} == wanted


def test_once() -> None:
    """No code is listed twice."""
    codes = [code for code, _ in LISTED]
    assert len(codes) == len(set(codes))
