"""The tests that the pages name exist, and each claim names its test."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "SECURITY.md"])
}

#: Numbered rows of what browsers, attackers and clocks do.
HOSTILE = PAGES["docs/security/hostile-input.md"]

ROWS = re.findall(r"^\| (\d+) \|.*\|$", HOSTILE, re.MULTILINE)

#: The ids of parametrised rows that contain a number.
NUMBERED = re.compile(r'"(\d\d)-')

#: Each test that a page names, once for each page.
PROOFS = [
    pytest.param(proof, id=f"{name}-{proof}")
    for name, text in PAGES.items()
    for proof in sorted(set(re.findall(r"`(tests/\S+?\.py(?:::\w+)?)`", text)))
]

#: The rows of the threat model's tables, including their headings.
DEFENDED = re.findall(r"^\| [^-|#].*\|$", PAGES["docs/security/threat-model.md"], re.MULTILINE)

#: The requirements of ASVS 5.0.0 in docs/security/asvs.md, and their number in each section.
CHAPTERS = {"3.3": 5, "7.1": 3, "7.2": 4, "7.3": 2, "7.4": 5, "7.5": 3, "7.6": 2}
REQUIREMENTS = re.findall(
    r"^\| ([\d.]+) \|[^|]+\| [123] \| \*\*([^*|]+)\*\* \|(.*)\|$",
    PAGES["docs/security/asvs.md"],
    re.MULTILINE,
)
VERDICTS = {"met", "the application's", "not yet"}


@cache
def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize("proof", PROOFS)
def test_proof(proof: str) -> None:
    """Each test that a page names exists."""
    path, _, name = proof.partition("::")

    assert name.startswith("test_")
    assert name in names_in(ROOT / path)


def test_numbers() -> None:
    """The rows of hostile input are numbered from 1 without gaps."""
    assert [int(number) for number in ROWS] == list(range(1, len(ROWS) + 1))


def test_proved() -> None:
    """Each row of hostile input names the test that proves it, or is answered on the page."""
    lines = re.findall(r"^\| \d+ \|.*\|$", HOSTILE, re.MULTILINE)

    assert [line for line in lines if "`tests/" not in line and "answered here" not in line] == []


def test_ids() -> None:
    """Each number in the ids of the hostile tests is the number of a row."""
    used = {
        int(number)
        for path in (ROOT / "tests/hostile").glob("*.py")
        for number in NUMBERED.findall(path.read_text(encoding="utf-8"))
    }

    assert used
    assert used <= {int(number) for number in ROWS}


def test_defended() -> None:
    """Each defence of the threat model names a test."""
    assert DEFENDED
    assert [line for line in DEFENDED if "`tests/" not in line and "| Test |" not in line] == []


def test_requirements() -> None:
    """Each requirement of ASVS V3.3 and V7 has one row, in order, with one of the verdicts."""
    assert [number for number, _, _ in REQUIREMENTS] == [
        f"{section}.{number}" for section, size in CHAPTERS.items() for number in range(1, size + 1)
    ]
    assert {verdict for _, verdict, _ in REQUIREMENTS} <= VERDICTS


def test_met() -> None:
    """Each requirement that is met names the test that proves it."""
    assert [
        n for n, verdict, how in REQUIREMENTS if verdict == "met" and "`tests/" not in how
    ] == []
