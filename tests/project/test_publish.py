"""docs/publish.py keeps a site with one folder for each version of the documentation."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from docs import publish

Published = Callable[..., list[dict[str, object]]]


@pytest.fixture
def publishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    """Publishes a version whose build has one page, and returns the list of versions."""

    def build(folder: Path, _doctrees: Path, version: str) -> None:
        folder.mkdir()
        (folder / "index.html").write_text(f"This is {version}", encoding="utf-8")
        (folder / "searchindex.js").touch()

    def run(version: str, *options: str) -> list[dict[str, object]]:
        publish.main([str(tmp_path / "site"), "--version", version, *options])
        listed: list[dict[str, object]] = json.loads((tmp_path / "site/switcher.json").read_text())
        return listed

    monkeypatch.setattr(publish, "build", build)
    return run


def test_versions_stay(publishes: Published, tmp_path: Path) -> None:
    """Each version keeps its pages, and the newest release is the stable one."""
    for version in ("0.9.0", "dev", "0.10.0"):
        publishes(version)
    listed = publishes("0.9.1")

    assert [line["name"] for line in listed] == ["dev", "0.10.0 (stable)", "0.9.1", "0.9.0"]
    assert [line["version"] for line in listed if "preferred" in line] == ["0.10.0"]
    assert [line["url"] for line in listed] == ["/dev/", "/0.10.0/", "/0.9.1/", "/0.9.0/"]
    for version in ("0.9.0", "dev", "0.10.0", "0.9.1"):
        assert (tmp_path / "site" / version / "index.html").read_text() == f"This is {version}"
    assert (tmp_path / "site/stable/index.html").read_text() == "This is 0.10.0"


def test_again(publishes: Published, tmp_path: Path) -> None:
    """A version that is published again takes the place of the earlier build."""
    publishes("dev")
    (tmp_path / "site/dev/old.html").touch()
    listed = publishes("dev")

    assert listed == [{"version": "dev", "name": "dev", "url": "/dev/", "preferred": True}]
    assert not (tmp_path / "site/dev/old.html").exists()
    assert not (tmp_path / "site/stable/old.html").exists()


def test_path(publishes: Published, tmp_path: Path) -> None:
    """The links that begin at the host have the path of the site."""
    [line] = publishes("1.0.0", "--path", "/pgsession/")

    assert line["url"] == "/pgsession/1.0.0/"
    assert 'href="/pgsession/stable/"' in (tmp_path / "site/404.html").read_text()


@pytest.mark.parametrize(
    "options",
    [["--version", "stable"], ["--version", "../x"], ["--version", ".."], ["--path", "pgsession"]],
    ids=" ".join,
)
def test_wrong_options(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A version that is no name of a folder, or a path without slashes, is an error at once."""
    with pytest.raises(SystemExit, match="2"):
        publish.main([str(tmp_path / "site"), *options])

    assert repr(options[1]) in capsys.readouterr().err
    assert not (tmp_path / "site").exists()
