"""What is found on a machine, and where."""

import platform
import sys
from pathlib import Path

import pytest

from tests.matrix import machine
from tests.matrix.machine import Program


def write_program(path: Path, said: str) -> Path:
    """Write a program that prints a text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{said}'\n")
    path.chmod(0o755)
    return path


def write_postgresql(folder: Path, version: str) -> Path:
    for name in ("initdb", "pg_ctl", "postgres"):
        write_program(folder / name, f"{name} (PostgreSQL) {version}")
    return folder


@pytest.mark.parametrize("named", ["", "bin"], ids=["installation", "programs"])
def test_postgresql(tmp_path: Path, named: str) -> None:
    """A variable names installations of PostgreSQL, or the folders of their programs."""
    write_postgresql(tmp_path / "old" / "bin", "14.23")
    write_postgresql(tmp_path / "beta" / "bin", "99beta1")
    folders = f"{tmp_path / 'old' / named} {tmp_path / 'beta' / named}"

    found = machine.postgresqls({"PATH": "", "MATRIX_POSTGRES": folders})

    assert found["14"] == Program(tmp_path / "old" / "bin", "14.23")
    assert found["99"] == Program(tmp_path / "beta" / "bin", "99")


def test_first_postgresql(tmp_path: Path) -> None:
    """What the variable names comes before PATH; what pg_config names is found, too."""
    named = write_postgresql(tmp_path / "named" / "bin", "14.1")
    in_path = write_postgresql(tmp_path / "path", "14.2")
    installed = write_postgresql(tmp_path / "lib", "16.3")
    write_program(in_path / "pg_config", str(installed))

    found = machine.postgresqls({"PATH": str(in_path), "MATRIX_POSTGRES": str(named)})

    assert found["14"] == Program(named, "14.1")
    assert found["16"] == Program(installed, "16.3")


def test_incomplete_postgresql(tmp_path: Path) -> None:
    """A folder without initdb, such as that of a client, is none."""
    write_postgresql(tmp_path, "99.1")
    (tmp_path / "initdb").unlink()

    assert "99" not in machine.postgresqls({"PATH": str(tmp_path)})


def test_embedded() -> None:
    """The embedded PostgreSQL is found where no other of its version is."""
    assert "18" in machine.postgresqls({"PATH": ""})


def test_pgbouncers(tmp_path: Path) -> None:
    """Each PgBouncer counts once, the older ones first."""
    newer = write_program(tmp_path / "newer" / "pgbouncer", "PgBouncer 1.100.2")
    older = write_program(tmp_path / "older" / "pgbouncer", "PgBouncer 1.9.0")
    again = write_program(tmp_path / "again" / "pgbouncer", "PgBouncer 1.9.0")

    found = machine.pgbouncers({"PATH": str(again.parent), "MATRIX_PGBOUNCER": f"{newer} {older}"})

    assert found == [Program(older, "1.9.0"), Program(newer, "1.100.2")]


def test_divided() -> None:
    """PgBouncer 1.9 is older than 1.21, and 1.21.0 is not."""
    old, new = Program(Path("old"), "1.9.0"), Program(Path("new"), "1.21.0")

    assert machine.divided([old, new], (1, 21)) == ([old], [new])


def test_pythons(tmp_path: Path) -> None:
    """The running Python is found as it is; others by their names, in PATH and in pyenv."""
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    in_path, in_pyenv = [each for each in machine.PYTHON if each != ours][:2]
    bin_folder = tmp_path / "bin"
    write_program(bin_folder / "pyenv", str(tmp_path / "pyenv"))
    write_program(bin_folder / f"python{in_path}", f"Python {in_path}.1")
    of_pyenv = write_program(
        tmp_path / "pyenv" / "versions" / f"{in_pyenv}.2" / "bin" / f"python{in_pyenv}",
        f"Python {in_pyenv}.2",
    )

    found = machine.pythons({"PATH": str(bin_folder)})

    assert found == {
        ours: Program(Path(sys.executable), platform.python_version()),
        in_path: Program(bin_folder / f"python{in_path}", f"{in_path}.1"),
        in_pyenv: Program(of_pyenv, f"{in_pyenv}.2"),
    }


def test_broken_python(tmp_path: Path) -> None:
    """A shim that does not run, as pyenv has them, is passed over."""
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    other = next(each for each in machine.PYTHON if each != ours)
    shim = write_program(tmp_path / f"python{other}", "not active")
    shim.write_text("#!/bin/sh\nexit 127\n")

    assert other not in machine.pythons({"PATH": str(tmp_path)})


def test_missing(tmp_path: Path) -> None:
    """What a variable names in vain is said, with the variable's name."""
    there = write_program(tmp_path / "pgbouncer", "PgBouncer 1.18.0")
    gone = tmp_path / "gone"

    said = [*machine.missing({"MATRIX_POSTGRES": str(gone), "MATRIX_PGBOUNCER": f"{there} {gone}"})]

    assert said == [
        f"MATRIX_POSTGRES names {gone}, which has no bin/postgres.",
        f"MATRIX_PGBOUNCER names {gone}, which does not tell its version.",
    ]
