"""What a cell does, and where: with which Python, and on which database."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.matrix.machine import Program
from tests.matrix.places import postgresql
from tests.matrix.processes import ROOT, run
from tests.matrix.run import Work
from tests.matrix.serving import WebServer, try_counter, try_sockets
from tests.matrix.suites import try_suite

_MAKING: Final = 900.0

_VERSION: Final = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"


def suite(python: Path, arguments: Sequence[str], **variables: str) -> Work:
    """Run tests."""
    return lambda url, log: try_suite(
        python, arguments, log=log, variables={"SESSION_DATABASE_URL": url, **variables}
    )


def counter(server: WebServer, python: Path, **variables: str) -> Work:
    """Count behind a web server."""
    return lambda url, log: try_counter(server, python, url, log=log, variables=variables)


def sockets(server: WebServer, python: Path) -> Work:
    """Close sockets behind a web server."""
    return lambda url, log: try_sockets(server, python, url, log=log)


def environment(version: str) -> Path:
    """Return the Python of the virtual environment that make gives to a version."""
    return ROOT / f".venv-{version}" / "bin" / "python"


@contextmanager
def with_environment(interpreter: Program, python: Path, log: Path) -> Iterator[str]:
    """Let make have the environment of an interpreter ready, and run a PostgreSQL."""
    target = python.parents[1].relative_to(ROOT) / "installed"
    command = ["make", "--no-print-directory", f"PYTHON={interpreter.path}", str(target)]
    if run(command, log=log, timeout=_MAKING) != 0:
        raise RuntimeError(f"make {target} failed: {log.read_text(errors='replace')}")
    with postgresql() as conninfo:
        yield conninfo


def version_in(python: Path, package: str) -> str | None:
    """Return the version of a package in the environment of a Python, if it is there."""
    if not python.exists():
        return None
    done = subprocess.run(
        [python, "-c", _VERSION, package], check=False, capture_output=True, text=True, timeout=30
    )
    return done.stdout.strip() if done.returncode == 0 else None
