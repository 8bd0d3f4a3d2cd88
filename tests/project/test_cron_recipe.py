"""The crontab of docs/reference/command-line.md, run as cron runs it."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.project.documents import Document

PAGE = Document("docs/reference/command-line.md").text

FAKE = """#!/bin/sh
echo "$SESSION_DATABASE_URL $1"
exit {code}
"""

URL = "postgresql://ann:a$b&c%20d@host/app"


def commands() -> list[str]:
    """Return the commands of the crontab, as the shell gets them."""
    lines = re.findall(r"^[\d*]+ [\d*]+ \* \* \*  +(.*)$", PAGE, re.MULTILINE)
    assert len(lines) == 2
    return lines


@pytest.mark.parametrize("code", [0, 1])
def test_crontab(tmp_path: Path, code: int) -> None:
    """Only a check that finds something prints anything; the file gives the variables."""
    program, file = tmp_path / "pgsession", tmp_path / "env"
    program.write_text(FAKE.format(code=code))
    program.chmod(0o700)
    file.write_text(f"SESSION_DATABASE_URL='{URL}'\n")

    printed = [
        subprocess.run(
            ["/bin/sh", "-c", command.replace("/etc/pgsession.env", str(file))],
            check=False,
            env={"PATH": f"{tmp_path}{os.pathsep}/usr/bin:/bin"},
            capture_output=True,
            text=True,
        )
        for command in commands()
    ]

    assert [each.stdout for each in printed] == ["", f"{URL} check\n" if code else ""]
    assert {each.stderr for each in printed} == {""}


def test_line_of_cron() -> None:
    """No command has a URL, which other users could read, or a percent sign: cron's line end."""
    assert not [each for each in commands() if "://" in each or "%" in each]
