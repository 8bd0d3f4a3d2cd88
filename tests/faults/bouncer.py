"""A PgBouncer, started by the tests."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.faults.servers import Server, free_port, prepared_folder

#: The variable that names another program than the installed one.
VARIABLE = "PGSESSION_TEST_PGBOUNCER"

#: Debian installs it in a folder that only root has in its PATH.
PROGRAM = (
    os.environ.get(VARIABLE)
    or shutil.which("pgbouncer")
    or shutil.which("pgbouncer", path="/usr/sbin")
)

#: From this version on a setting says how many prepared statements it supports.
MEASURED = (1, 21)

#: How many connections to the server it keeps. In session mode each client holds one.
SIZES = {"session": 30, "transaction": 3}

_CONFIGURATION = """
[databases]
postgres = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 200
logfile = {folder}/log
{more}
"""


def version(program: str | Path | None = PROGRAM) -> tuple[int, ...]:
    """Return the version of a program."""
    assert program is not None
    said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True)
    match = re.search(r"(\d+)\.(\d+)", said.stdout)
    assert match is not None
    return tuple(map(int, match.groups()))


@contextmanager
def bouncer(
    server: Server,
    folder: Path,
    *,
    prepared: bool,
    program: str | Path | None = PROGRAM,
    mode: str = "transaction",
    more: str = "",
) -> Iterator[str]:
    """Run a PgBouncer in front of a server; yield its conninfo.

    `more` is added to its configuration.
    """
    assert program is not None
    prepared_folder(folder)
    port = free_port()
    if version(program) >= MEASURED:
        more += f"\nmax_prepared_statements = {100 if prepared else 0}"
    configuration = folder / "pgbouncer.ini"
    (folder / "users").write_text('"postgres" ""')
    configuration.write_text(
        _CONFIGURATION.format(
            server=server.port,
            port=port,
            mode=mode,
            size=SIZES[mode],
            folder=folder,
            more=more,
        )
    )
    owner, is_root = folder.stat(), os.geteuid() == 0
    with subprocess.Popen(
        [program, "-q", configuration],
        stderr=subprocess.DEVNULL,
        user=owner.st_uid if is_root else None,
        group=owner.st_gid if is_root else None,
        extra_groups=[] if is_root else None,
    ) as process:
        try:
            _wait_for(port)
            yield server.conninfo(port=port)
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()  # from 1.23 on it waits for its clients


def _wait_for(port: int) -> None:
    """Wait until a port accepts connections."""
    due = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < due, "nobody listens there"
            time.sleep(0.01)
        else:
            return
