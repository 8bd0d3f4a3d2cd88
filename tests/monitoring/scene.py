"""The example with two workers, its database, and a Prometheus that scrapes it."""

import random
import re
import secrets
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from pgsession.postgres.schema import migrate
from tests.monitoring.playing import Play
from tests.monitoring.prometheus import Prometheus, scraping
from tests.programs import ADDRESS, running

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "monitoring"

#: The times of prometheus.yml and alerts.yml, and those that take their place.
_WINDOW: Final = re.compile(r"\[\d+[mh]\]")
_FOR: Final = re.compile(r"(?<=for: )\d+m")

_END = """
WITH its AS MATERIALIZED (SELECT pid FROM pg_stat_activity WHERE application_name = %s)
SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 5000)) FROM its
"""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast Prometheus goes; the shipped files have seconds and minutes."""

    #: The time between two scrapes.
    scrape: str
    #: The time over which the alerts look.
    window: str


@contextmanager
def played(
    url: str, folder: Path, pace: Pace, **settings: str
) -> Iterator[tuple[ExitStack, Play, Prometheus]]:
    """Run the example and Prometheus; yield also what ends the example before Prometheus."""
    schema = f"pgsession_test_{secrets.token_hex(8)}"
    migrate(url, schema=schema)
    ports = free_ports(2)
    hasten(folder, pace, ports)
    variables = {
        "METRICS_PORTS": ",".join(ports),
        "PGSERVICEFILE": str(folder / "services.conf"),
        "SESSION_DATABASE_URL": f"service=movable application_name={schema}",
        "SESSION_SCHEMA": schema,
        "SESSION_SECRET_KEY": secrets.token_urlsafe(48),
        **settings,
    }
    command = [sys.executable, "-m", "uvicorn", "--no-access-log", "--port", "0", "--workers", "2"]
    command += ["--app-dir", str(EXAMPLE), "app:app"]
    with (
        psycopg.connect(url, options=f"-csearch_path={schema}", autocommit=True) as table,
        scraping(folder) as prometheus,
        ExitStack() as stack,
    ):

        def point(*, there: bool) -> None:
            where = conninfo_to_dict(url) if there else {"host": str(folder), "port": 1}
            lines = [f"{name}={value}" for name, value in where.items() if value is not None]
            text = "\n".join(["[movable]", *lines, ""])
            (folder / "services.conf").write_text(text, encoding="utf-8")

        point(there=True)
        _, address = stack.enter_context(running(command, said=ADDRESS, **variables))
        play = Play(address, table, point, lambda: table.execute(_END, (schema,)))
        yield stack, play, prometheus
        stack.close()
        table.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))


def hasten(folder: Path, pace: Pace, ports: list[str]) -> None:
    """Copy the configuration and the alerts of the example, for this pace and these ports."""
    alerts = (EXAMPLE / "alerts.yml").read_text(encoding="utf-8")
    alerts = _FOR.sub("0s", _WINDOW.sub(f"[{pace.window}]", alerts))
    (folder / "alerts.yml").write_text(alerts, encoding="utf-8")
    text = (EXAMPLE / "prometheus.yml").read_text(encoding="utf-8")
    for old, new in {"15s": pace.scrape, "9464": ports[0], "9465": ports[1]}.items():
        assert old in text, f"prometheus.yml has no {old}"
        text = text.replace(old, new)
    (folder / "prometheus.yml").write_text(text, encoding="utf-8")


def free_ports(number: int) -> list[str]:
    """Return ports of this machine that are free, none of those that the system gives out."""
    found: list[str] = []
    while len(found) < number:
        port = random.randrange(20_000, 32_000)  # noqa: S311 - any free port will do
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) and str(port) not in found:
                found.append(str(port))
    return found
