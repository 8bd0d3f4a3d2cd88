"""A server that the tests share, and a table of the effects of each fault."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.servers import Server, new_server
from tests.faults.site import Observations

#: The rows of the table: fault, observations, seconds until recovery, and a remark.
_ROWS = pytest.StashKey[list[str]]()


class Report:
    """The results of one test, for the table at the end."""

    def __init__(self, fault: str, rows: list[str]) -> None:
        self._fault = fault
        self._rows = rows
        self.seen = Observations()
        self.healed: float | None = None
        self.remark = ""

    def write(self) -> None:
        """Add the results to the table."""
        healed = "" if self.healed is None else f"{self.healed:.2f} s"
        seen = self.seen
        counts = f"{len(seen.statuses):>6} {seen.refused:>5}"
        self._rows.append(
            f"{self._fault:<44} {counts} {seen.longest:>7.2f} s {healed:>8}  {self.remark}".rstrip()
        )


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server that each test leaves as it was."""
    with (
        tempfile.TemporaryDirectory(prefix="pgsession-") as folder,
        new_server(Path(folder, "server")) as it,
    ):
        yield it


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Iterator[Report]:
    """The results of this test, for the table."""
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
