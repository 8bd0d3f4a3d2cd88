"""The plot: requests per second at 64 in flight, as bars, for light and dark pages."""

from html import escape

from benchmarks.measure import Part

LOAD = 64
WIDTH, LEFT, BAR, GAP = 760, 210, 18, 6
PANELS = {"read": "Read the session", "write": "Change the session"}
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 14px }
.note, .figure { fill: #59636e }
.bar { fill: #9aa4b0 } .ours { fill: #2f6fde }
.lost { fill: #cfd5dc }
rect.page { fill: #ffffff }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .note, .figure { fill: #9198a1 }
  .bar { fill: #6b7683 } .ours { fill: #5b9bff } .lost { fill: #3d444d }
  rect.page { fill: #0d1117 }
}
"""

#: Peers whose sessions are lost in a crash of the machine, or cannot be revoked.
LOST = ("bare", "cookie", "memory", "redis")


def plot(part: Part) -> str:
    """Return an SVG of the peers; bars of durable peers have stronger colours."""
    titles: dict[str, str] = part.facts["titles"]
    lines: list[str] = []
    top = 34
    for work, title in PANELS.items():
        lines.append(f'<text class="title" x="16" y="{top}">{title}: requests a second</text>')
        top += 14
        found = {name: part.cell(name, work, LOAD) for name in titles}
        rates = {name: cell.median("rate") or 0 for name, cell in found.items() if cell}
        rates.pop("bare", None)
        for name, rate in sorted(rates.items(), key=lambda it: -it[1]):
            lines += _bar(name, titles[name], rate, max(rates.values()), top)
            top += BAR + GAP
        top += 30
    note = (
        f"In process, {LOAD} in flight, one event loop, two cores. Pale: sessions that are "
        "lost in a crash or cannot be revoked."
    )
    lines.append(f'<text class="note" x="16" y="{top - 8}">{note}</text>')
    height = top + 10
    body = "\n".join(lines)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" '
        f'aria-label="Requests a second of session middlewares">\n<style>{STYLE}</style>\n'
        f'<rect class="page" width="{WIDTH}" height="{height}"/>\n{body}\n</svg>\n'
    )


def _bar(name: str, title: str, rate: float, most: float, top: int) -> list[str]:
    kind = "ours" if name == "ours" else "bar lost" if name in LOST else "bar"
    width = max(1, round((WIDTH - LEFT - 90) * rate / most))
    middle = top + BAR - 5
    figure = f"{rate:,.0f}"
    return [
        f'<text x="{LEFT - 8}" y="{middle}" text-anchor="end">{escape(title)}</text>',
        f'<rect class="{kind}" x="{LEFT}" y="{top}" width="{width}" height="{BAR}" rx="2"/>',
        f'<text class="figure" x="{LEFT + width + 8}" y="{middle}">{figure}</text>',
    ]
