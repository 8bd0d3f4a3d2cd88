"""The figures that the project requires, and whether they are met."""

import operator
import statistics
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.measure import Part


@dataclass(frozen=True, slots=True)
class Requirement:
    """One line of the last table."""

    figure: str
    required: str
    measured: str
    verdict: str


#: Work, load, figure, peer, comparison, limit, and whether the limit is only an aim.
RATIOS = (
    ("read", 64, "rate", "cookie", ">=", 0.70, False),
    ("read", 64, "rate", "redis", ">=", 4.0, False),
    ("write", 64, "rate", "cookie", ">=", 0.45, False),
    ("write", 64, "rate", "redis", ">=", 2.2, False),
    ("read", 1, "rate", "select", ">=", 0.75, False),
    ("read", 1, "rate", "redis", ">=", 1.0, False),
    ("none", 64, "rate", "bare", ">=", 0.85, False),
    ("read", 64, "p99", "naive", "<=", 1.0, False),
    ("write", 64, "p99", "naive", "<=", 1.0, False),
    ("read", 64, "rate", "cookie", ">=", 1.0, True),
    ("write", 64, "rate", "cookie", ">=", 0.7, True),
)
COMPARE: dict[str, Callable[[float, float], bool]] = {">=": operator.ge, "<=": operator.le}
SIGNS = {">=": "≥", "<=": "≤"}


def required(parts: dict[str, Part]) -> list[Requirement]:
    """Check each requirement against the parts that were measured."""
    found = []
    if "apps" in parts:
        apps = parts["apps"]
        titles = apps.facts["titles"]
        for work, load, figure, peer, sign, limit, aim in RATIOS:
            name = f"{work} at {load} in flight, {figure} ÷ {titles[peer]}"
            ratios = apps.ratios(work, load, "ours", peer, figure)
            found.append(_judge(name, ratios, sign, limit, aim=aim))
        found += _statements(apps)
    if "growth" in parts:
        found += _growth(parts["growth"])
    if "table" in parts:
        facts = parts["table"].facts
        found.append(_judge("updates that are HOT", [facts["hot"]], ">=", 0.99))
        found.append(_judge("heap after ÷ before", [facts["heap_growth"]], "<=", 1.1))
    if "sweep" in parts:
        facts = parts["sweep"].facts
        found.append(_judge("longest statement of a sweep, ms", [facts["longest_ms"]], "<=", 50.0))
    return found


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
        _judge(
            f"get at {size:,} rows ÷ at {smallest:,}, {load} in flight",
            growth.ratios("rows get", load, f"{size} rows", f"{smallest} rows"),
            ">=",
            0.85,
        )
        for size in sorted({*growth.facts["sizes"], 10_000_000} - {smallest})
        for load in (1, 64)
    ]
