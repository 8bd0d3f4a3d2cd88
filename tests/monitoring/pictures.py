"""Makes the pictures in docs/operations/dashboards/: three minutes in which everything happens.

python -m tests.monitoring.pictures
"""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pgsession.postgres.embedded import embedded_server
from tests.monitoring.dashboard import ROWS, Query, queries
from tests.monitoring.drawing import Fault, Panel, Series, Story, draw
from tests.monitoring.playing import Crowd, Play
from tests.monitoring.prometheus import Prometheus
from tests.monitoring.scene import EXAMPLE, Pace, played
from tests.programs import eventually

PICTURES: Final = EXAMPLE.parents[1] / "docs" / "operations" / "dashboards"

#: What the dashboard's $__rate_interval is here: Grafana makes it four times the pause of scrapes.
INTERVAL: Final = "4s"

SETTINGS: Final = {
    "SESSION_POOL_SIZE": "2",
    "SESSION_TIMEOUT": "2",
    "SESSION_SWEEP_EVERY": "10s",
    "SESSION_ROTATE_EVERY": "15m",
}


class Teller:
    """Lets things go wrong, one after the other."""

    def __init__(self, play: Play, prometheus: Prometheus) -> None:
        self._play = play
        self._prometheus = prometheus
        self._faults: list[Fault] = []

    @contextmanager
    def told(self, name: str) -> Iterator[None]:
        """Note when a fault began and ended."""
        began = time.time()
        yield
        self._faults.append(Fault(name, began, time.time()))

    def tell(self) -> Story:
        """Let all of it happen, with calm between the faults; return what happened."""
        started = time.time()
        time.sleep(25)
        with self.told("many visitors"), Crowd(self._play, 12, 0.05):
            time.sleep(25)
        time.sleep(15)
        with self.told("forged cookies"):
            for _ in range(150):
                self._play.forge()
                time.sleep(0.05)
        time.sleep(15)
        with self.told("copied cookies, and logins that are revoked"):
            self._sign_in()
        time.sleep(15)
        with self.told("the database is away"), self._play.outage():
            time.sleep(15)
        time.sleep(25)
        with self.told("the table is locked"), self._play.locked():
            time.sleep(12)
            screenshot(f"http://{self._prometheus.address}/classic/alerts", "alerts.png")
        time.sleep(25)
        return Story(started, time.time(), self._faults)

    def _sign_in(self) -> None:
        for _ in range(5):
            for _ in range(10):
                self._play.stay("login")
            self._play.stay("login", "revoke")
            self._play.steal()
            time.sleep(2)
        self._play.expire()


def main() -> None:
    """Let it happen, and draw each row of the dashboard."""
    PICTURES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="pgsession-") as folder,
        embedded_server(Path(folder, "server")) as url,
        played(url, Path(folder), Pace("1s", "10s"), **SETTINGS) as (_, play, prometheus),
    ):
        assert eventually(lambda: prometheus.value("sum(up)") == 2)
        play.stay("visit", "read")
        with Crowd(play, 3, 0.1):
            story = Teller(play, prometheus).tell()
        for row in ROWS:
            text = draw(row, list(panels_of(row, prometheus, story)), story)
            (PICTURES / f"{row.lower().replace(' ', '-')}.svg").write_text(text, encoding="utf-8")


def screenshot(address: str, name: str) -> None:
    """Let Chromium take a picture of a page."""
    options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=960,600"]
    command = ["chromium", *options, f"--screenshot={PICTURES / name}", address]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def panels_of(row: str, prometheus: Prometheus, story: Story) -> Iterator[Panel]:
    """Yield the panels of a row, with what their queries return for this time."""
    shown: dict[str, list[Query]] = {}
    for query in queries():
        if query.row == row:
            shown.setdefault(query.panel["title"], []).append(query)
    for title, its in shown.items():
        panel = its[0].panel
        yield Panel(
            title=title,
            unit=panel["fieldConfig"]["defaults"]["unit"],
            is_number=panel["type"] == "stat",
            lines=[line for each in its for line in lines_of(each, prometheus, story)],
            **panel["gridPos"],
        )


def lines_of(query: Query, prometheus: Prometheus, story: Story) -> Iterator[Series]:
    """Yield the lines of one query; a value that is not a number is a gap."""
    expression = query.written(interval=INTERVAL)
    for found in prometheus.query_range(expression, start=story.start, end=story.end, step=1):
        points = [(at, float(value)) for at, value in found["values"] if value != "NaN"]
        if points:
            yield Series(query.named(found["metric"]), points)


if __name__ == "__main__":
    main()
