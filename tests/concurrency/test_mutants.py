"""The mutants of tests/mutation.py match the current source."""

from pathlib import Path

import pytest

from tests.mutants.mutant import Mutant
from tests.mutation import MUTANTS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "mutant",
    MUTANTS,
    ids=lambda mutant: mutant.name,
)
def test_fits(mutant: Mutant) -> None:
    """Each text to replace occurs once in the source, and each test that must fail exists."""
    for edit in mutant.edits:
        edit.apply((ROOT / "src" / "pgsession" / edit.file).read_text(encoding="utf-8"))
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / file).read_text(encoding="utf-8")
