"""Chromium reads the site of the documentation, as it is published."""

import json
import shutil
import tomllib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import cast

import pytest

from docs.publish import DOCS, build, write_site
from tests.browser.reading import CUT_OFF, FAINT, OVERFLOW, TROUBLES, WATCH
from tests.browser.window import Browser
from tests.programs import eventually

#: Building the site takes most of a minute, and two beside all other tests.
pytestmark = pytest.mark.timeout(300)

#: One page of each kind: menus, tabs, long tables, long lines of code, pictures, signatures.
PAGES = [
    "index",
    "install",
    "genindex",
    "search",
    "troubleshooting",
    "concepts/architecture",
    "how-to/devices",
    "how-to/index",
    "how-to/sessions",
    "operations/dashboards",
    "operations/index",
    "project/benchmarks",
    "reference/command-line",
    "reference/logging",
    "reference/settings",
    "security/hostile-input",
]

PHONE, DESK = 390, 1300

#: What readers type into the search, and the pages that answer it.
WORDS = tomllib.loads((DOCS / "search.toml").read_text(encoding="utf-8"))

#: Some of them: a number, a name and a question.
SEARCHES = ["503", "SESSION_SECRET_KEY", "every request begins a new session"]

HITS = """
return [...document.querySelectorAll("#search-results li a")].slice(0, 5)
    .map(it => it.getAttribute("href").replace("./", "").replace(/.html.*/, ""))
"""

#: The first five pages that the search finds for each word.
FOUND = """
const pages = word => Search._performSearch(...Search._parseQuery(word)).reverse().slice(0, 5)
    .map(([page]) => page);
return Object.fromEntries(JSON.parse(arguments[0]).map(word => [word, pages(word)]));
"""

#: The names of the sections that the search shows for a word.
TITLES = "return Search._performSearch(...Search._parseQuery(arguments[0])).map(it => it[1])"

#: Blocks of code and tables that are wider than their place, and where they go on.
WIDE = """
return [...document.querySelectorAll(".bd-article :is(pre, .pst-scrollable-table-container)")]
    .filter(it => it.scrollWidth > it.clientWidth + 1)
    .map(it => it.dataset.more);
"""

VERSIONS = """
return [...document.querySelectorAll("#pst-header .version-switcher__menu a")]
    .map(it => it.textContent)
"""


class Quiet(SimpleHTTPRequestHandler):
    """A server of files that prints nothing."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the overridden name
        """Print nothing."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a site with three versions: 1.2.0, an older and an unreleased one."""
    folder = tmp_path_factory.mktemp("site")
    build(folder / "1.2.0", folder / "doctrees", "1.2.0")
    write_site(folder, "/")
    for version in ("1.1.0", "dev"):
        shutil.copytree(folder / "1.2.0", folder / version)
        for page in (folder / version).rglob("*.html"):
            page.write_text(page.read_text("utf-8").replace("'1.2.0'", f"'{version}'"), "utf-8")
        script = folder / version / "_static/documentation_options.js"
        script.write_text(script.read_text("utf-8").replace("1.2.0", version), "utf-8")
    write_site(folder, "/")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def reader(browser: Browser) -> Iterator[Browser]:
    """A browser that keeps the errors of the pages, and that has chosen no theme."""
    with browser.prepared(WATCH):
        yield browser
    browser.emulate("clearDeviceMetricsOverride")
    browser.emulate("setEmulatedMedia", features=[])


def look(reader: Browser, width: int, scheme: str = "light") -> None:
    """Give the window a width and a colour scheme."""
    reader.emulate(
        "setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
    )
    quiet = {"name": "prefers-reduced-motion", "value": "reduce"}
    chosen = {"name": "prefers-color-scheme", "value": scheme}
    reader.emulate("setEmulatedMedia", features=[chosen, quiet])


def theme(reader: Browser) -> object:
    return reader.run("return document.documentElement.dataset.theme")


@pytest.mark.parametrize("name", PAGES)
def test_page(reader: Browser, address: str, name: str) -> None:
    """A page is readable on a phone and on a desk, in light and dark, and loads all it needs."""
    look(reader, DESK)
    reader.open(f"{address}/1.2.0/{name}.html")
    for scheme in ("light", "dark"):
        for width in (DESK, PHONE):
            look(reader, width, scheme)
            assert eventually(lambda scheme=scheme: theme(reader) == scheme)  # type: ignore[misc]
            assert reader.run(OVERFLOW) == 0, (scheme, width)
            assert reader.run(CUT_OFF) == [], (scheme, width)
            assert reader.run(FAINT) == [], (scheme, width)
    assert reader.run(TROUBLES) == []


def test_one_line(reader: Browser, address: str) -> None:
    """The header has one line on a desk."""
    look(reader, DESK)
    reader.open(f"{address}/1.2.0/index.html")
    tops = "return new Set([...document.querySelectorAll('#pst-header .nav-item')].map("
    assert reader.run(f"{tops}it => it.offsetTop)).size") == 1
    height = "return document.querySelector('#pst-header').offsetHeight"
    assert reader.run(f"{height} < 90") is True


@pytest.mark.parametrize("text", SEARCHES)
def test_search(reader: Browser, address: str, text: str) -> None:
    """The pages that answer a question are among the first five hits."""
    look(reader, DESK)
    reader.open(f"{address}/1.2.0/index.html")
    reader.click("#pst-header .search-button__button")
    reader.type("#pst-search-dialog input", text)
    pages = {place.partition("#")[0] for place in WORDS[text]}
    assert eventually(lambda: pages <= set(reader.run(HITS)))  # type: ignore[call-overload]


def test_words(reader: Browser, address: str) -> None:
    """Each word of search.toml finds its pages in the first five hits, with their sections."""
    reader.open(f"{address}/1.2.0/search.html")
    assert eventually(lambda: reader.run("return Search.hasIndex()") is True)
    found = cast("dict[str, list[str]]", reader.run(FOUND, json.dumps([*WORDS])))
    places = {word: {it.partition("#")[0] for it in WORDS[word]} for word in WORDS}
    assert {word: found[word] for word in WORDS if not places[word] <= {*found[word]}} == {}
    titles = cast("list[str]", reader.run(TITLES, "session not saved"))
    assert titles[-1] == "Troubleshooting > A change is not saved"


def test_scrolling(reader: Browser, address: str) -> None:
    """What is too wide for a phone fades out at its right side, and once scrolled, at its left."""
    look(reader, PHONE)
    for name in ("reference/settings", "how-to/csrf"):
        reader.open(f"{address}/1.2.0/{name}.html")
        assert eventually(lambda: set(cast("list[str]", reader.run(WIDE))) == {"right"})
    reader.run("document.querySelector('pre[data-more=right]').scrollLeft = 10000")
    assert eventually(lambda: "left" in cast("list[str]", reader.run(WIDE)))


def test_menu(reader: Browser, address: str) -> None:
    """On a phone a button opens the menu, which leads to the sections."""
    look(reader, PHONE)
    reader.open(f"{address}/1.2.0/index.html")
    reader.click(".primary-toggle")
    link = "#pst-primary-sidebar-modal a[href='operations/index.html']"
    seen = f"return document.querySelector(`{link}`)?.checkVisibility() ?? false"
    assert eventually(lambda: reader.run(seen) is True)
    reader.follow(link)
    assert reader.text("h1").startswith("Operations")


def test_theme(reader: Browser, address: str) -> None:
    """The switch makes the page dark, and the next page too."""
    look(reader, DESK)
    reader.open(f"{address}/1.2.0/index.html")
    try:
        for page in ("index", "install"):
            reader.open(f"{address}/1.2.0/{page}.html")
            if page == "index":
                reader.click("#pst-header .theme-switch-button")
                reader.click("#pst-header .theme-change-button[data-mode=dark]")
            assert theme(reader) == "dark"
    finally:
        reader.run("localStorage.clear()")


def test_versions(reader: Browser, address: str) -> None:
    """The list leads to the same page of another version, whose banner leads to the stable one."""
    banner = "#bd-header-version-warning"
    look(reader, DESK)
    reader.open(f"{address}/stable/how-to/sessions.html")
    assert eventually(lambda: reader.run(VERSIONS) == ["dev", "1.2.0 (stable)", "1.1.0"])
    assert reader.text(banner) == ""
    reader.click("#pst-header .version-switcher__button")
    reader.follow("#pst-header .version-switcher__menu [data-version='1.1.0']")
    assert reader.address() == f"{address}/1.1.0/how-to/sessions.html"
    assert eventually(lambda: "an old version (1.1.0)" in reader.text(banner))
    reader.follow(f"{banner} .pst-button-link-to-stable-version")
    assert reader.address() == f"{address}/1.2.0/how-to/sessions.html"

    reader.open(f"{address}/dev/index.html")
    assert eventually(lambda: "an unstable development version" in reader.text(banner))


def test_entrance(reader: Browser, address: str) -> None:
    """The address of the site leads to the stable version, as the page for wrong addresses does."""
    reader.open(address)
    assert eventually(lambda: reader.address() == f"{address}/stable/index.html")
    reader.open(f"{address}/404.html")
    reader.run("document.querySelector('a').click()")
    assert eventually(lambda: reader.address() == f"{address}/stable/")
