"""The tables and the page that has them."""

from pathlib import Path

import pytest

from tests.matrix.suites import counted
from tests.matrix.table import (
    BEGIN,
    END,
    NOT_HERE,
    NOTHING,
    Outcome,
    Part,
    Result,
    Row,
    inserted,
    markdown,
)


def make_part() -> Part:
    part = Part("Servers", ("Server", "Mode"), ("Contract", "Faults"))
    part.rows += [
        Row(("1.2", "on"), (Result(Outcome.PASSED, "12 passed"), NOTHING)),
        Row(("1.3", "off"), (NOT_HERE, Result(Outcome.FAILED, "1 failed", Path("a.log")))),
    ]
    return part


def test_markdown() -> None:
    """A row has the names of what was tried and its results, in columns that are aligned."""
    assert markdown([make_part()]) == (
        "### Servers\n"
        "\n"
        "| Server | Mode | Contract  | Faults               |\n"
        "| ------ | ---- | --------- | -------------------- |\n"
        "| 1.2    | on   | 12 passed | -                    |\n"
        "| 1.3    | off  | not here  | **failed**: 1 failed |\n"
    )


def test_failures() -> None:
    """What is not here and what there is nothing to try of are no failures."""
    assert [each.log for each in make_part().failures] == [Path("a.log")]


def test_inserted() -> None:
    """The tables replace those between the two lines of the page, and nothing else."""
    page = f"# Page\n\n{BEGIN}\n\nold\n{END}\n\nEnd.\n"

    assert inserted(page, r"new \1") == f"# Page\n\n{BEGIN}\n\nnew \\1\n{END}\n\nEnd.\n"


def test_no_place() -> None:
    """A page without the two lines is an error that names them."""
    with pytest.raises(ValueError, match="add <!-- make matrix: begin -->"):
        inserted("# Page\n", "new")


@pytest.mark.parametrize(
    ("output", "said"),
    [
        pytest.param("....\n792 passed in 9.90s\n", "792 passed", id="passed"),
        pytest.param(
            "FAILED a - 7 passed\n1 failed, 2 passed in 1s", "1 failed, 2 passed", id="failed"
        ),
        pytest.param(
            "14 passed, 3 skipped, 9 deselected in 1s\n", "14 passed, 3 skipped", id="skipped"
        ),
        pytest.param("ERROR: file not found\n", "no test ran", id="nothing"),
        pytest.param("", "no test ran", id="empty"),
    ],
)
def test_counted(output: str, said: str) -> None:
    """Of pytest's output the last line counts."""
    assert counted(output) == said
