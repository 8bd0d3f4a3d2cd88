"""`make demo`: it signs in, counts, continues after a restart, and leaves no process running."""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from websockets.sync.client import connect

from tests.programs import ADDRESS, TIMEOUT, Visitor, eventually, running, unmeasured

ROOT = Path(__file__).parents[2]

Demo = AbstractContextManager[tuple[subprocess.Popen[str], str]]


@pytest.fixture
def demo() -> Iterator[Path]:
    """The demo in its own folder, which the account of the server can access."""
    with TemporaryDirectory(prefix="pgsession-") as folder:
        shutil.copytree(ROOT / "examples", Path(folder, "examples"))
        yield Path(folder, "examples", "demo.py")


def start(demo: Path, **variables: str) -> Demo:
    return running([sys.executable, demo], said=ADDRESS, **variables)


def visits(visitor: Visitor) -> str:
    match = re.search(r'id="visits">(\d+)<', visitor.get("/counter").text)
    assert match is not None
    return match[1]


def end(process: subprocess.Popen[str], number: signal.Signals) -> int:
    process.send_signal(number)
    return process.wait(TIMEOUT)


def left_behind(demo: Path) -> list[str]:
    """Return the command lines of processes that still run in the demo's folder."""
    tree = str(demo.parents[1])
    return [
        str(process.info["cmdline"])
        for process in psutil.process_iter(["cmdline"])
        if any(tree in argument for argument in process.info["cmdline"] or ())
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_counts_on_after_restart(demo: Path, number: signal.Signals) -> None:
    """A signal stops the demo and PostgreSQL with exit code 0; the next demo continues counting."""
    with start(demo) as (process, address):
        visitor = Visitor(address)
        assert [visits(visitor), visits(visitor)] == ["1", "2"]
        assert end(process, number) == 0
    assert left_behind(demo) == []

    with start(demo) as (process, address):
        after = Visitor(address)
        after.cookies = visitor.cookies
        assert visits(after) == "3"
        assert end(process, number) == 0
    assert left_behind(demo) == []


def register(visitor: Visitor) -> None:
    enter(visitor, "/register", "ann", "correct horse")


def enter(visitor: Visitor, form: str, name: str, password: str) -> None:
    token = re.search(r'name="token" value="([^"]+)"', visitor.get(form).text)
    assert token is not None
    visitor.post(form, token=token[1], name=name, password=password)
    assert "Your devices" in visitor.get("/").text


def test_signed_in(demo: Path) -> None:
    """The page at / signs a new user in; the visits that were counted before are not lost."""
    with start(demo) as (_, address):
        visitor = Visitor(address)
        visits(visitor)
        register(visitor)
        assert visits(visitor) == "2"


def test_admin(demo: Path) -> None:
    """The administrator signs in with the password in .demo/, which only the owner can read."""
    with start(demo) as (_, address):
        kept = demo.parents[1] / ".demo" / "admin-password"
        visitor = Visitor(address)
        enter(visitor, "/sign-in", "admin", kept.read_text())
        assert "Who is signed in" in visitor.get("/users").text
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_log_of_admin(demo: Path) -> None:
    """The demo prints which administrator has ended how many sessions of whom."""
    with start(demo) as (process, address):
        register(Visitor(address))
        admin = Visitor(address)
        password = (demo.parents[1] / ".demo" / "admin-password").read_text()
        enter(admin, "/sign-in", "admin", password)
        user = re.search(r'href="(/users/[0-9a-f]+)">ann<', admin.get("/users").text)
        assert user is not None
        token = re.search(r'name="token" value="([^"]+)"', admin.get(user[1]).text)
        assert token is not None
        admin.post(f"{user[1]}/end-all", token=token[1])
        assert end(process, signal.SIGINT) == 0
        assert process.stdout is not None
        line = rf" INFO \w+ has signed 1 devices of {user[1].removeprefix('/users/')} out\.\n"
        assert len(re.findall(line, process.stdout.read())) == 1


def test_open_page(demo: Path) -> None:
    """Ctrl-C stops the demo while a page with its WebSocket is open."""
    with start(demo) as (process, address):
        visitor = Visitor(address)
        register(visitor)
        cookie = {"Cookie": visitor.cookie_header}
        badge = address.replace("http", "ws", 1) + "/badge"
        with connect(badge, additional_headers=cookie) as socket:
            assert socket.ping().wait(TIMEOUT)
            assert end(process, signal.SIGINT) == 0
    assert left_behind(demo) == []


def test_secret_is_private(demo: Path) -> None:
    """Only the owner can read the generated secret."""
    with start(demo):
        secret = demo.parents[1] / ".demo" / "secret"
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert [path.name for path in secret.parent.glob("secret*")] == ["secret"]


def test_two_at_once(demo: Path) -> None:
    """A second demo shares the server and the secret with the first, and runs on after it."""
    with start(demo) as (first, address):
        visitor = Visitor(address)
        visits(visitor)
        with start(demo) as (second, other):
            beside = Visitor(other)
            beside.cookies = visitor.cookies
            assert end(first, signal.SIGINT) == 0
            assert visits(beside) == "2"
            assert end(second, signal.SIGINT) == 0
    assert left_behind(demo) == []


@pytest.mark.parametrize("moment", ["18.draft", "18/postmaster.pid", "secret"])
def test_ended_while_starting(demo: Path, moment: str) -> None:
    """Repeated Ctrl-C at any moment of the first start leaves no process running.

    A terminal sends it to every process in the foreground, so the demo gets its own group.
    """
    awaited = demo.parents[1] / ".demo" / moment
    command: list[str | Path] = [sys.executable, demo]
    with subprocess.Popen(command, env=unmeasured({}), start_new_session=True) as process:
        assert eventually(awaited.exists)
        while process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
    assert process.returncode == 0
    assert left_behind(demo) == []


def test_named_server(demo: Path, database_url: str, schema: str) -> None:
    """With SESSION_DATABASE_URL and SESSION_SCHEMA, the demo uses that server and that schema."""
    with start(demo, SESSION_DATABASE_URL=database_url, SESSION_SCHEMA=schema) as (_, address):
        assert visits(Visitor(address)) == "1"
    assert not (demo.parents[1] / ".demo" / "18").exists()
    with psycopg.connect(database_url) as connection:
        [(table,)] = connection.execute("SELECT to_regclass(%s)::text", [f"{schema}.session"])
    assert table == f"{schema}.session"


def test_named_server_down(demo: Path) -> None:
    """An unreachable server gives one line and exit code 1."""
    url = make_conninfo(host="127.0.0.1", port=1, dbname="app")
    done = subprocess.run(
        [sys.executable, demo],
        check=False,
        capture_output=True,
        env=unmeasured({"SESSION_DATABASE_URL": url}),
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: PostgreSQL cannot be reached")
    assert "Traceback" not in done.stderr
