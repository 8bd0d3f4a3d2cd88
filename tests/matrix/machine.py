"""What this machine has: PostgreSQL, PgBouncer and Python, each in several versions."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pgsession.errors import SettingsError
from pgsession.postgres import embedded

#: The versions of the matrix.
POSTGRESQL: Final = ("14", "15", "16", "17", "18")
PYTHON: Final = ("3.11", "3.12", "3.13", "3.14")

#: Variables that name further programs, with blanks between them.
MORE_POSTGRESQL: Final = "MATRIX_POSTGRES"
MORE_PGBOUNCER: Final = "MATRIX_PGBOUNCER"

_PROGRAMS: Final = ("initdb", "pg_ctl", "postgres")
#: Debian's and Red Hat's folders.
_INSTALLED: Final = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin")
_TIMEOUT: Final = 20


@dataclass(frozen=True, slots=True)
class Program:
    """A program, or the folder of several that belong together, and its version."""

    path: Path
    version: str

    @property
    def numbers(self) -> tuple[int, ...]:
        """The version, to be compared."""
        return tuple(map(int, self.version.split(".")))


def postgresqls(environ: Mapping[str, str]) -> dict[str, Program]:
    """Return the folder of the programs of each major version, the ones named first."""
    found: dict[str, Program] = {}
    for folder in _folders(environ):
        if all((folder / name).is_file() for name in _PROGRAMS):
            version = version_of(folder / "postgres")
            if version is not None:
                found.setdefault(version.split(".")[0], Program(folder, version))
    return found


def pgbouncers(environ: Mapping[str, str]) -> list[Program]:
    """Return a program of each version, in order."""
    # Debian installs it in a folder that only root has in its PATH.
    path = f"{environ.get('PATH', '')}:/usr/sbin"
    programs = [*environ.get(MORE_PGBOUNCER, "").split(), shutil.which("pgbouncer", path=path)]
    found: dict[str, Program] = {}
    for program in filter(None, programs):
        version = version_of(Path(program))
        if version is not None:
            found.setdefault(version, Program(Path(program), version))
    return sorted(found.values(), key=lambda each: each.numbers)


def pythons(environ: Mapping[str, str]) -> dict[str, Program]:
    """Return an interpreter of each version: this one, those in PATH, and pyenv's."""
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = {}
    for version in PYTHON:
        candidates = [shutil.which(f"python{version}", path=environ.get("PATH"))]
        candidates += _of_pyenv(version, environ)
        if version == ours:
            candidates.insert(0, sys.executable)
        for candidate in filter(None, candidates):
            if exact := version_of(Path(candidate)):
                found[version] = Program(Path(candidate), exact)
                break
    return found


def divided(
    programs: Iterable[Program], version: tuple[int, ...]
) -> tuple[list[Program], list[Program]]:
    """Return the programs that are older than a version, and the others."""
    older: list[Program] = []
    newer: list[Program] = []
    for program in programs:
        (older if program.numbers < version else newer).append(program)
    return older, newer


def missing(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield what a variable names but this machine does not have."""
    for text in environ.get(MORE_POSTGRESQL, "").split():
        if not any((folder / "postgres").is_file() for folder in _places(text)):
            yield f"{MORE_POSTGRESQL} names {text}, which has no bin/postgres."
    for text in environ.get(MORE_PGBOUNCER, "").split():
        if version_of(Path(text)) is None:
            yield f"{MORE_PGBOUNCER} names {text}, which does not tell its version."


def version_of(program: Path) -> str | None:
    """Return what the program says its version is, or None if it does not run."""
    said = _output(program, "--version")
    match = re.search(r"\d+(\.\d+)*", said or "")
    return match[0] if match else None


def _folders(environ: Mapping[str, str]) -> Iterator[Path]:
    for text in environ.get(MORE_POSTGRESQL, "").split():
        yield from _places(text)
    for folder in environ.get("PATH", "").split(":"):
        yield Path(folder)
    if config := shutil.which("pg_config", path=environ.get("PATH")):
        yield Path((_output(config, "--bindir") or "").strip())
    for pattern in _INSTALLED:
        yield from sorted(Path("/").glob(pattern), reverse=True)
    try:
        yield embedded._binaries()  # noqa: SLF001 - as tests/faults/servers.py
    except SettingsError:
        return


def _places(text: str) -> Iterable[Path]:
    """Return the folders that a name may mean: an installation, or its programs."""
    return Path(text, "bin"), Path(text)


def _of_pyenv(version: str, environ: Mapping[str, str]) -> list[str]:
    pyenv = shutil.which("pyenv", path=environ.get("PATH"))
    root = (_output(pyenv, "root") or "").strip() if pyenv else ""
    if not root:
        return []
    return [str(path) for path in Path(root, "versions").glob(f"{version}.*/bin/python{version}")]


def _output(program: str | Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            [program, *arguments],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
