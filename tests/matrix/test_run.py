"""Rows and cells, with works that end in every way."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import psutil
import pytest

from tests.matrix.processes import environment, run
from tests.matrix.run import Run
from tests.matrix.table import NOTHING, Outcome, Part, Result
from tests.programs import eventually


def pass_it(url: str, log: Path) -> Result:
    assert not log.exists()
    return Result(Outcome.PASSED, url)


def break_it(url: str, log: Path) -> Result:
    log.write_text("output\n")
    raise RuntimeError(f"{url} is broken\nin two lines")


@contextmanager
def no_place() -> Iterator[str]:
    raise OSError("no server")
    yield ""


def test_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A cell that raises has failed, says where its log is, and the next one runs all the same."""
    part = Part("P", ("Server", "Mode"), ("One", "Two", "Three"))

    Run(tmp_path).add_row(part, ("1.2", "on"), nullcontext("the url"), [break_it, None, pass_it])

    (row,) = part.rows
    log = tmp_path / "server-1.2-on-one.log"
    assert row.results == (
        Result(Outcome.FAILED, "the url is broken", log),
        NOTHING,
        Result(Outcome.PASSED, "the url"),
    )
    assert log.read_text().startswith("output\nTraceback")
    assert f"(see {log})" in capsys.readouterr().out.splitlines()[0]


def test_no_place(tmp_path: Path) -> None:
    """If a server does not start, all cells of its row have failed."""
    part = Part("P", ("Server",), ("One", "Two"))

    Run(tmp_path).add_row(part, ("pg",), no_place(), [pass_it, pass_it])

    (row,) = part.rows
    assert (
        row.results == (Result(Outcome.FAILED, "no server", tmp_path / "server-pg-place.log"),) * 2
    )


def test_out_of_time(tmp_path: Path) -> None:
    """A process that takes too long is interrupted, and may end what it has started."""
    program = """
import signal
import time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
try:
    print("begun", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("tidied")
"""
    log, begun = tmp_path / "log", time.monotonic()

    assert run([sys.executable, "-c", program], log=log, timeout=1) is None

    assert log.read_text() == "begun\ntidied\n"
    assert time.monotonic() - begun < 30


def test_left_behind(tmp_path: Path) -> None:
    """What a process has left behind in its group ends with it."""
    program = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid)"
    log = tmp_path / "log"

    assert run([sys.executable, "-c", program], log=log, timeout=20) == 0

    number = int(log.read_text())
    assert eventually(lambda: has_ended(number))


def has_ended(number: int) -> bool:
    try:
        return psutil.Process(number).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process gets none of the variables that would change what a cell tries."""
    for name in ("SESSION_PREPARED", "PGSESSION_TEST_PREPARED", "PYTEST_ADDOPTS", "MAKEFLAGS"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("KEPT", "x")

    given = environment({"SESSION_TIMEOUT": "1"})

    assert {"KEPT": "x", "SESSION_TIMEOUT": "1"}.items() <= given.items()
    assert not {"SESSION_PREPARED", "PGSESSION_TEST_PREPARED", "PYTEST_ADDOPTS"} & given.keys()
