"""Run programs as their users do: in their own processes, which end with the test."""

import multiprocessing
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Final

import httpx

from tests import prepared

ADDRESS: Final = re.compile(r"http://127\.0\.0\.1:\d+")
TIMEOUT: Final = 30.0

#: The options of Python and of pytest that make warnings errors, except one that the project's own
#: tests ignore too: Starlette 1.0's test client, with a current anyio.
STRICTLY: Final = (
    "-W",
    "error",
    "-W",
    "ignore:The anyio.abc.BlockingPortal alias is deprecated:DeprecationWarning",
)


@contextmanager
def running(
    command: Sequence[str | Path], *, said: re.Pattern[str], **variables: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a program; yield it and its output that matches `said`; stop it, if needed by force.

    It gets no SESSION_* variables except the given ones.
    """
    with subprocess.Popen(
        command,
        env=unmeasured(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield process, _awaited(process.stdout, said)
        finally:
            process.terminate()
            try:
                output, _ = process.communicate(timeout=TIMEOUT)
            finally:
                process.kill()
    assert "Traceback" not in output, output


@contextmanager
def uvicorn(arguments: Sequence[str], *, said: re.Pattern[str], **variables: str) -> Iterator[str]:
    """Run `python -m uvicorn`; yield its output that matches `said`; stop it as `running` does.

    Its process is forked from one that has made the imports: they take more than half a second of
    processor time, and a hundred tests have a server of their own. It starts no others, as with
    `--workers`.
    """
    context = _forking()
    output, said_to = context.Pipe(duplex=False)
    process = context.Process(
        target=prepared.serve, args=(said_to, arguments, unmeasured(variables))
    )
    process.start()
    said_to.close()
    with output, os.fdopen(os.dup(output.fileno()), encoding="utf-8") as lines:
        try:
            yield _awaited(lines, said)
        finally:
            process.terminate()
            process.join(TIMEOUT)
            ended = not process.is_alive()
            process.kill()
            rest = lines.read()
    assert ended
    assert "Traceback" not in rest, rest


def pgsession(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m pgsession` to its end, in a process that is forked as those of `uvicorn`."""
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder)
        given = (said, arguments, environment(variables))
        process = _forking().Process(target=prepared.command, args=given)
        process.start()
        process.join()
        assert process.exitcode is not None
        output, errors = ((said / name).read_text("utf-8") for name in ("stdout", "stderr"))
        return subprocess.CompletedProcess(arguments, process.exitcode, output, errors)


@cache
def _forking() -> ForkServerContext:
    """Start the process that forks the others; it ends with this one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*prepared.IMPORTS, prepared.__name__])
    measured = os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    try:
        forkserver.ensure_running()
    finally:
        if measured is not None:
            os.environ["COVERAGE_PROCESS_CONFIG"] = measured
    return context


@contextmanager
def served(file: Path, **variables: str) -> Iterator[str]:
    """Serve the `app` of a file with uvicorn and yield its address."""
    arguments = ["--no-access-log", "--port", "0", "--app-dir", str(file.parent)]
    with uvicorn([*arguments, f"{file.stem}:app"], said=ADDRESS, **variables) as address:
        yield address


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment, with the SESSION_* variables of `variables` only."""
    ours = {name: text for name, text in os.environ.items() if not name.startswith("SESSION_")}
    return {**ours, **variables}


def unmeasured(variables: Mapping[str, str]) -> dict[str, str]:
    """Return that environment for a process whose coverage is not measured.

    That takes as long as its start. Other tests run the same lines in their own process.
    """
    result = environment(variables)
    result.pop("COVERAGE_PROCESS_CONFIG", None)
    return result


def eventually(holds: Callable[[], bool]) -> bool:
    """Wait until a condition holds; return False after the timeout."""
    deadline = time.monotonic() + TIMEOUT
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class Visitor:
    """A client that keeps cookies as browsers do.

    Python's cookie jars send no Secure cookie to http://127.0.0.1; browsers do.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self.cookies: dict[str, str] = {}

    @property
    def cookie_header(self) -> str:
        """The content of the Cookie header."""
        return "; ".join(f"{name}={content}" for name, content in self.cookies.items())

    def get(self, path: str = "/") -> httpx.Response:
        return self.request("GET", path)

    def post(self, path: str, **form: str) -> httpx.Response:
        return self.request("POST", path, form)

    def request(
        self, method: str, path: str, form: Mapping[str, str] = {}, **headers: str
    ) -> httpx.Response:
        """Send a request with the cookies and keep those of the response; follow no redirects."""
        headers = {name.replace("_", "-"): text for name, text in headers.items()}
        headers["Cookie"] = self.cookie_header
        response = httpx.request(method, self._address + path, data=form, headers=headers)
        for text in response.headers.get_list("set-cookie"):
            self._keep(text)
        return response

    def _keep(self, text: str) -> None:
        pair, _, attributes = text.partition(";")
        name, _, content = pair.partition("=")
        if "Max-Age=0;" in attributes:
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = content


def _awaited(lines: Iterable[str], said: re.Pattern[str]) -> str:
    output = ""
    for line in lines:
        output += line
        if match := said.search(line):
            return match[0]
    raise AssertionError(f"The program ended without saying {said.pattern}:\n{output}")
