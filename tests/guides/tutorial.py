"""The tutorial as its reader follows it: the files to write, and what to type and see."""

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT, run
from typing import Final

from tests.programs import unmeasured
from tests.project.documents import ROOT, Document

FOLDER: Final = "docs/tutorial"

#: Where the shell finds the programs of this Python.
PATH: Final = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

#: The name of a file, in a comment in its first line.
_NAME: Final = re.compile(r"(?:#|--|\{#) ([\w./-]+)(?: #\})?")
_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_TOCTREE: Final = re.compile(r"^```\{toctree\}\n(?::.*\n)+\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class File:
    """A file that the reader writes."""

    name: str
    text: str

    def write(self, folder: Path) -> None:
        """Write it into the folder of the shop."""
        path = folder / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.text, encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Command:
    """A line that the reader types, and what the page shows after it."""

    line: str
    output: str

    def is_seen(self, output: str) -> bool:
        """Return whether the output is the one of the page."""
        return is_like(self.output, output)


@dataclass(frozen=True, slots=True)
class Shown:
    """Another text of the page, such as the output of a program that goes on."""

    text: str


Step = File | Command | Shown


def is_like(shown: str, output: str) -> bool:
    """Return whether an output is the one that a page shows.

    There, `…` stands for any text. The columns of a table may be of another width.
    """
    pattern = re.escape(_narrow(shown)).replace("…", "[^\n]*")
    return re.fullmatch(pattern, _narrow(output)) is not None


def chapters() -> list[str]:
    """Return the names of the chapters, in the order of the tutorial's index."""
    (listed,) = _TOCTREE.findall(Document(f"{FOLDER}/index.md").text)
    return str(listed).split()


def steps(chapter: str) -> list[Step]:
    """Return what the reader of a chapter does, in order."""
    text = Document(f"{FOLDER}/{chapter}.md").text
    return [step for language, block in _BLOCK.findall(text) for step in _read(language, block)]


def typed(chapter: str) -> list[Command]:
    """Return what the reader of a chapter types."""
    return [step for step in steps(chapter) if isinstance(step, Command)]


def shown(chapter: str) -> list[str]:
    """Return the other texts of a chapter."""
    return [step.text for step in steps(chapter) if isinstance(step, Shown)]


def write(folder: Path, *, before: str = "next") -> Path:
    """Write the files of the chapters before one into a folder, and return the folder."""
    names = chapters()
    for chapter in names[: names.index(before)]:
        for step in steps(chapter):
            if isinstance(step, File):
                step.write(folder)
    (folder / "app" / "__init__.py").touch()
    return folder


def shop() -> dict[str, str]:
    """Return the files of `examples/shop/` by their names."""
    return texts(ROOT / "examples" / "shop")


def texts(folder: Path) -> dict[str, str]:
    """Return the files of a folder by their names, without what Python has compiled."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in files}


def shell(line: str, folder: Path, **variables: str) -> str:
    """Run a line in the shell, and return its output."""
    done = run(
        ["/bin/sh", "-c", re.sub(r"\bcurl\b", "curl -s", line)],  # no progress, as on a terminal
        check=False,
        cwd=folder,
        env={**unmeasured(variables), "PATH": PATH, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        text=True,
    )
    return done.stdout


def _narrow(output: str) -> str:
    return re.sub(" +", " ", output.strip())


def _read(language: str, block: str) -> Iterator[Step]:
    named = _NAME.fullmatch(block.partition("\n")[0])
    if language == "console":
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, output = part.partition("\n")
            yield Command(line, output)
    elif named:
        yield File(named[1], block)
    else:
        yield Shown(block)
