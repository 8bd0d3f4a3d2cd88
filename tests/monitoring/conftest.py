"""A Prometheus that has seen the example work, and has seen it fail."""

from collections.abc import Callable, Iterator

import pytest

from tests.monitoring.playing import Play
from tests.monitoring.prometheus import PROGRAM, REASON, Prometheus
from tests.monitoring.scene import Pace, played
from tests.programs import eventually

#: Two scrapes a second, and alerts that look at the last seconds.
PACE = Pace(scrape="500ms", window="4s")

SETTINGS = {
    "SESSION_POOL_SIZE": "1",
    "SESSION_TIMEOUT": "1.2",
    "SESSION_SWEEP_EVERY": "1s",
    "SESSION_ROTATE_EVERY": "15m",
}


@pytest.fixture(scope="module")
def seen(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus after the end of the example, in which all happened that can be seen."""
    if PROGRAM is None:
        pytest.skip(REASON)
    folder = tmp_path_factory.mktemp("monitoring")
    with played(database_url, folder, PACE, **SETTINGS) as (example, play, prometheus):
        assert eventually(lambda: prometheus.value("sum(up)") == 2)
        visit(play)
        await_scrapes(prometheus)
        visit(play)
        break_all(play, prometheus)
        await_scrapes(prometheus)
        example.close()
        assert eventually(lambda: prometheus.value("sum(up)") == 0)
        assert eventually(lambda: prometheus.is_firing("SessionWorkerDown"))
        yield prometheus


def visit(play: Play) -> None:
    """Let visitors come and go."""
    for _ in range(6):
        play.stay("visit", "read", "login", "visit", "logout")


def break_all(play: Play, prometheus: Prometheus) -> None:
    """Do what the dashboard shows besides, and break all that an alert is for."""
    play.stay("login")
    play.stay("login", "revoke")
    play.steal()
    for _ in range(40):
        play.forge()
    play.stay("visit")
    play.expire()
    assert eventually(lambda: play.expired() == 0)
    guests = [play.stay("visit") for _ in range(3)]
    with play.outage():
        fail_until(prometheus, lambda: play.at_once("read", guests), "SessionsUnavailable")
    guests += [play.guest(), play.guest()]
    with play.locked():
        alerts = ("SessionPoolExhausted", "SessionWaitsLong")
        fail_until(prometheus, lambda: play.at_once("visit", guests), *alerts)


def fail_until(prometheus: Prometheus, send: Callable[[], list[int]], *alerts: str) -> None:
    """Send requests, all of which get a 503, until each of these alerts has fired."""

    def fire() -> bool:
        assert set(send()) == {503}
        return all(map(prometheus.has_fired, alerts))

    assert eventually(fire)


def await_scrapes(prometheus: Prometheus) -> None:
    """Wait until each worker has been scraped twice again."""
    scrapes = "sum(count_over_time(up[5m]))"
    due = prometheus.value(scrapes) + 4
    assert eventually(lambda: prometheus.value(scrapes) >= due)
