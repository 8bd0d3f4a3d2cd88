"""A server for the faults that pass, and a table of what each of them did to a site."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.servers import Server, new_server
from tests.faults.site import Observations

#: What each fault did: its name, the observations, the seconds to heal, and what else to tell.
_ROWS = pytest.StashKey[list[str]]()


class Report:
    """What a test has to say of its fault, for the table at the end."""

    def __init__(self, fault: str, rows: list[str]) -> None:
        self._fault = fault
        self._rows = rows
        self.seen = Observations()
        self.healed: float | None = None
        self.remark = ""

    def write(self) -> None:
        """Put it into the table."""
        healed = "" if self.healed is None else f"{self.healed:.2f} s"
        seen = self.seen
        counts = f"{len(seen.statuses):>6} {seen.refused:>5}"
        self._rows.append(
            f"{self._fault:<44} {counts} {seen.longest:>7.2f} s {healed:>8}  {self.remark}".rstrip()
        )


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server that tests leave as they found it."""
    with (
        tempfile.TemporaryDirectory(prefix="pgsession-") as folder,
        new_server(Path(folder, "server")) as it,
    ):
        yield it


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Iterator[Report]:
    """What this test has to say for the table."""
    fault = request.node.name.removeprefix("test_").replace("_", " ")
    it = Report(fault, request.config.stash.setdefault(_ROWS, []))
    yield it
    it.write()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the table."""
    rows = config.stash.get(_ROWS, [])
    if rows:
        terminalreporter.section("faults")
        terminalreporter.line(f"{'fault':<44} {'asked':>6} {'503':>5} {'longest':>9} {'healed':>8}")
        for row in rows:
            terminalreporter.line(row)
