"""What a maintainer and a visitor of the repository use: releases, citation, templates."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pgsession import __version__
from tests.archives.ready import obstacles
from tests.project.documents import ROOT
from tests.project.test_links import TARGETS

FORMS = sorted(path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))

#: The files that `make release` changes.
VERSIONED = ("CHANGELOG.md", "CITATION.cff", "pyproject.toml", "src/pgsession/version.py")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def run(folder: Path, *command: str) -> str:
    """Run a command in a folder, and return its output."""
    done = subprocess.run(
        command,
        check=False,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the files that a release changes, whose release runs no other program."""
    for name in VERSIONED:
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    project = tmp_path / "pyproject.toml"
    text = project.read_text(encoding="utf-8")
    project.write_text(re.sub(r"(?m)^pre_commit_hooks = .*", "", text), encoding="utf-8")
    run(tmp_path, "git", "init", "--quiet")
    for name, value in {"user.name": "A maintainer", "user.email": "maintainer@invalid"}.items():
        run(tmp_path, "git", "config", name, value)
    run(tmp_path, "git", "add", ".")
    run(tmp_path, "git", "commit", "--quiet", "--message", "Everything before")
    return tmp_path


def test_release(repository: Path) -> None:
    """A release, and the next one, have their version in every file, a commit and a tag."""
    for version in ("7.1.0", "7.2.0"):
        run(repository, sys.executable, "-m", "bumpversion", "bump", "--new-version", version)

        texts = {name: (repository / name).read_text(encoding="utf-8") for name in VERSIONED}
        assert f'\n__version__ = "{version}"\n' in texts["src/pgsession/version.py"]
        assert f'\ncurrent_version = "{version}"\n' in texts["pyproject.toml"]
        assert re.search(
            rf"^version: {version}\ndate-released: [\d-]{{10}}\nlicense: ",
            texts["CITATION.cff"],
            re.MULTILINE,
        )
        assert f"\n## [Unreleased]\n\n## [{version}] - 20" in texts["CHANGELOG.md"]
        assert run(repository, "git", "status", "--porcelain") == ""
        assert run(repository, "git", "tag", "--points-at", "HEAD").strip() == f"v{version}"
    assert run(repository, "git", "log", "--format=%s").splitlines() == [
        "Release 7.2.0",
        "Release 7.1.0",
        "Everything before",
    ]


@pytest.fixture
def released(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository after release 1.2.3, on main, with an origin that has all of it."""
    origin = tmp_path_factory.mktemp("origin")
    run(origin, "git", "init", "--quiet", "--bare")
    run(repository, "git", "branch", "--move", "main")
    run(repository, "git", "remote", "add", "origin", str(origin))
    run(repository, sys.executable, "-m", "bumpversion", "bump", "--new-version", "1.2.3")
    run(repository, "git", "push", "--quiet", "--tags", "origin", "main")
    return repository


def test_ready(released: Path) -> None:
    """Nothing speaks against the next release."""
    assert [obstacles(version, released) for version in ("1.2.4", "1.3.0", "10.0.0")] == [[]] * 3


@pytest.mark.parametrize("version", ["", "v1.3.0", "1.3", "1.3.0rc1", "1.3.00", "1.3.0 ", "next"])
def test_no_version(released: Path, version: str) -> None:
    """What has not three numbers is no version."""
    (sentence,) = obstacles(version, released)
    assert sentence.startswith(f"{version!r} is no version")


@pytest.mark.parametrize(
    ("version", "commands", "said"),
    [
        pytest.param("1.2.2", [], ["The version is 1.2.3 already"], id="lower"),
        pytest.param(
            "1.2.3", [], ["The version is 1.2.3 already", "There is a tag v1.2.3"], id="present"
        ),
        pytest.param("1.2.4", ["git tag v1.2.4"], ["There is a tag v1.2.4"], id="own-tag"),
        pytest.param(
            "1.2.4",
            ["git tag v1.2.4", "git push -q origin v1.2.4", "git tag -d v1.2.4"],
            ["There is a tag v1.2.4"],
            id="tag-of-origin",
        ),
        pytest.param("1.2.4", ["touch docs.env"], ["There are changes or files"], id="untracked"),
        pytest.param(
            "1.2.4", ["git switch -qc feature"], ["This is not the branch main"], id="branch"
        ),
        pytest.param(
            "1.2.4",
            ["git commit -q --allow-empty -m more"],
            ["main is not what origin has"],
            id="not-pushed",
        ),
    ],
)
def test_obstacles(released: Path, version: str, commands: list[str], said: list[str]) -> None:
    """Each obstacle to a release is one sentence, before anything is changed."""
    for command in commands:
        run(released, *command.split())

    found = obstacles(version, released)

    assert len(found) == len(said)
    assert all(sentence.startswith(start) for sentence, start in zip(found, said, strict=True))


def test_citation() -> None:
    """The citation names this version and the licence of the package."""
    citation = read(ROOT / "CITATION.cff")
    assert citation["version"] == __version__
    assert citation["license"] == "BSD-3-Clause"
    assert {"cff-version", "message", "title", "authors"} <= set(citation)


@pytest.mark.parametrize(
    "path", [it for it in FORMS if it.stem != "config"], ids=lambda it: it.stem
)
def test_form(path: Path) -> None:
    """A form has a name, a description and fields whose ids differ."""
    form = read(path)
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert form["name"]
    assert form["description"]
    assert all(field["attributes"]["label"] for field in fields)
    assert len({field["id"] for field in fields}) == len(fields) > 0


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda it: it.stem)
def test_workflow(path: Path) -> None:
    """A workflow states its permissions, and runs `make` targets and programs that exist."""
    text = path.read_text(encoding="utf-8")
    assert "permissions" in read(path)
    for target in re.findall(r"\bmake ([a-z-]+)", text):
        assert target in TARGETS
    for program in re.findall(r"\b(tests/\S+\.py)", text):
        assert (ROOT / program).is_file()


def test_upload_rights() -> None:
    """Only the job that uploads may prove who it is, and it runs no code of the repository."""
    jobs = read(ROOT / ".github/workflows/release.yml")["jobs"]
    trusted = {name for name, job in jobs.items() if "id-token" in job["permissions"]}
    assert trusted == {"upload"}
    assert all("run" not in step for step in jobs["upload"]["steps"])
    assert set(jobs["upload"]["needs"]) == set(jobs) - {"upload"}
