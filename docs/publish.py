"""Put the documentation of this version into the folder of a site, beside the other versions.

    python docs/publish.py SITE_DIR [--path /pgsession/] [--version dev]

docs/project/versions.md describes what the folder holds.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).parent

_RELEASE: Final = re.compile(r"\d+\.\d+\.\d+")
_VERSION: Final = re.compile(r"[\w.]+")
_REDIRECT: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>pgsession</title>
<meta http-equiv="refresh" content="0; url=stable/index.html">
<a href="stable/index.html">The documentation of pgsession</a>
</html>
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Build the documentation and put it into the site."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("site", type=Path, help="the folder of the site")
    parser.add_argument(
        "--path", default="/", help="the path of the site on its host (%(default)s)"
    )
    parser.add_argument(
        "--version", help="the version's name; that of the package, or dev, if not given"
    )
    options = parser.parse_args(arguments)
    if not re.fullmatch(r"/(\S+/)?", options.path):
        parser.error(f"--path is {options.path!r}: begin and end it with a slash")
    version = options.version or package_version()
    if not _VERSION.fullmatch(version) or version in {"stable", ".", ".."}:
        parser.error(f"--version is {version!r}: use a number such as 1.2.0, or dev")
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder, "html")
        build(built, Path(folder, "doctrees"), version)
        put(built, options.site, version)
    write_site(options.site, options.path)


def package_version() -> str:
    """Return the version of the package if this commit has its tag, or dev."""
    text = (DOCS.parent / "src/pgsession/version.py").read_text(encoding="utf-8")
    [version] = re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    command = ["git", "tag", "--points-at", "HEAD"]
    found = subprocess.run(command, check=False, cwd=DOCS, stdout=subprocess.PIPE)  # noqa: S603 - our own
    return version if f"v{version}".encode() in found.stdout.split() else "dev"


def build(folder: Path, doctrees: Path, version: str) -> None:
    """Build the pages strictly; the program ends with Sphinx's exit code if that fails."""
    strictly = ["--fail-on-warning", "--keep-going", "--quiet", "--jobs=auto"]
    named = ["-t", "published", "-D", f"version={version}", "-D", f"release={version}"]
    command = [sys.executable, "-m", "sphinx", *strictly, *named, "-b", "html", "-d"]
    done = subprocess.run([*command, doctrees, DOCS, folder], check=False)  # noqa: S603 - our own
    if done.returncode:
        sys.exit(done.returncode)


def put(built: Path, site: Path, version: str) -> None:
    """Move a build into the site. It takes the place of an earlier one of that version."""
    site.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(site / version, ignore_errors=True)
    shutil.move(built, site / version)


def write_site(site: Path, path: str) -> None:
    """Write what leads to the versions, from the folders that are there."""
    releases, others = versions(site)
    stable = [*releases, *others][0]
    listed = [entry(version, path, stable) for version in [*others, *releases]]
    (site / "switcher.json").write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(site / "stable", ignore_errors=True)
    shutil.copytree(site / stable, site / "stable")
    (site / "index.html").write_text(_REDIRECT, encoding="utf-8")
    missing = (DOCS / "404.html").read_text(encoding="utf-8").replace("{path}", path)
    (site / "404.html").write_text(missing, encoding="utf-8")
    (site / ".nojekyll").touch()


def entry(version: str, path: str, stable: str) -> dict[str, object]:
    """Return the line of the list for a version, as the theme reads it."""
    line: dict[str, object] = {"version": version, "name": version, "url": f"{path}{version}/"}
    if version == stable:
        name = f"{version} (stable)" if _RELEASE.fullmatch(version) else version
        line |= {"name": name, "preferred": True}
    return line


def versions(site: Path) -> tuple[list[str], list[str]]:
    """Return the releases in the site, newest first, and its other versions."""
    names = {it.parent.name for it in site.glob("*/searchindex.js")} - {"stable"}
    releases = [name for name in names if _RELEASE.fullmatch(name)]
    newest_first = sorted(releases, key=lambda it: [*map(int, it.split("."))], reverse=True)
    return newest_first, sorted(names - set(releases))


if __name__ == "__main__":
    main()
