"""The results as JSON, as tables and as a plot."""

import json
import platform
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import psycopg

from benchmarks import tables
from benchmarks.measure import Part
from benchmarks.plot import plot
from benchmarks.servers import Places

PACKAGES = ("pgsession", "starlette", "uvicorn", "uvloop", "psycopg", "psycopg-pool")
REDIS_PACKAGES = ("starsessions", "redis", "hiredis")


@dataclass(slots=True)
class Results:
    """The results of each part, from this run or an earlier one, with its environment."""

    parts: dict[str, Part] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path | None) -> "Results":
        """Return the results in the folder; parts that are not measured now are kept."""
        file = None if folder is None else folder / "results.json"
        if file is None or not file.exists():
            return cls()
        document = json.loads(file.read_text())
        parts = {name: Part.from_json(part) for name, part in document["parts"].items()}
        return cls(parts, document["runs"])

    def add(self, name: str, part: Part, places: Places, *, busy: float) -> None:
        """Replace the results of a part. `busy` is the CPU load before it, in percent."""
        self.parts[name] = part
        self.runs[name] = {
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "rounds": part.rounds,
            "busy_before": busy,
            **_environment(places),
        }

    def save(self, folder: Path | None) -> None:
        """Write results.json, results.md and plot.svg."""
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        parts = {name: part.as_json() for name, part in self.parts.items()}
        text = json.dumps({"runs": self.runs, "parts": parts}, default=round)
        (folder / "results.json").write_text(text + "\n")
        (folder / "results.md").write_text(self.text())
        if "apps" in self.parts:
            (folder / "plot.svg").write_text(plot(self.parts["apps"]))

    def text(self) -> str:
        """Return the tables, in Markdown."""
        return tables.document(self.parts, self.runs)


def _environment(places: Places) -> dict[str, Any]:
    with psycopg.connect(places.postgres) as connection:
        settings = {
            name: connection.execute(f"SHOW {name}".encode()).fetchone()[0]  # type: ignore[index]
            for name in ("server_version", "fsync", "synchronous_commit", "shared_buffers")
        }
    return {
        "python": platform.python_version(),
        "cores": psutil.cpu_count(),
        "postgres": settings,
        "packages": {name: version(name) for name in (*PACKAGES, *REDIS_PACKAGES)},
    }
