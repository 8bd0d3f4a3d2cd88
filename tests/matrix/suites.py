"""The tests of the matrix, run with any Python against any server."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.matrix.processes import run
from tests.matrix.table import Outcome, Result

CONTRACT: Final = ("tests/contract",)

#: Without the tests of the tools, which use no server, and the one that starts its own.
RACES: Final = (
    "tests/concurrency",
    "--ignore=tests/concurrency/test_checker.py",
    "--ignore=tests/concurrency/test_history.py",
    "--ignore=tests/concurrency/test_mutants.py",
    "--ignore=tests/concurrency/test_rotation_checker.py",
)

#: The race that needs no other sight of the server than that of its clients.
HAMMER: Final = ("tests/concurrency/test_hammer.py",)

#: Migrations, statements, sweeping and `pgsession check`.
TABLE: Final = ("tests/postgres", "tests/cli", "--ignore=tests/postgres/test_embedded.py")

#: PgBouncer in transaction mode. The ids of some tests say how statements are prepared.
POOLER: Final = ("tests/faults/test_pgbouncer.py", "-k", "not [prepared]")
POOLER_PREPARED: Final = ("tests/faults/test_pgbouncer.py", "-k", "[prepared]")

#: Hypothesis tries the same examples in each cell, so that only the servers differ.
_OPTIONS: Final = ("-q", "-p", "no:cacheprovider", "--hypothesis-seed=0")

_TIMEOUT: Final = 600.0
_COUNTS: Final = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed)")


def try_suite(
    python: Path, suite: Sequence[str], *, log: Path, variables: Mapping[str, str]
) -> Result:
    """Run tests; return how many passed."""
    command: list[str | Path] = [python, "-m", "pytest", *_OPTIONS, *suite]
    examples = {"HYPOTHESIS_STORAGE_DIRECTORY": str(log.with_suffix(".examples"))}
    code = run(command, log=log, timeout=_TIMEOUT, variables={**examples, **variables})
    said = "out of time" if code is None else counted(log.read_text(errors="replace"))
    if code == 0:
        return Result(Outcome.PASSED, said)
    return Result(Outcome.FAILED, said, log)


def counted(output: str) -> str:
    """Return what the last line of pytest's output counts, as "3 passed, 1 skipped"."""
    last = output.strip().rpartition("\n")[2]
    return ", ".join(match[0] for match in _COUNTS.finditer(last)) or "no test ran"
