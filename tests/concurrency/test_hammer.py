"""A short run of the hammer."""

import subprocess
import sys
from pathlib import Path

import pytest

HAMMER = Path(__file__).with_name("hammer.py")


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param(["--no-renewals", "--no-logouts"], id="changes alone"),
        pytest.param(["--renewals", "--logouts"], id="renewals and logouts"),
    ],
)
def test_nothing_is_lost(database_url: str, hammer_options: list[str], mode: list[str]) -> None:
    """Several processes that share sessions lose no acknowledged change."""
    scale = ["--processes", "3", "--tasks", "8", "--sessions", "6", "--changes", "30"]
    options = ["--database-url", database_url, *hammer_options]
    hammered = subprocess.run(
        [sys.executable, HAMMER, *options, *scale, *mode],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    print(hammered.stdout)
    assert (hammered.returncode, hammered.stderr) == (0, "")
    assert ", 0 lost" in hammered.stdout
