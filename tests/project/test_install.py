"""`requirements/install.py` installs exactly what a lock file pins."""

import hashlib
import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.programs import unmeasured

SCRIPT = Path(__file__).parents[2] / "requirements" / "install.py"

#: A module that stands for Python's `venv`: it copies an environment, in a tenth of the time.
COPYING = """
import shutil, sys

if __name__ == "__main__":
    shutil.copytree({environment!r}, sys.argv[-1], symlinks=True)
"""


def make_wheel(index: Path, name: str, version: str, *, requires: Sequence[str] = ()) -> Path:
    """Create a wheel that contains only metadata."""
    path = index / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    with ZipFile(path, "w") as archive:
        archive.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\n"
            f"Name: {name}\nVersion: {version}\nProvides-Extra: fast\n{needs}",
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def make_sdist(index: Path, name: str, version: str) -> Path:
    path = index / f"{name}-{version}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo(f"{name}-{version}/setup.py"))
    return path


def make_lock(folder: Path, *archives: Path) -> Path:
    """Write a lock file for these archives, as `make lock` does."""
    lock = folder / "lock.txt"
    pins = []
    for archive in archives:
        name, version = archive.name.split("-")[:2]
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        pins.append(f"{name}=={version.removesuffix('.tar.gz')} --hash=sha256:{digest}\n")
    lock.write_text("".join(pins))
    return lock


def install(
    environment: Path, lock: Path, index: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the script with a folder of archives instead of the registry."""
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_CONFIG_FILE": os.devnull}
    return subprocess.run(
        [sys.executable, SCRIPT, environment, lock],
        check=False,
        capture_output=True,
        env=unmeasured({**pip, **variables}),
        text=True,
    )


def installed(environment: Path) -> set[str]:
    paths = environment.glob("lib/python*/site-packages/*.dist-info")
    return {path.name.removesuffix(".dist-info") for path in paths} - {"pip", "setuptools"}


@pytest.fixture(scope="module")
def copying(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables with which the script copies an environment that it has made itself.

    Python takes three seconds to make one.
    """
    folder = tmp_path_factory.mktemp("copying")
    environment = folder / "environment"
    made = install(environment, make_lock(folder), folder)
    assert made.returncode == 0, made.stderr
    (folder / "venv.py").write_text(COPYING.format(environment=str(environment)))
    return {"PYTHONPATH": str(folder)}


@dataclass(frozen=True, slots=True)
class Installation:
    """An environment that the script made, and what it printed."""

    environment: Path
    done: subprocess.CompletedProcess[str]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("beta[fast]>=1", id="newer-release"),
        pytest.param("beta @ https://packages.invalid/beta-2.whl", id="anything-to-resolve"),
    ],
)
def installation(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    copying: dict[str, str],
) -> Installation:
    """Two packages, of which one requires the other."""
    folder = tmp_path_factory.mktemp("index")
    lock = make_lock(
        folder,
        make_wheel(folder, "alpha", "1", requires=[request.param]),
        make_wheel(folder, "beta", "1"),
    )
    make_wheel(folder, "beta", "2")
    environment = folder / "environment"
    return Installation(environment, install(environment, lock, folder, **copying))


def test_lock_is_final(installation: Installation) -> None:
    """The pinned version is installed even if a newer one exists: pip resolves nothing.

    Without ``--no-deps`` the first case fails with the pip of Python 3.11 (pip issue 9644), and
    the second with every pip.
    """
    assert installation.done.returncode == 0, installation.done.stderr
    assert {"alpha-1", "beta-1"} <= installed(installation.environment)
    assert "beta-2" not in installed(installation.environment)


def test_one_line_a_step(installation: Installation) -> None:
    """The script prints one line for each step, and pip prints nothing."""
    making, installing = installation.done.stdout.splitlines()
    assert making.startswith("Making ")
    assert installing.startswith("Installing the packages of ")
    assert installation.done.stderr == ""


def test_nothing_is_built(tmp_path: Path, copying: dict[str, str]) -> None:
    """An archive that has to be built is an error, because its build tools are not locked."""
    lock = make_lock(tmp_path, make_sdist(tmp_path, "alpha", "1"))

    done = install(tmp_path / "environment", lock, tmp_path, **copying)

    assert done.returncode == 1
    assert "No matching distribution found for alpha==1" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Failed: ")


def test_altered_archive(tmp_path: Path, copying: dict[str, str]) -> None:
    """An archive that differs from the locked one is an error and is not installed."""
    lock = make_lock(tmp_path, make_wheel(tmp_path, "alpha", "1"))
    make_wheel(tmp_path, "alpha", "1", requires=["beta"])

    done = install(tmp_path / "environment", lock, tmp_path, **copying)

    assert done.returncode == 1
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr
    assert not {"alpha-1"} & installed(tmp_path / "environment")


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_no_venv_module(tmp_path: Path, module: str) -> None:
    """A Python without the venv module, as on Debian, gives one line that says what to do."""
    (tmp_path / f"{module}.py").write_text("raise ImportError")
    lock = make_lock(tmp_path, make_wheel(tmp_path, "alpha", "1"))

    done = install(tmp_path / "environment", lock, tmp_path, PYTHONPATH=str(tmp_path))

    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("This Python has no venv module. Install it ")


def test_old_python(tmp_path: Path) -> None:
    """A Python that is too old gives one line that names the required version."""
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.version_info = (3, 10, 13)")
    lock = make_lock(tmp_path, make_wheel(tmp_path, "alpha", "1"))

    done = install(tmp_path / "environment", lock, tmp_path, PYTHONPATH=str(tmp_path))

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("pgsession needs Python 3.11 or later, and this is Python 3.")


def test_any_python_can_read_it() -> None:
    """The script has no syntax that an old Python rejects before the script can print its error."""
    text = SCRIPT.read_text(encoding="utf-8")
    for newer in ('f"', "f'", ":=", "->", "match "):
        assert newer not in text
