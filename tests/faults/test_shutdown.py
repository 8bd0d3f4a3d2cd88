"""A server that is told to end, with requests and streams under way."""

import asyncio
import re
import signal
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen

import httpx
import pytest
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from tests.faults.site import SECRET
from tests.programs import ADDRESS, TIMEOUT, unmeasured
from tests.project.documents import Document

(STOPPING,) = Document("docs/operations/shutdown.md").programs

#: What makes the streams of the page end at the signal, and a way to leave it out.
LISTENING = "signal.signal(signal.SIGTERM, stop)"

STARTED = re.compile("Application startup complete")
SHUTTING_DOWN = re.compile("Shutting down")
STOPPED = re.compile("Application shutdown complete")

CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"


@pytest.fixture
def variables(database_url: str, migrated_schema: str) -> dict[str, str]:
    return {
        "SESSION_DATABASE_URL": make_conninfo(database_url, application_name=migrated_schema),
        "SESSION_SCHEMA": migrated_schema,
        "SESSION_SECRET_KEY": SECRET,
    }


class Server:
    """uvicorn in two processes, and what it has printed."""

    def __init__(self, process: Popen[str]) -> None:
        self.process = process
        self.output = ""

    def wait_for(self, pattern: re.Pattern[str], *, times: int = 1) -> str:
        """Read the output until it matches so often; return the last match."""
        assert self.process.stdout is not None
        while len(found := pattern.findall(self.output)) < times:
            line = self.process.stdout.readline()
            assert line, self.output
            self.output += line
        return str(found[-1])

    def wait(self) -> int:
        """Read the rest of the output, and return the exit status."""
        rest, _ = self.process.communicate(timeout=TIMEOUT)
        self.output += rest
        return self.process.returncode


@contextmanager
def serving(folder: Path, program: str, *, limit: float, **variables: str) -> Iterator[Server]:
    """Serve a program; end it with the block, if needed by force."""
    Path(folder, "stopping.py").write_text(program, encoding="utf-8")
    command = [sys.executable, "-m", "uvicorn", "--no-access-log", "--port", "0"]
    command += ["--timeout-graceful-shutdown", str(round(limit)), "--workers", "2"]
    command += ["--app-dir", str(folder), "stopping:app"]
    with Popen(
        command, env=unmeasured(variables), stdout=PIPE, stderr=STDOUT, text=True
    ) as process:
        try:
            yield Server(process)
        finally:
            process.terminate()
            try:
                process.wait(TIMEOUT)
            finally:
                process.kill()


async def begin_note(address: str, cookie: str) -> tuple[StreamReader, StreamWriter]:
    """Send a request without its body, and wait until the application asks for that."""
    port = int(address.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /note HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\n"
        b"Content-Length: 6\r\nCookie: " + cookie.encode() + b"\r\n\r\n"
    )
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    return reader, writer


@pytest.mark.parametrize("ends", [True, False], ids=["streams end", "streams are cancelled"])
async def test_streams(
    tmp_path: Path,
    variables: dict[str, str],
    table: Connection,
    migrated_schema: str,
    *,
    ends: bool,
) -> None:
    """At SIGTERM what is under way is answered and saved, and no connection is left.

    A stream that does not end by itself is cancelled at the server's limit, which is logged.
    """
    assert LISTENING in STOPPING
    program = STOPPING if ends else STOPPING.replace(LISTENING, "pass")
    with serving(tmp_path, program, limit=TIMEOUT if ends else 1, **variables) as server:
        address = await asyncio.to_thread(server.wait_for, ADDRESS)
        await asyncio.to_thread(server.wait_for, STARTED, times=2)
        async with httpx.AsyncClient(base_url=address, timeout=TIMEOUT) as client:
            first = await client.post("/note", content=b"first")
            cookie = first.headers["set-cookie"].partition(";")[0]
            async with client.stream("GET", "/events", headers={"cookie": cookie}) as stream:
                lines = stream.aiter_lines()
                assert await anext(lines) == ": open"
                reader, writer = await begin_note(address, cookie)

                server.process.send_signal(signal.SIGTERM)
                await asyncio.to_thread(server.wait_for, SHUTTING_DOWN, times=2)
                writer.write(b"second")
                answer = await reader.read()
                writer.close()
                await asyncio.to_thread(server.wait)

    assert answer.startswith(b"HTTP/1.1 200")
    assert server.process.returncode == 0
    assert len(STOPPED.findall(server.output)) == 2
    assert ("Traceback" in server.output) is not ends
    assert table.execute(CONNECTIONS, (migrated_schema,)).fetchone() == (0,)
    stored = {"note": "second", "left": "in peace"} if ends else {"note": "second"}
    assert table.execute("SELECT session_data FROM session").fetchall() == [(stored,)]
