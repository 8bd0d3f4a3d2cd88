"""The commands in a shell: completion, and a reader that goes away."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from psycopg import Connection

from tests.programs import environment

COMPLETE = """
set -o pipefail
eval "$(_PGSESSION_COMPLETE=bash_source pgsession)"
COMP_WORDS=(pgsession $1) COMP_CWORD=1
_pgsession_completion pgsession
echo "${COMPREPLY[@]}"
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH on which the script is."""
    script = tmp_path / "pgsession"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pgsession "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_completion(path: str) -> None:
    """Bash completes the commands, and asks no database."""
    done = subprocess.run(
        ["/usr/bin/env", "bash", "-c", COMPLETE, "bash", "s"],
        check=True,
        env=environment({"PATH": path}),
        capture_output=True,
        text=True,
    )

    assert done.stdout.split() == ["secret", "stats", "sweep"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_head(path: str, surroundings: dict[str, str], table: Connection) -> None:
    """A reader that goes away, as `head` does, causes no traceback."""
    table.execute(
        "INSERT INTO session (session_key, expire_date, user_id) "
        "SELECT n::text, now() + interval '1 hour', 'ann' FROM generate_series(1, 3000) AS n"
    )
    done = subprocess.run(
        ["/usr/bin/env", "bash", "-c", "pgsession devices ann | head -1"],
        check=True,
        env=environment({**surroundings, "PATH": path}),
        capture_output=True,
        text=True,
    )

    assert done.stdout.startswith("HANDLE ")
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(
    ("output", "said"),
    [
        pytest.param(">/dev/full", "Error: The output cannot be written: ", id="full"),
        pytest.param(">&-", "Error: stdout is closed. Nothing was done. ", id="closed"),
    ],
)
def test_no_output(path: str, surroundings: dict[str, str], output: str, said: str) -> None:
    """If the output cannot be written, one line says so, and the exit code is 1."""
    done = subprocess.run(
        ["/bin/sh", "-c", f"pgsession devices ann {output}"],
        check=False,
        env=environment({**surroundings, "PATH": path}),
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1


def test_encoding(path: str, surroundings: dict[str, str], table: Connection) -> None:
    """What the encoding of the output lacks is printed as an escape."""
    table.execute(
        "INSERT INTO session (session_key, expire_date, user_id, login_label) "
        "VALUES ('a', now() + interval '1 hour', 'ann', 'gr\u00fcn \u20ac')"
    )
    variables = {**surroundings, "PATH": path, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(
        ["/usr/bin/env", "pgsession", "devices", "ann"],
        check=True,
        env=environment(variables),
        capture_output=True,
        encoding="latin-1",
    )

    assert r"grün \u20ac" in done.stdout.encode("latin-1").decode("latin-1")
