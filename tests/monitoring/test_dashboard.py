"""The dashboard and the alerts of the example, in a real Prometheus."""

import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.applications import SECRET
from tests.monitoring.dashboard import Query, queries
from tests.monitoring.prometheus import PROMTOOL, REASON, Prometheus
from tests.monitoring.scene import EXAMPLE
from tests.programs import Visitor, eventually, served

#: Panels that show 0 while all is well: nothing of this is played.
QUIET = {"Open streams"}


@pytest.mark.parametrize("query", list(queries()), ids=str)
def test_query(seen: Prometheus, query: Query) -> None:
    """Each query of the dashboard has figures, and not only zeros."""
    now = time.time()
    expression = query.written(interval="2s")
    lines = seen.query_range(expression, start=now - 60, end=now, step=0.5)
    values = [float(value) for line in lines for _, value in line["values"]]
    figures = [value for value in values if value == value]  # noqa: PLR0124 - no NaN

    assert figures
    assert query.panel["title"] in QUIET or max(figures) > 0


@pytest.mark.parametrize(
    "alert",
    [
        "SessionsUnavailable",
        "SessionWorkerDown",
        "SessionPoolExhausted",
        "SessionWaitsLong",
        "SessionCookiesRejected",
        "SessionCookieReused",
    ],
)
def test_alert(seen: Prometheus, alert: str) -> None:
    """The alert has fired when what it is for was played."""
    assert seen.has_fired(alert)


@pytest.mark.parametrize(
    ("counted", "number"),
    [
        ('pgsession_save_duration_seconds_count{pgsession_change="logout"}', 12),
        ('pgsession_cookies_rejected_total{pgsession_reason="signature"}', 40),
        ('pgsession_cookies_rejected_total{pgsession_reason="replaced"}', 1),
    ],
    ids=["logouts", "forged", "replaced"],
)
def test_workers(seen: Prometheus, counted: str, number: int) -> None:
    """The counters of the two workers add up to what the visitors did."""
    assert seen.value(f"max_over_time(sum({counted})[2m:500ms])") == number


def test_no_port(database_url: str, migrated_schema: str) -> None:
    """A worker that finds no port serves without metrics, and has them once a port is free."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        variables = {
            "METRICS_PORTS": str(port),
            "SESSION_DATABASE_URL": database_url,
            "SESSION_SCHEMA": migrated_schema,
            "SESSION_SECRET_KEY": SECRET,
        }
        with served(EXAMPLE / "app.py", **variables) as address:
            assert Visitor(address).get("/visit").json() == {"visits": 1}
            taken.close()
            assert eventually(lambda: "pgsession_sessions_revoked" in metrics_at(port))


def metrics_at(port: int) -> str:
    """Return the metrics of a worker, or nothing if none has this port."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/metrics").text
    except httpx.ConnectError:
        return ""


@pytest.mark.skipif(PROMTOOL is None, reason=REASON)
@pytest.mark.parametrize(
    "command",
    [
        ["check", "config", EXAMPLE / "prometheus.yml"],
        ["test", "rules", Path(__file__).with_name("alerts.yml")],
    ],
    ids=["config", "alerts"],
)
def test_promtool(command: list[str | Path]) -> None:
    """The configuration is valid, and the alerts fire for the series in alerts.yml alone."""
    done = subprocess.run(
        [PROMTOOL or "promtool", *command], check=False, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr
