"""The names in docs/reference/telemetry.md, as its tables give them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "telemetry.md"

#: The attributes of every metric of a store, and of every metric of its connections.
STORE: Final = {
    "db.system.name",
    "db.namespace",
    "db.collection.name",
    "server.address",
    "server.port",
}
POOL: Final = {"db.client.connection.pool.name"}

_OF_STORE: Final = ("pgsession.batch.", "pgsession.sweep.", "pgsession.sessions.revoked", "db.")


@dataclass(frozen=True, slots=True)
class Metric:
    """A row of the table of metrics."""

    instrument: str
    unit: str
    attributes: frozenset[str]


def metrics() -> dict[str, Metric]:
    """Return the documented metrics."""
    return {
        _names(name)[0]: Metric(
            instrument, _names(unit)[0], frozenset({*_names(attributes), *_common(_names(name)[0])})
        )
        for name, instrument, unit, attributes, _ in _table("Metrics")
    }


def values() -> dict[str, set[str]]:
    """Return the documented values of the attributes that have a few."""
    found: dict[str, set[str]] = {}
    for names, text in _table("Attributes"):
        for name in _names(names):
            found.setdefault(name, set()).update(_names(text))
    return found


def spans() -> dict[str, set[str]]:
    """Return the attributes of the documented spans."""
    return {_names(name)[0]: set(_names(text)) for name, _, text, _ in _table("Spans")}


def _common(name: str) -> set[str]:
    if name.startswith("db.client.connection."):
        return POOL
    return STORE if name.startswith(_OF_STORE) else set()


def _names(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def _table(title: str) -> Iterator[list[str]]:
    """Yield the cells of the rows of the first table below a heading."""
    part = PAGE.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]
    rows = [line for line in part.splitlines() if line.startswith("| ")]
    for row in rows[1:]:
        yield [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
