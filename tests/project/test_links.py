"""Links have targets, and the commands in the pages exist."""

import os
import re
from pathlib import Path

import pytest

from pgsession.cli.commands import command
from tests.project.documents import PAGES, ROOT, Document

LINKS = [
    pytest.param(page, target, id=f"{page.name}-{target}")
    for page in PAGES
    for target in sorted(set(page.links))
]

COMMANDS = [
    pytest.param(line, id=f"{page.name}-{line}") for page in PAGES for line in page.commands
]

TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize(("page", "target"), LINKS)
def test_link(page: Document, target: str) -> None:
    """Each relative link leads to an existing file, folder or heading in the repository."""
    path, _, anchor = target.partition("#")
    found = Path(os.path.normpath(page.path.parent / path)) if path else page.path

    assert found.exists()
    assert found.is_relative_to(ROOT)
    if anchor:
        assert anchor in Document(found.relative_to(ROOT).as_posix()).anchors


@pytest.mark.parametrize("line", COMMANDS)
def test_command(line: str) -> None:
    """Each `make` target and `pgsession` command in the pages exists."""
    for target in re.findall(r"\bmake ([a-z-]+)", line):
        assert target in TARGETS
    for name in re.findall(r"\bpgsession ([a-z]+)", line):
        assert name in command.commands


def test_anchors(tmp_path: Path) -> None:
    """Anchors are generated as on GitHub; a heading inside a code block has none."""
    page = tmp_path / "page.md"
    page.write_text("# One `two`: [three](x.md)!\n\n```sh\n# no\n```\n\n## A-b_c\n\n## A-b_c\n")
    assert Document(str(page)).anchors == {"one-two-three", "a-b_c", "a-b_c-1"}
