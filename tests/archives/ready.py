"""Say what speaks against a release: python -m tests.archives.ready 1.2.3

Exits with 1 and one line for each obstacle.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def obstacles(version: str, folder: Path) -> list[str]:
    """Return a sentence for each reason not to release `version` of the repository in `folder`."""

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(command, check=False, cwd=folder, stdout=subprocess.PIPE)
        return done.stdout.decode().strip()

    project = (folder / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^current_version = "([^"]*)"', project, re.MULTILINE)
    assert found is not None
    present = found[1]
    if not re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", version):
        return [f"{version!r} is no version: write three numbers, such as 1.2.3."]
    git("fetch", "--quiet", "origin")
    tag = f"v{version}"
    return [
        sentence
        for sentence, holds in {
            f"The version is {present} already: choose a higher one.": not is_later(
                version, present
            ),
            f"There is a tag {tag}: a release is never moved. Choose another version.": bool(
                git("tag", "--list", tag) or git("ls-remote", "--tags", "origin", tag)
            ),
            "There are changes or files that are not committed: `git status` lists them.": bool(
                git("status", "--porcelain")
            ),
            "This is not the branch main.": git("branch", "--show-current") != "main",
            "main is not what origin has: pull, or push.": git("rev-parse", "HEAD")
            != git("rev-parse", "origin/main"),
        }.items()
        if holds
    ]


def is_later(version: str, present: str) -> bool:
    """Tell whether a version comes after the present one, which may be one of development."""
    numbers = [int(number) for number in version.split(".")]
    released, _, development = present.partition(".dev")
    before = [int(number) for number in released.split(".")]
    return numbers > before or (numbers == before and development != "")


def main(version: str = "") -> None:
    """Exit with 1 if something speaks against the release."""
    found = obstacles(version, ROOT)
    for sentence in found:
        print(sentence, file=sys.stderr)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
