"""Processes of the matrix, which end in time and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]

#: Seconds to end in after a signal.
GRACE: Final = 30.0


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a process: of ours those that change no test, and the given ones.

    It imports the source of this working copy.
    """
    prefixes = ("SESSION_", "PGSESSION_", "MAKE", "MFLAGS", "PYTEST_", "COV_", "PYTHONPATH")
    ours = {name: text for name, text in os.environ.items() if not name.startswith(prefixes)}
    return {**ours, "PYTHONPATH": str(ROOT / "src"), **variables}


@contextmanager
def started(
    command: Sequence[str | Path], *, log: Path, variables: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that writes to a log; at the end, kill what is left of its group."""
    with (
        log.open("ab") as output,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # its group is its own
        ) as process,
    ):
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def run(
    command: Sequence[str | Path],
    *,
    log: Path,
    timeout: float,
    variables: Mapping[str, str] = {},
) -> int | None:
    """Run a process; return its exit code, or None if it had to be stopped.

    It is interrupted first, so that tests stop the servers that they have started.
    """
    with started(command, log=log, variables=variables) as process:
        try:
            return process.wait(timeout)
        except BaseException as error:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            if isinstance(error, subprocess.TimeoutExpired):
                return None
            raise
