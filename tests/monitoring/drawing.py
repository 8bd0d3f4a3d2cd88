"""Panels of the dashboard as SVG, for light and dark pages."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import chain
from math import inf
from typing import Final

from tests.monitoring.scale import as_text, ticks

WIDTH: Final = 960
COLUMN: Final = WIDTH / 24
ROW: Final = 27
HEAD: Final = 30
#: The room left of a plot, above it, right of it, and below its axis.
LEFT, TOP, RIGHT, AXIS = 52, 32, 14, 18
LEGEND: Final = 15
STYLE: Final = """
text { font: 11px system-ui, sans-serif; fill: #59636e }
.title { font-weight: 600; font-size: 13px; fill: #1f2328 }
.big { font-weight: 600; font-size: 26px; fill: #1f2328 }
.page { fill: #ffffff } .panel { fill: #f6f8fa; stroke: #d1d9e0 }
.grid { stroke: #d1d9e0 } .fault { fill: #cf222e; fill-opacity: .09 }
.mark { fill: #a40e26; stroke: #f6f8fa; stroke-width: 3px; paint-order: stroke }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round }
.s0 { stroke: #2f6fde } .s1 { stroke: #c4620a } .s2 { stroke: #1a7f37 }
.s3 { stroke: #8250df } .s4 { stroke: #cf222e } .s5 { stroke: #57606a }
.s6 { stroke: #0b8f97 } .s7 { stroke: #bf3989 } .s8 { stroke: #8a6d00 } .s9 { stroke: #6e4b34 }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1 } .title, .big { fill: #e6edf3 }
  .page { fill: #0d1117 } .panel { fill: #151b23; stroke: #3d444d }
  .grid { stroke: #3d444d } .fault { fill: #f85149; fill-opacity: .16 }
  .mark { fill: #ff938a; stroke: #151b23 }
  .s0 { stroke: #5b9bff } .s1 { stroke: #f0883e } .s2 { stroke: #3fb950 }
  .s3 { stroke: #a371f7 } .s4 { stroke: #f85149 } .s5 { stroke: #9198a1 }
  .s6 { stroke: #39c5cf } .s7 { stroke: #f778ba } .s8 { stroke: #d4a72c } .s9 { stroke: #c69f87 }
}
"""
COLORS: Final = 10
#: A line has a gap where there is no value for longer than this, in seconds.
LONGEST: Final = 3.0


@dataclass(frozen=True, slots=True)
class Series:
    """One line: its name in the legend, and its points."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Fault:
    """What was done to the application, and between which times."""

    name: str
    start: float
    end: float


@dataclass(slots=True)
class Story:
    """What happened, and between which times, in seconds of the epoch."""

    start: float
    end: float
    faults: list[Fault]

    def marked(self) -> list[tuple[str, Fault]]:
        """Return the faults with a letter for each."""
        return list(zip("ABCDEFGH", self.faults, strict=False))


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel: its place in the grid of the dashboard, its unit, and its lines."""

    title: str
    x: int
    y: int
    w: int
    h: int
    unit: str
    is_number: bool
    lines: Sequence[Series]


def draw(title: str, panels: Sequence[Panel], story: Story) -> str:
    """Return one row of the dashboard as SVG, for the time of a story."""
    top = min(panel.y for panel in panels)
    height = HEAD + ROW * max(panel.y + panel.h - top for panel in panels)
    body = [f'<text class="title" x="4" y="19">{escape(title)}</text>']
    if not all(panel.is_number for panel in panels):
        names = " \N{MIDDLE DOT} ".join(f"{mark} {fault.name}" for mark, fault in story.marked())
        body.append(f'<text class="mark" x="{WIDTH - 4}" y="19" text-anchor="end">{names}</text>')
    for panel in panels:
        x, y = round(panel.x * COLUMN), HEAD + (panel.y - top) * ROW
        inside = _number(panel) if panel.is_number else Plot(panel, story).drawn()
        body += [f'<g transform="translate({x} {y})">', *_frame(panel), *inside, "</g>"]
    lines = "\n".join(body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-label="{escape(title)}">\n'
        f"<style>{STYLE}</style>\n"
        f'<rect class="page" width="{WIDTH}" height="{height}"/>\n{lines}\n</svg>\n'
    )


def _frame(panel: Panel) -> list[str]:
    width, height = _size(panel)
    return [
        f'<rect class="panel" x="2" y="2" width="{width - 4}" height="{height - 4}" rx="4"/>',
        f'<text class="title" x="12" y="21">{escape(panel.title)}</text>',
    ]


def _size(panel: Panel) -> tuple[int, int]:
    return round(panel.w * COLUMN), panel.h * ROW


def _number(panel: Panel) -> list[str]:
    """Return the last value, as a stat panel shows it."""
    width, height = _size(panel)
    values = [value for line in panel.lines for _, value in line.points[-1:]]
    text = as_text(sum(values), panel.unit) if values else "no data"
    place = f'x="{width / 2:.0f}" y="{height - 18}" text-anchor="middle"'
    return [f'<text class="big" {place}>{text}</text>']


class Plot:
    """The lines of a panel over the time of a story."""

    def __init__(self, panel: Panel, story: Story) -> None:
        self._panel = panel
        self._story = story
        self._width, height = _size(panel)
        self._names = _legend(panel.lines, self._width)
        rows = 1 + max((row for _, row, _ in self._names), default=0)
        self._bottom = height - AXIS - LEGEND * rows - 6
        self._steps = ticks(max((v for line in panel.lines for _, v in line.points), default=0))

    def drawn(self) -> list[str]:
        """Return the parts, from the back to the front."""
        parts = (self._faults(), self._grid(), self._lines(), self._marks(), self._explained())
        return [*chain.from_iterable(parts)]

    def _across(self, time: float) -> float:
        start, end = self._story.start, self._story.end
        return LEFT + (time - start) / (end - start) * (self._width - LEFT - RIGHT)

    def _down(self, value: float) -> float:
        return self._bottom - value / self._steps[-1] * (self._bottom - TOP)

    def _faults(self) -> Iterator[str]:
        for fault in self._story.faults:
            left, right = self._across(fault.start), self._across(fault.end)
            place = f'x="{left:.1f}" y="{TOP}" width="{max(right - left, 2):.1f}"'
            yield f'<rect class="fault" {place} height="{self._bottom - TOP}"/>'

    def _marks(self) -> Iterator[str]:
        for mark, fault in self._story.marked():
            x = self._across((fault.start + fault.end) / 2)
            place = f'x="{x:.1f}" y="{TOP + 11}" text-anchor="middle"'
            yield f'<text class="mark" {place}>{mark}</text>'

    def _grid(self) -> Iterator[str]:
        for step in self._steps:
            y = self._down(step)
            yield f'<path class="grid" d="M{LEFT} {y:.1f}H{self._width - RIGHT}"/>'
            place = f'x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end"'
            yield f"<text {place}>{as_text(step, self._panel.unit)}</text>"
        for minute in range(int(self._story.end - self._story.start) // 60 + 1):
            x = self._across(self._story.start + 60 * minute)
            place = f'x="{x:.1f}" y="{self._bottom + 14}" text-anchor="middle"'
            yield f"<text {place}>{minute} min</text>"

    def _lines(self) -> Iterator[str]:
        for number, line in enumerate(self._panel.lines):
            before, path = -inf, ""
            for time, value in line.points:
                move = "M" if time - before > LONGEST else "L"
                path += f"{move}{self._across(time):.1f} {self._down(value):.1f}"
                before = time
            yield f'<path class="line s{number % COLORS}" d="{path}"/>'

    def _explained(self) -> Iterator[str]:
        base = self._bottom + AXIS + LEGEND - 2
        for number, (x, row, name) in enumerate(self._names):
            y = base + row * LEGEND
            yield f'<path class="line s{number % COLORS}" d="M{x} {y - 4}h12"/>'
            yield f'<text x="{x + 16}" y="{y}">{escape(name)}</text>'


def _legend(lines: Sequence[Series], width: int) -> list[tuple[int, int, str]]:
    """Return the place of each name: its x, and its row."""
    x, row, names = 12, 0, []
    for line in lines:
        wide = 30 + round(len(line.name) * 5.9)
        if x > 12 and x + wide > width - 4:
            x, row = 12, row + 1
        names.append((x, row, line.name))
        x += wide
    return names
