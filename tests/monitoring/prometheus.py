"""A real Prometheus, for as long as a test runs."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from tests.programs import running

PROGRAM: Final = shutil.which("prometheus")
PROMTOOL: Final = shutil.which("promtool")

#: Why the tests are skipped without them. .ci/run installs both, so CI skips nothing.
REASON: Final = "no prometheus with its promtool here: install Debian's"

_ADDRESS: Final = re.compile(r'(?<=msg="Listening on" address=)127\.0\.0\.1:\d+')

Result = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Prometheus:
    """The HTTP API of a Prometheus server."""

    address: str

    def query(self, expression: str) -> Result:
        """Return the series of an expression at this moment."""
        return self._get("query", query=expression)

    def query_range(self, expression: str, *, start: float, end: float, step: float) -> Result:
        """Return the series of an expression between two times, in seconds of the epoch."""
        times = {"start": str(start), "end": str(end), "step": str(step)}
        return self._get("query_range", query=expression, **times)

    def value(self, expression: str) -> float:
        """Return the value of an expression that has one series; 0 if it has none."""
        result = self.query(expression)
        assert len(result) <= 1, result
        return float(result[0]["value"][1]) if result else 0.0

    def is_firing(self, alert: str) -> bool:
        """Return whether an alert fires at this moment."""
        return bool(self.query(f'ALERTS{{alertname="{alert}", alertstate="firing"}}'))

    def has_fired(self, alert: str) -> bool:
        """Return whether an alert has fired at any moment of the last two minutes."""
        fired = f'count_over_time(ALERTS{{alertname="{alert}", alertstate="firing"}}[2m])'
        return bool(self.query(fired))

    def _get(self, endpoint: str, **parameters: str) -> Result:
        response = httpx.post(f"http://{self.address}/api/v1/{endpoint}", data=parameters)
        answer = response.json()
        assert answer["status"] == "success", (parameters["query"], answer)
        result: Result = answer["data"]["result"]
        return result


@contextmanager
def scraping(folder: Path) -> Iterator[Prometheus]:
    """Run Prometheus on a free port of this machine; a folder has its prometheus.yml."""
    command: list[str | Path] = [
        "env",
        "-C",
        folder,
        PROGRAM or "prometheus",
        "--config.file=prometheus.yml",
    ]
    command += ["--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0"]
    with running(command, said=_ADDRESS) as (_, address):
        yield Prometheus(address)
