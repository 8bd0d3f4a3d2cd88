"""FastHTML changes Starlette's convertors in the whole process, and SQLAdmin fails beside it."""

import sys
from importlib.util import find_spec
from pathlib import Path
from subprocess import PIPE, STDOUT, run

import pytest

TESTS = Path(__file__).with_name("in_fasthtml.py")


@pytest.mark.skipif(find_spec("fasthtml") is None, reason="FastHTML is not installed")
def test_fasthtml() -> None:
    """The tests of FastHTML pass in a process of their own."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS)]

    ended = run(command, cwd=TESTS.parents[2], stdout=PIPE, stderr=STDOUT, text=True, check=False)

    assert ended.returncode == 0, ended.stdout
    assert "4 passed" in ended.stdout
