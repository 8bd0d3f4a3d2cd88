"""The site as Sphinx builds it: its pages, their headings, links and pictures."""

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

from tests.project.documents import ROOT

DOCS: Final = ROOT / "docs"

#: The attributes by which an element loads something, or leads to it.
_SOURCES: Final = {"img": "src", "script": "src", "iframe": "src", "source": "src", "link": "href"}


class Page(HTMLParser):
    """A page of the site; its name is its path without the ending."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__()
        self.name = name
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.headings: list[int] = []
        self.pictures: list[dict[str, str | None]] = []
        self.proofs: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what the tests look at."""
        given = dict(attrs)
        self.ids.add(given.get("id") or "")
        if tag == "a":
            self.links.add(given.get("href") or "")
        if tag in _SOURCES:
            self.loaded.add(given.get(_SOURCES[tag]) or "")
        if given.get("class") == "proof":
            self.proofs.append(given.get("title") or "")
        if tag == "img":
            self.pictures.append(given)
        if tag in {"h1", "h2", "h3", "h4", "h5", "h6"}:
            self.headings.append(int(tag[1]))


def build(folder: Path) -> str:
    """Build the site strictly, as `make docs` does, and return what Sphinx prints."""
    strictly = ["--fail-on-warning", "--keep-going", "--quiet", "--jobs=auto"]
    folders = ["-d", str(folder / "doctrees"), str(DOCS), str(folder / "html")]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *strictly, "-b", "html", *folders],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def pages_in(folder: Path) -> dict[str, Page]:
    """Return the pages by their path in the folder."""
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.html")}
    return {
        name: Page(path, name.removesuffix(".html"))
        for name, path in sorted(paths.items())
        if not name.startswith(("_static/", "_downloads/"))
    }


def search_index(folder: Path) -> dict[str, Any]:
    """Return the index that the search reads."""
    text = (folder / "searchindex.js").read_text(encoding="utf-8")
    index: dict[str, Any] = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    return index
