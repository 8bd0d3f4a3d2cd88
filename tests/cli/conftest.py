"""The commands of operators, run in this process or in a terminal, and rows for them."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import pytest
from psycopg import Connection
from psycopg.types.json import Jsonb

from pgsession.__main__ import main
from tests.programs import environment

ROW: Final = """
INSERT INTO session (
    session_key, expire_date, user_id, login_number, login_on, login_label, login_actor,
    login_client
)
VALUES (%s, now() + make_interval(secs => %s), %s, 1, now(), %s, %s, %s)
"""


class Done(NamedTuple):
    """What a command has printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON document on stdout."""
        return json.loads(self.out)


Operate = Callable[..., Done]
SignIn = Callable[..., None]
Terminal = Callable[..., str]


@pytest.fixture
def surroundings(database_url: str, migrated_schema: str) -> dict[str, str]:
    """The environment variables with which a command finds the table."""
    return {"SESSION_DATABASE_URL": database_url, "SESSION_SCHEMA": migrated_schema}


@pytest.fixture
def operate(
    surroundings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Operate:
    """Runs a command in this process, without a terminal."""

    def run(*arguments: str, **variables: str) -> Done:
        with monkeypatch.context() as patch:
            for name, text in {**surroundings, **variables}.items():
                patch.setenv(name, text)
            patch.setattr(sys, "argv", ["pgsession", *arguments])
            with pytest.raises(SystemExit) as caught:
                main()
        said = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        assert "Traceback" not in said.err
        return Done(caught.value.code, said.out, said.err)

    return run


@pytest.fixture
def sign_in(table: Connection) -> SignIn:
    """Inserts a session of a user, with any texts."""

    def insert(
        handle: str,
        user: str | None = "ann",
        *,
        seconds: float = 3600,
        label: str | None = None,
        actor: str | None = None,
        **client: str,
    ) -> None:
        recorded = Jsonb(client) if client else None
        table.execute(ROW, (handle, seconds, user, label, actor, recorded))

    return insert


@pytest.fixture
def terminal(surroundings: dict[str, str]) -> Terminal:
    """Runs a command on a terminal of some width, types the answer; returns what it shows."""

    def run(*arguments: str, answer: str = "", code: int = 0, width: int = 80, **more: str) -> str:
        watched, inner = pty.openpty()
        variables = {**surroundings, "COLUMNS": str(width), "TERM": "xterm", **more}
        shown = b""
        with subprocess.Popen(
            [sys.executable, "-m", "pgsession", *arguments],
            env=environment(variables),
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
        ) as process:
            os.close(inner)
            os.write(watched, answer.encode())
            try:
                while part := os.read(watched, 100_000):
                    shown += part
            except OSError:  # on Linux, the end: nobody has the other side open
                pass
            os.close(watched)
        assert process.returncode == code, shown
        return shown.decode().replace("\r\n", "\n")

    return run
