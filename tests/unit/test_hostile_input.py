"""docs/hostile-input.md keeps its word: it has every line, and every proof is there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/hostile-input.md").read_text(encoding="utf-8")

ROWS = re.findall(r"^\| (\d+) \|.*\|$", PAGE, re.MULTILINE)
PROOFS = sorted(set(re.findall(r"`(tests/\S+?\.py::\w+)`", PAGE)))

#: The ids of parametrised rows that carry a number.
NUMBERED = re.compile(r'"(\d\d)-')


@cache
def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_numbers() -> None:
    """The lines are numbered from 1 on, without a gap."""
    assert [int(number) for number in ROWS] == list(range(1, len(ROWS) + 1))


def test_proved() -> None:
    """Each line names the test that proves it, or answers it."""
    lines = re.findall(r"^\| \d+ \|.*\|$", PAGE, re.MULTILINE)

    assert [line for line in lines if "`tests/" not in line and "answered here" not in line] == []


@pytest.mark.parametrize("proof", PROOFS)
def test_proof(proof: str) -> None:
    """Each test that is named exists."""
    path, _, name = proof.partition("::")

    assert name.startswith("test_")
    assert name in names_in(ROOT / path)


def test_ids() -> None:
    """Each number that a hostile test has in its ids is that of a line."""
    used = {
        int(number)
        for path in (ROOT / "tests/hostile").glob("*.py")
        for number in NUMBERED.findall(path.read_text(encoding="utf-8"))
    }

    assert used
    assert used <= {int(number) for number in ROWS}
