"""Check that named tests fail when the code is broken on purpose.

    python tests/mutation.py [part of a mutant's name …]

Each mutant is one replacement in a copy of the source. The tests that it names run there, on the
server of SESSION_DATABASE_URL or on an embedded one, and each of them must fail. Prints the
table mutation → failing tests. The exit status is 1 if a mutant survives.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from pgsession.postgres.embedded import embedded_server
from tests.mutants.blocks import BLOCKS
from tests.mutants.changes import CHANGES
from tests.mutants.checking import CHECKING
from tests.mutants.connections import CONNECTIONS
from tests.mutants.content import CONTENT
from tests.mutants.devices import DEVICES
from tests.mutants.everyone import EVERYONE
from tests.mutants.limits import LIMITS
from tests.mutants.logs import LOGS
from tests.mutants.mutant import Mutant
from tests.mutants.options import OPTIONS
from tests.mutants.origins import ORIGINS
from tests.mutants.outside import OUTSIDE
from tests.mutants.probes import PROBES
from tests.mutants.requests import REQUESTS
from tests.mutants.rotation import ROTATION
from tests.mutants.statements import STATEMENTS
from tests.mutants.streams import STREAMS
from tests.mutants.takeover import TAKEOVER
from tests.mutants.telemetry import TELEMETRY
from tests.mutants.users import USERS

ROOT: Final = Path(__file__).parents[1]

#: All mutants.
MUTANTS: Final = (
    *CHECKING,
    *CONNECTIONS,
    *(STATEMENTS + LIMITS + REQUESTS + BLOCKS + ROTATION + STREAMS + USERS),
    *(DEVICES + ORIGINS + OPTIONS + CHANGES + CONTENT + OUTSIDE + TAKEOVER + LOGS),
    *(TELEMETRY + PROBES + EVERYONE),
)

_COPIED: Final = ("src", "tests", "migrations", "pyproject.toml")
_FAILED: Final = re.compile(r"^FAILED (.+?)(?: - .*)?$", re.MULTILINE)
_TIMEOUT: Final = 180


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result for one mutant."""

    mutant: Mutant
    #: The tests that should have failed but passed; empty if all of them caught the mutant.
    silent: tuple[str, ...]
    #: The output of pytest.
    output: str


def main() -> None:
    """Run the mutants whose names contain one of the arguments, or all mutants."""
    wanted = sys.argv[1:] or [""]
    mutants = [mutant for mutant in MUTANTS if any(part in mutant.name for part in wanted)]
    with _server() as database_url:
        _require_health(mutants, database_url)
        with ThreadPoolExecutor(min(8, (os.cpu_count() or 1) * 2 + 1)) as executor:
            verdicts = list(executor.map(partial(_try, database_url=database_url), mutants))
    for verdict in verdicts:
        print(_row(verdict))
    survivors = [verdict for verdict in verdicts if verdict.silent]
    for verdict in survivors:
        print(f"\n{verdict.mutant.name}:\n{verdict.output}")
    print(f"\n{len(verdicts)} mutants, {len(survivors)} survived")
    sys.exit(1 if survivors else 0)


@contextmanager
def _server() -> Iterator[str]:
    """Yield one server's conninfo for all mutants: starting one takes longer than most tests."""
    if url := os.environ.get("SESSION_DATABASE_URL"):
        yield url
        return
    with (
        tempfile.TemporaryDirectory(prefix="pgsession-") as folder,
        embedded_server(Path(folder, "data")) as conninfo,
    ):
        yield conninfo


def _require_health(mutants: Sequence[Mutant], database_url: str) -> None:
    """Exit unless all tests pass without a mutation: otherwise their failures prove nothing."""
    tests = dict.fromkeys(test for mutant in mutants for test in mutant.tests)
    with _copy() as tree:
        result = _run(tree, [*tests], database_url)
    if result.returncode != 0:
        sys.exit(f"The tests fail without any mutation:\n{result.stdout}{result.stderr}")


def _try(mutant: Mutant, *, database_url: str) -> Verdict:
    with _copy() as tree:
        for edit in mutant.edits:
            file = tree / "src" / "pgsession" / edit.file
            file.write_text(edit.apply(file.read_text(encoding="utf-8")), encoding="utf-8")
        result = _run(tree, mutant.tests, database_url)
    failed = _FAILED.findall(result.stdout)
    silent = tuple(
        test
        for test in mutant.tests
        if not any(name == test or name.startswith(f"{test}[") for name in failed)
    )
    return Verdict(mutant, silent, result.stdout + result.stderr)


@contextmanager
def _copy() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pgsession-mutant-") as folder:
        tree = Path(folder)
        for name in _COPIED:
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, tree / name, ignore=ignored)
            else:
                shutil.copy(ROOT / name, tree / name)
        yield tree


def _run(tree: Path, tests: Sequence[str], database_url: str) -> subprocess.CompletedProcess[str]:
    """Run tests in a copy; its source comes before an installed package on the path."""
    command = [sys.executable, "-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider", *tests]
    environment = {
        **os.environ,
        "PYTHONPATH": str(tree / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "SESSION_DATABASE_URL": database_url,
    }
    try:
        return subprocess.run(
            command,
            check=False,
            cwd=tree,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
        )
    except subprocess.TimeoutExpired as error:
        return subprocess.CompletedProcess(command, 124, "", str(error))


def _row(verdict: Verdict) -> str:
    mark = "SURVIVED" if verdict.silent else "caught"
    tests = verdict.silent or verdict.mutant.tests
    return f"{mark:<9}{verdict.mutant.name}\n" + "\n".join(f"           → {test}" for test in tests)


if __name__ == "__main__":
    main()
