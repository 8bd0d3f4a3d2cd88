"""The archives: what `pip install pgsession` installs."""

import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

import pytest

from pgsession import __version__
from tests.programs import unmeasured

ROOT = Path(__file__).parents[2]
MIGRATIONS = {path.name for path in (ROOT / "migrations").glob("*.sql")}

LIST = (
    "from pgsession.postgres.schema import migrations; print(*(each.name for each in migrations()))"
)

USES_PLUGIN = """
def test_store(pgsession_memory_store, request):
    plugin = request.config.pluginmanager.get_plugin("pgsession")
    assert "site" in plugin.__file__
    assert type(pgsession_memory_store).__name__ == "MemoryStore"
"""


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the sdist, and the wheel built from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    run("-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT))
    return folder


@pytest.fixture(scope="module")
def wheel(archives: Path) -> Path:
    (path,) = archives.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside the repository in which the wheel is installed."""
    target = tmp_path_factory.mktemp("installed") / "site"
    run("-m", "pip", "install", "--no-deps", "--no-index", "--target", str(target), str(wheel))
    return target


def run(*arguments: str, **variables: str) -> str:
    """Run Python and return its output; `variables`, if given, are its whole environment."""
    result = subprocess.run(
        [sys.executable, *arguments],
        check=False,
        env=variables or unmeasured({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


@pytest.mark.skipif(
    int(version("twine").partition(".")[0]) < 7, reason="twine 6 does not know metadata 2.5"
)
def test_accepted_by_an_index(archives: Path) -> None:
    """Twine accepts the metadata of both archives, with the README as their description."""
    checked = run("-m", "twine", "check", "--strict", *map(str, archives.iterdir()))
    assert checked.count("PASSED") == 2


def test_wheel_holds_migrations_and_types(wheel: Path) -> None:
    """The wheel contains every migration, the py.typed marker and the licence."""
    names = set(ZipFile(wheel).namelist())
    assert {f"pgsession/migrations/{name}" for name in MIGRATIONS} <= names
    assert "pgsession/py.typed" in names
    assert f"pgsession-{__version__}.dist-info/licenses/LICENSE" in names


def test_wheel_holds_nothing_else(wheel: Path) -> None:
    """The wheel installs only the package and its pytest plugin, without tests and caches."""
    names = ZipFile(wheel).namelist()
    installed = {"pgsession", "_pgsession_pytest.py", f"pgsession-{__version__}.dist-info"}
    assert {name.split("/")[0] for name in names} == installed
    assert not [name for name in names if "__pycache__" in name]


def test_sdist_holds_sources(archives: Path) -> None:
    """The sdist contains the migrations at their place in the repository, and the tests."""
    (path,) = archives.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = set(archive.getnames())
    top = f"pgsession-{__version__}"
    assert {f"{top}/migrations/{name}" for name in MIGRATIONS} <= names
    assert {
        f"{top}/src/pgsession/py.typed",
        f"{top}/tests/conftest.py",
        f"{top}/LICENSE",
        f"{top}/README.md",
        f"{top}/SECURITY.md",
        f"{top}/docs/security/threat-model.md",
    } <= names


def test_installed_wheel_finds_its_migrations(site: Path) -> None:
    """Installed outside the repository, the package lists the same migrations."""
    listed = run("-c", f"{LIST}; import pgsession; print(pgsession.__file__)", PYTHONPATH=str(site))
    names, origin = listed.splitlines()
    assert {f"{name}.sql" for name in names.split()} == MIGRATIONS
    assert Path(origin).is_relative_to(site)


def test_installed_plugin(site: Path, tmp_path: Path) -> None:
    """The plugin of an installed wheel is found by its entry point."""
    tests = tmp_path / "test_store.py"
    tests.write_text(USES_PLUGIN, encoding="utf-8")
    passed = run("-m", "pytest", "-q", f"--rootdir={tmp_path}", str(tests), PYTHONPATH=str(site))
    assert "1 passed" in passed
