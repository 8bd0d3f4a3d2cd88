"""The scale of a plot: round values, as Grafana writes them."""

from math import ceil, floor, isfinite, log10


def ticks(most: float) -> list[float]:
    """Return round values from 0 to above the largest one."""
    if not isfinite(most) or most <= 0:
        return [0.0, 1.0]
    size = 10.0 ** floor(log10(most))
    step = next(size * part for part in (0.25, 0.5, 1, 2, 5) if size * part * 4 >= most)
    return [step * number for number in range(ceil(most / step) + 1)]


def as_text(value: float, unit: str) -> str:
    """Return a value with its unit, as short as Grafana shows it."""
    if unit == "s" and 0 < value < 1:
        return f"{value * 1000:.3g} ms"
    suffix = {"s": " s", "ops": "/s", "reqps": "/s", "percentunit": " %"}.get(unit, "")
    shown = value * 100 if unit == "percentunit" else value
    return f"{shown:.0f}{suffix}" if shown >= 100 else f"{shown:.3g}{suffix}"
