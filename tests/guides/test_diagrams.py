"""The pictures of docs/concepts: they are drawn as committed, and say what the code says."""

import re
import tomllib
from datetime import timedelta
from xml.etree import ElementTree as ET

import pytest

from docs.concepts.diagrams.pictures import PICTURES
from docs.concepts.diagrams.site import ROOMS
from pgsession.asgi.unavailable import _HEADERS
from pgsession.core.bound import REGISTERED_WITHIN
from pgsession.core.keys import SELECTOR_LENGTH, VERIFIER_LENGTH
from pgsession.core.period import DEFAULT_PERIOD
from pgsession.postgres.batching import _LANES, _LEAST, _SIZE
from pgsession.postgres.calls_apart import _RETRY_EVERY
from pgsession.postgres.connections.own_pool import _LONGEST, _RESTARTING
from pgsession.postgres.statements.text import PATIENCE
from tests.project.documents import ROOT, Document

FOLDER = ROOT / "docs/concepts/diagrams"
SVG = "{http://www.w3.org/2000/svg}"

#: The pages of the concepts, but for their list.
PAGES = [
    Document(f"docs/concepts/{path.name}")
    for path in sorted(FOLDER.parent.glob("*.md"))
    if path.stem != "index"
]

#: The package and its migrations, as one text in small letters.
SOURCE = "\n".join(
    path.read_text(encoding="utf-8").lower()
    for folder, kind in (("src", "*.py"), ("migrations", "*.sql"))
    for path in (ROOT / folder).rglob(kind)
)

#: Words in the font of code that are no names of the package: what a handler stores.
OTHERS = {"cart", "cart = 2", "theme", "theme = dark", "seen = now"}

#: The waiting calls in the picture of batches, and how many the first free lane takes of them: its
#: share of these and of the one that is still under way.
WAITING = 80
FIRST = min(_SIZE, max(_LEAST, -(-(WAITING + 1) // _LANES)))

#: Phrases of the pictures that have a figure in them, made from the code.
FIGURES = {
    "batching": [f"calls 3 to {2 + WAITING}", f"{FIRST} rows", f"{WAITING - FIRST} rows"],
    "binding": [f"{REGISTERED_WITHIN.total_seconds():g} s, and for one key"],
    "keys": [
        f"{SELECTOR_LENGTH} characters, {SELECTOR_LENGTH * 6} random bits",
        f"{VERIFIER_LENGTH} characters, {VERIFIER_LENGTH * 6} random bits",
    ],
    "lifetimes": [
        f"Max-Age {DEFAULT_PERIOD.days} days",
        f"day {(timedelta(days=1) + DEFAULT_PERIOD).days}",
        f"{DEFAULT_PERIOD.days} days without a visit",
    ],
    "locked-rows": [f"waits {PATIENCE:g} s", f"every {_RETRY_EVERY:g} s"],
    "outages": [
        f"{_RESTARTING:g} s is over",
        f"to connect every {_LONGEST:g} s",
        f"Retry-After: {dict(_HEADERS)[b'retry-after'].decode()}",
    ],
}


def picture(name: str) -> ET.Element:
    return ET.parse(FOLDER / f"{name}.svg").getroot()  # noqa: S314 - of this repository


def words(name: str) -> str:
    """Return all that a picture says, in one line."""
    lines = (line for text in picture(name).iter(f"{SVG}text") for line in text)
    return " ".join("".join(line.itertext()) for line in lines)


@pytest.mark.parametrize("name", PICTURES)
def test_drawn(name: str) -> None:
    """Each picture is what its program draws."""
    assert (FOLDER / f"{name}.svg").read_text(encoding="utf-8") == PICTURES[name]().written()


def test_shown() -> None:
    """Each picture is shown on one page, with a text for those who do not see it."""
    shown = [
        (path, text)
        for page in PAGES
        for text, path in re.findall(r"!\[([^\]]*)\]\(diagrams/([\w-]+)\.svg\)", page.text)
    ]

    assert sorted(path for path, _ in shown) == sorted(PICTURES)
    assert {path.stem for path in FOLDER.glob("*.svg")} == set(PICTURES)
    assert [path for path, text in shown if len(text) < 80] == []


@pytest.mark.parametrize("name", PICTURES)
def test_described(name: str) -> None:
    """Each picture has a title and a description of its own."""
    root = picture(name)

    assert len(root.findtext(f"{SVG}title") or "") > 20
    assert len(root.findtext(f"{SVG}desc") or "") > 80


@pytest.mark.parametrize("name", PICTURES)
def test_names(name: str) -> None:
    """Each name in a picture stands in the code."""
    names = {
        "".join(each.itertext()).removesuffix(":").split(": ")[0].lower()
        for each in picture(name).iter(f"{SVG}tspan")
        if each.get("class") == "code"
    }

    assert {each for each in names - OTHERS if each not in SOURCE} == set()


@pytest.mark.parametrize("name", FIGURES)
def test_figures(name: str) -> None:
    """Each figure in a picture is that of the code."""
    said = words(name)

    assert [phrase for phrase in FIGURES[name] if phrase not in said] == []


def test_rooms() -> None:
    """The house has the rooms of the contract that `make lint` checks, in its order."""
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    house = rules["tool"]["importlinter"]["contracts"][0]["layers"]
    table = re.findall(
        r"^\| (`.+?`) \|", Document("docs/concepts/architecture.md").text, re.MULTILINE
    )
    rooms = [set(layer.split(" | ")) for layer in house]

    assert [{room.split("`")[1] for room in row} for row in ROOMS] == rooms
    assert {*re.findall(r"`(\w+)`", " ".join(table))} - {"__init__"} >= set.union(*rooms)
