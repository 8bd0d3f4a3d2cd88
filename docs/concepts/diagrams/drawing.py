"""How the pictures of these pages are drawn: boxes, arrows and text in one common style, as SVG.

To draw them all anew, run ``python -m docs.concepts.diagrams`` in the root of the repository.

The style, in units of the picture, which is `WIDTH` units wide and fits a phone:

- text is real text in the reader's system font, `SIZE` high; a line takes `LINE`; names from the
  code stand between backticks and are drawn in a monospaced font;
- a box has round corners and an outline of `STROKE`; its kind says what it is: `plain` is a step or
  a thing, `database` is SQL or a row, `good` and `bad` are outcomes, `quiet` is a remark;
- an arrow is as thick as an outline; it is dashed if it stands for an answer or for waiting;
- the colours are in `_COLOURS`, for a light and for a dark page.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import escape
from typing import Final

WIDTH: Final = 360
SIZE: Final = 14
LINE: Final = 18
STROKE: Final = 1.5

#: How much larger a picture is shown where there is room.
_ENLARGED: Final = 1.25

#: Kind of box: its ground and its outline, on a light page and on a dark one.
_COLOURS: Final = {
    "plain": (("#f3f5f8", "#6b7280"), ("#222832", "#8b95a3")),
    "database": (("#e3eefc", "#3b6fb6"), ("#152a44", "#6ea1e0")),
    "good": (("#e2f4e6", "#3c8a53"), ("#12301c", "#5fb57a")),
    "bad": (("#fde9e6", "#bf4a3e"), ("#3f1a17", "#e58378")),
    "quiet": (("#ffffff", "#c3c9d1"), ("#14181e", "#48515d")),
}

_TEXT: Final = (("#1b2129", "#59626e", "#ffffff"), ("#e6e9ed", "#a9b2bd", "#14181e"))

_RULES: Final = """
text { font: SIZEpx system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif }
text.note { paint-order: stroke; stroke-width: 5px; stroke-linejoin: round }
text.title { font-weight: 600 }
.code { font: 13.5px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace }
rect { stroke-width: STROKE }
path { fill: none; stroke-width: STROKE }
path.dashed { stroke-dasharray: 4 4 }
path.thick { stroke-width: 10 }
"""

_OPENING: Final = '<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="title desc"'

#: The head of an arrow.
_HEAD: Final = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
    'markerHeight="8" markerUnits="userSpaceOnUse" orient="auto">'
    '<polygon points="0,0 8,4 0,8"/></marker></defs>'
)

_CODE: Final = re.compile(r"`([^`]+)`")


@dataclass(frozen=True, slots=True)
class Box:
    """Where a box stands."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The x of its right side."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """The y of its lower side."""
        return self.y + self.height

    @property
    def center(self) -> float:
        """The x of its middle."""
        return self.x + self.width / 2

    @property
    def middle(self) -> float:
        """The y of its middle."""
        return self.y + self.height / 2


@dataclass(slots=True)
class Picture:
    """A picture under way. `title` names it, `description` says in words what it shows."""

    title: str
    description: str
    _parts: list[str] = field(default_factory=list)
    _bottom: float = 0

    def box(self, x: float, y: float, width: float, *lines: str, kind: str = "plain") -> Box:
        """Draw a box with lines of text in its middle, as high as they need."""
        box = Box(x, y, width, LINE * len(lines) + 12)
        text = _text(box.center, y + LINE + 1, lines, anchor="middle")
        self._add(
            box.bottom,
            f'<g class="box"><rect class="{kind}" x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" '
            f'height="{_n(box.height)}" rx="6"/>{text}</g>',
        )
        return box

    def note(
        self, x: float, y: float, *lines: str, anchor: str = "start", kind: str = "note"
    ) -> float:
        """Write lines of text, the first on the base line `y`. Return the next base line."""
        self._add(y + LINE * (len(lines) - 1) + 5, _text(x, y, lines, anchor=anchor, kind=kind))
        return y + LINE * len(lines)

    def arrow(self, *points: tuple[float, float], kind: str = "") -> None:
        """Draw an arrow along points to the last one. `kind` may be "dashed"."""
        self._path(points, f"{kind} arrow".strip())

    def line(self, *points: tuple[float, float], kind: str = "line") -> None:
        """Draw a line along points."""
        self._path(points, kind)

    def lane(self, x: float, y: float) -> None:
        """Draw a line from `y` down to the present end of the picture, below all else."""
        self._parts.insert(0, f'<path class="quiet" d="M{_n(x)} {_n(y)} V{_n(self._bottom)}"/>')

    def written(self) -> str:
        """Return the picture as SVG."""
        height = self._bottom + 8
        size = f'width="{_n(WIDTH * _ENLARGED)}" height="{_n(height * _ENLARGED)}"'
        return "\n".join(
            [
                f'{_OPENING} viewBox="0 0 {WIDTH} {_n(height)}" {size}>',
                "<!-- Drawn by the Python files in this folder: see drawing.py. -->",
                f'<title id="title">{escape(self.title)}</title>',
                f'<desc id="desc">{escape(self.description)}</desc>',
                f"<style>{_style()}</style>",
                _HEAD,
                f'<rect class="page" width="{WIDTH}" height="{_n(height)}"/>',
                *self._parts,
                "</svg>\n",
            ]
        )

    def _path(self, points: tuple[tuple[float, float], ...], kind: str) -> None:
        steps = " L".join(f"{_n(x)} {_n(y)}" for x, y in points)
        head = ' marker-end="url(#head)"' if "arrow" in kind else ""
        self._add(max(y for _, y in points), f'<path class="{kind}" d="M{steps}"{head}/>')

    def _add(self, bottom: float, part: str) -> None:
        self._bottom = max(self._bottom, bottom)
        self._parts.append(part)


def _text(
    x: float, y: float, lines: tuple[str, ...], *, anchor: str, kind: str | None = None
) -> str:
    spans = "".join(
        f'<tspan x="{_n(x)}" y="{_n(y + LINE * number)}">{_marked(line)}</tspan>'
        for number, line in enumerate(lines)
    )
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} text-anchor="{anchor}">{spans}</text>'


def _marked(line: str) -> str:
    return _CODE.sub(r'<tspan class="code">\1</tspan>', escape(line, quote=False))


def _style() -> str:
    rules = _RULES.replace("SIZE", str(SIZE)).replace("STROKE", str(STROKE))
    return f"{rules}{_colours(0)}@media (prefers-color-scheme: dark) {{\n{_colours(1)}}}\n"


def _colours(theme: int) -> str:
    ink, quiet, page = _TEXT[theme]
    boxes = (
        f"rect.{kind} {{ fill: {themes[theme][0]}; stroke: {themes[theme][1]} }}\n"
        f"path.{kind} {{ stroke: {themes[theme][1]} }}\n"
        for kind, themes in _COLOURS.items()
    )
    return (
        f"text {{ fill: {ink} }}\ntext.note, text.title {{ stroke: {page} }}\n"
        f"text.title {{ stroke: none }}\nrect.page {{ fill: {page}; stroke: none }}\n"
        f"path {{ stroke: {quiet} }}\npolygon {{ fill: {quiet} }}\n{''.join(boxes)}"
    )


def _n(number: float) -> str:
    return f"{number:g}"
