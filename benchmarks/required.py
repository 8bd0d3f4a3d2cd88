"""The figures that the project requires, and whether they are met."""

import operator
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.measure import Part


@dataclass(frozen=True, slots=True)
class Requirement:
    """One line of the last table."""

    figure: str
    required: str
    measured: str
    verdict: str


#: Work, load, figure, peer, comparison, limit, and the aim if there is one.
RATIOS: tuple[tuple[str, int, str, str, str, float, float | None], ...] = (
    ("read", 64, "rate", "cookie", ">=", 0.90, 1.0),
    ("write", 64, "rate", "cookie", ">=", 0.62, 0.75),
    ("read", 64, "rate", "redis", ">=", 5.2, 6.0),
    ("write", 64, "rate", "redis", ">=", 2.5, 3.2),
    ("read", 1, "rate", "redis", ">=", 1.6, 2.0),
    ("write", 1, "rate", "redis", ">=", 0.52, 0.65),
    ("none", 64, "rate", "bare", ">=", 0.88, 0.95),
    ("read", 1, "rate", "select", ">=", 0.75, None),
    ("read", 64, "p99", "naive", "<=", 1.0, None),
    ("write", 64, "p99", "naive", "<=", 1.0, None),
)

#: The same of servers over HTTP.
SERVED = (
    ("read", 64, "rate", "cookie", ">=", 1.1, 1.2),
    ("write", 64, "rate", "cookie", ">=", 0.8, 1.0),
    ("read, 2 workers", 64, "rate", "cookie", ">=", 1.0, 1.1),
    ("write, 2 workers", 64, "rate", "cookie", ">=", 0.7, 0.9),
)

#: The same of large sessions.
LARGE = (
    ("read, 20 kB", 64, "rate", "redis", ">=", 2.5, 3.0),
    ("write, 20 kB", 64, "rate", "redis", ">=", 1.0, 1.5),
    ("read, 200 kB", 64, "rate", "redis", ">=", 1.5, 2.0),
    ("write, 200 kB", 64, "rate", "redis", ">=", 0.6, 1.0),
)

#: Milliseconds of CPU time that the import of pgsession may add: the limit and the aim.
IMPORT = (30.0, 15.0)

#: The rate of a large table, as a part of that of the smallest, and the aim for the largest at 64
#: in flight.
LARGE_TABLE = 0.85
LARGEST_TABLE = 0.95

COMPARE: dict[str, Callable[[float, float], bool]] = {">=": operator.ge, "<=": operator.le}
SIGNS = {">=": "≥", "<=": "≤"}


def required(parts: dict[str, Part]) -> list[Requirement]:
    """Check each requirement against the parts that were measured."""
    found = []
    if "apps" in parts:
        found += _ratios(parts["apps"], RATIOS) + _statements(parts["apps"])
    if "http" in parts:
        found += _ratios(parts["http"], SERVED, "behind uvicorn: ")
    if "large" in parts:
        found += _ratios(parts["large"], LARGE)
    if "growth" in parts:
        found += _growth(parts["growth"])
    if "table" in parts:
        facts = parts["table"].facts
        found.append(_judge("updates that are HOT", [facts["hot"]], ">=", 0.99))
        found.append(_judge("heap after ÷ before", [facts["heap_growth"]], "<=", 1.1))
    if "sweep" in parts:
        facts = parts["sweep"].facts
        found.append(_judge("longest statement of a sweep, ms", [facts["longest_ms"]], "<=", 50.0))
    if "import" in parts:
        name = "ms of CPU that the import adds"
        found += _both(name, [parts["import"].facts["import"]], "<=", *IMPORT)
    return found


def _ratios(
    part: Part,
    wanted: Sequence[tuple[str, int, str, str, str, float, float | None]],
    where: str = "",
) -> list[Requirement]:
    """Compare pgsession with peers of one part."""
    titles = part.facts["titles"]
    found = []
    for work, load, figure, peer, sign, limit, aim in wanted:
        name = f"{where}{work} at {load} in flight, {figure} ÷ {titles.get(peer, peer)}"
        found += _both(name, part.ratios(work, load, "ours", peer, figure), sign, limit, aim)
    return found


def _both(
    name: str, values: list[float], sign: str, limit: float, aim: float | None
) -> list[Requirement]:
    """Judge by the limit, and by the aim if there is one."""
    judged = [_judge(name, values, sign, limit)]
    return judged if aim is None else [*judged, _judge(name, values, sign, aim, aim=True)]


def _judge(
    name: str, values: list[float], sign: str, limit: float, *, aim: bool = False
) -> Requirement:
    said = f"{SIGNS[sign]} {limit}{' (aim)' if aim else ''}"
    if not values:
        return Requirement(name, said, "-", "not measured")
    median = statistics.median(values)
    spread = sorted(values, reverse=sign == "<=")
    measured = f"{median:.3f}"
    if len(values) > 1:
        measured = f"{median:.2f} ({spread[0]:.2f} to {spread[-1]:.2f})"
    return Requirement(name, said, measured, "met" if COMPARE[sign](median, limit) else "NOT MET")


def _statements(apps: Part) -> list[Requirement]:
    limits = {"none/1": 0.0, "read/1": 1.0, "write/1": 2.0}
    return [
        _judge(f"statements a request{of}, {name}", [counts[name]], "<=", limit)
        for peer, of in {"ours": "", "bound": ", bound to a device"}.items()
        for counts in [apps.facts["statements"].get(peer, {})]
        for name, limit in limits.items()
        if name in counts
    ]


def _growth(growth: Part) -> list[Requirement]:
    """Compare the larger tables with the smallest one, at 1 and at 64 in flight."""
    smallest = min(growth.facts["sizes"])
    return [
        each
        for size in sorted({*growth.facts["sizes"], 10_000_000} - {smallest})
        for load in (1, 64)
        for each in _both(
            f"get at {size:,} rows ÷ at {smallest:,}, {load} in flight",
            growth.ratios("rows get", load, f"{size} rows", f"{smallest} rows"),
            ">=",
            LARGE_TABLE,
            LARGEST_TABLE if (size, load) == (10_000_000, 64) else None,
        )
    ]
