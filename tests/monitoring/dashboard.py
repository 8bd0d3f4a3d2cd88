"""The dashboard of the example: its panels, and their queries as Grafana sends them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.monitoring.scene import EXAMPLE

FILE: Final = EXAMPLE / "grafana" / "dashboards" / "pgsession.json"
DASHBOARD: Final[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))

ROWS: Final = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]


@dataclass(frozen=True, slots=True)
class Query:
    """A query of a panel."""

    row: str
    panel: Mapping[str, Any]
    expression: str
    legend: str

    def __str__(self) -> str:
        return f"{self.row}: {self.panel['title']}: {self.legend}"

    def written(self, *, interval: str, job: str = ".+") -> str:
        """Return the expression with the variables that Grafana replaces."""
        return self.expression.replace("$__rate_interval", interval).replace("$job", job)

    def named(self, labels: Mapping[str, str]) -> str:
        """Return the name of a series in the legend."""
        name = self.legend
        for label in {*labels, "error_type"}:
            name = name.replace("{{" + label + "}}", labels.get(label, ""))
        return name.strip()


def queries() -> Iterator[Query]:
    """Yield every query of every panel, in the order of the panels."""
    row = ""
    for panel in DASHBOARD["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
        for target in panel.get("targets", []):
            yield Query(row, panel, target["expr"], target["legendFormat"])
