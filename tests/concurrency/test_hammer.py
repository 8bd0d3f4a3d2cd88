"""Short runs of the hammer."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import unmeasured

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
    scale = ["--tasks", "8", "--changes", "30", "--no-rotations"]
    assert ", 0 lost" in hammer(database_url, *hammer_options, *scale, *mode)


def test_rotation(database_url: str, hammer_options: list[str]) -> None:
    """With rotation no browser is signed out, no number goes back, and no old copy is good."""
    printed = hammer(database_url, *hammer_options, "--tasks", "4", "--seconds", "3")

    assert ", 0 lost" in printed
    figures = re.search(
        r"(\d+) rotations, (\d+) cookies lost, (\d+) copies good, (\d+) refused", printed
    )
    assert figures is not None
    assert all(int(figure) > 0 for figure in figures.groups())


def test_users(database_url: str, hammer_options: list[str]) -> None:
    """What was signed out or revoked is signed in nowhere, and what is counted was there."""
    printed = hammer(database_url, *hammer_options, "--users", "--tasks", "4", "--seconds", "1.5")

    assert ", 0 lost" in printed
    figures = re.findall(r"(\d+) (?:[a-z_]+,|list$|sessions r|requests)", printed, re.MULTILINE)
    assert len(figures) == 9
    assert all(int(figure) > 0 for figure in figures)


def hammer(database_url: str, *options: str) -> str:
    """Run the hammer, and return what it printed."""
    scale = ["--processes", "3", "--sessions", "6"]
    hammered = subprocess.run(
        [sys.executable, HAMMER, "--database-url", database_url, *scale, *options],
        check=False,
        capture_output=True,
        env=unmeasured({}),
        text=True,
        timeout=120,
    )
    print(hammered.stdout)
    assert (hammered.returncode, hammered.stderr) == (0, "")
    return hammered.stdout
