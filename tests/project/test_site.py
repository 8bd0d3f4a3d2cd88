"""The site of the documentation: it builds without warnings, and all in it holds together."""

import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest

from pgsession import __version__
from tests.project.documents import DOCS as DOCUMENTS
from tests.project.documents import README, ROOT, Document
from tests.project.site import DOCS, Page, build, pages_in, search_index

#: Building the site takes most of a minute, and two beside all other tests.
pytestmark = pytest.mark.timeout(300)

Pages = dict[str, Page]

#: Pages that Sphinx makes, with headings of its theme.
MADE = {"genindex", "search"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site, built once."""
    folder = tmp_path_factory.mktemp("site")
    assert build(folder) == ""
    return folder / "html"


@pytest.fixture(scope="module")
def pages(site: Path) -> Pages:
    return pages_in(site)


def test_every_page(pages: Pages) -> None:
    """Each Markdown page becomes a page, and no page is printed with a warning."""
    written = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert {f"{page.name}.md" for page in pages.values()} - {f"{it}.md" for it in MADE} == written


def test_headings(pages: Pages) -> None:
    """Each page has one h1, and no level of headings is left out."""
    wrong = {}
    for page in pages.values():
        levels = [0, *page.headings]
        skipped = [b for a, b in pairwise(levels) if b > a + 1]
        if page.name not in MADE and (skipped or page.headings.count(1) != 1):
            wrong[page.name] = page.headings
    assert wrong == {}


def broken(pages: Pages, site: Path) -> Iterator[str]:
    """Yield the links inside the site that lead nowhere."""
    for name, page in pages.items():
        for link in page.links:
            path, _, anchor = unquote(link).partition("#")
            if ":" in path:
                continue
            target = os.path.normpath(Path(name).parent / path) if path else name
            anchors = pages[target].ids if target in pages else {anchor}
            if not (site / target).is_file() or (anchor and anchor not in anchors):
                yield f"{name}: {link}"


def test_links(pages: Pages, site: Path) -> None:
    """Each link inside the site leads to a file, and to an anchor in it."""
    assert list(broken(pages, site)) == []


def test_pictures(pages: Pages) -> None:
    """Each picture of a page has a text for those who do not see it."""
    without = [
        (page.name, picture.get("src"))
        for page in pages.values()
        for picture in page.pictures
        if not picture.get("alt") and "logo__image" not in (picture.get("class") or "")
    ]
    assert without == []


def test_proofs(pages: Pages) -> None:
    """Each test that a page names is written small, with its whole path as the title."""
    for page in DOCUMENTS:
        named = re.findall(r"`(tests/[\w/]+\.py::\w+)`", page.text)
        name = page.name.removeprefix("docs/").replace(".md", ".html")
        assert Counter(pages[name].proofs) == Counter(named)


def test_nothing_from_elsewhere(pages: Pages, site: Path) -> None:
    """No page and no style sheet of the site loads anything from another host."""
    elsewhere = [
        (page.name, source)
        for page in pages.values()
        for source in page.loaded
        if source.startswith(("http:", "https:", "//"))
    ]
    assert elsewhere == []
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"""(url\(|@import)\s*["']?(https?:)?//""", text)


def test_search(pages: Pages, site: Path) -> None:
    """The index of the search leads from each word of search.toml to its pages."""
    words = tomllib.loads((DOCS / "search.toml").read_text(encoding="utf-8"))
    index = search_index(site)
    names = index["docnames"]
    for word, places in words.items():
        found = index["indexentries"][word.lower()]
        assert {names[page] for page, _, _ in found} == {it.partition("#")[0] for it in places}
        for page, anchor, is_main in found:
            assert is_main
            assert anchor == "" or anchor in pages[f"{names[page]}.html"].ids


def test_local_build(site: Path) -> None:
    """A local build asks for no list of versions."""
    assert "switcher" not in (site / "index.html").read_text(encoding="utf-8")


def test_programs() -> None:
    """The programs of the first page and of the installation are those of the README."""
    assert Document("docs/index.md").programs == README.programs
    assert Document("docs/install.md").programs == README.programs[:1]


def test_first_page(site: Path) -> None:
    """The first page says the version, the licence and what is needed, as pyproject.toml does."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (site / "index.html").read_text(encoding="utf-8")
    assert f"Python {project['requires-python'].removeprefix('>=')} or later" in text
    (starlette,) = (it for it in project["dependencies"] if it.startswith("starlette"))
    assert f"Starlette {starlette.partition('>=')[2]} or later" in text
    assert f"version {__version__}, under the licence {project['license']}" in text


def test_one_place() -> None:
    """One page says where pgsession is installed from, and the README."""
    told = {page.name for page in [README, *DOCUMENTS] if "PyPI" in page.text}
    assert told == {"README.md", "docs/install.md"}
