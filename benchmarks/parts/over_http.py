"""Part 2: each peer as a server in one process, some in two, and connect-pg-simple on Node."""

import asyncio
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from benchmarks.measure import Part, Sample, Trial, alternate, said
from benchmarks.options import FOLDER, Options
from benchmarks.peers.apps import PEERS, WORKS, available
from benchmarks.servers import TIMEOUT, Places, process_cpu, schema
from benchmarks.values import VALUE

LOAD = 64

#: The peers that are measured in two processes too: a dict is of one process, and the others would
#: show the same again.
IN_TWO = ("bare", "cookie", "redis", "ours")

#: The kinds of requests to two processes, by those to one.
TWICE = {work: f"{work}, 2 workers" for work in WORKS}
NODE = {
    "node": "Node, connect-pg-simple",
    "node-untouched": "Node, connect-pg-simple, disableTouch",
}

#: In process it shows what batches do; behind a server it would show the same again.
LEFT_OUT = ("naive",)

#: A separate schema, because connect-pg-simple's table has the same name as ours.
NODE_SCHEMA = "pgsession_bench_node"


@dataclass(frozen=True, slots=True)
class Serving:
    """A running server, and the file with the cookies of its sessions."""

    port: int
    processes: tuple[int, ...]
    cookies: Path


async def measure(places: Places, options: Options) -> Part:
    """Start all servers, then measure them in turn."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pgsession-")))
        no_cookies = folder / "no-cookies"
        no_cookies.touch()
        trials: list[Trial] = []
        stack.enter_context(schema(places.postgres, NODE_SCHEMA, empty=True))
        for name, command, environment in _commands(places):
            cookies = folder / name
            one = stack.enter_context(_server(command, environment, cookies))
            cookies.write_text("\n".join(_sessions(one.port, min(options.sessions, 2_000))))
            trials += _trials(name, one, no_cookies, {work: work for work in WORKS})
            if name in IN_TWO:
                two = stack.enter_context(_workers(command, environment, cookies))
                trials += _trials(name, two, no_cookies, TWICE)
        seconds = max(1.0, round(options.seconds * 4))
        rounds = min(options.rounds, 5)
        cells = await alternate(trials, rounds=rounds, seconds=seconds)
    titles = {name: peer.title for name, peer in PEERS.items()} | NODE
    facts = {"titles": titles, "generator": "wrk" if shutil.which("wrk") else "Python"}
    return Part(cells, facts, said(rounds, seconds))


def _trials(name: str, serving: Serving, no_cookies: Path, works: dict[str, str]) -> list[Trial]:
    """Return a trial for each kind of request, under the name that it has in the results."""
    bare = replace(serving, cookies=no_cookies)
    return [
        Trial(name, said, LOAD, partial(_run, bare if work == "none" else serving, f"/{work}"))
        for work, said in works.items()
    ]


def _commands(places: Places) -> Iterator[tuple[str, list[str], dict[str, str]]]:
    ours = {"BENCH_POSTGRES": places.postgres}
    if places.redis is not None:
        ours["BENCH_REDIS"] = places.redis
    for name, peer in available(places).items():
        if peer.works == WORKS and name not in LEFT_OUT:
            yield name, [sys.executable, "-m", "benchmarks.peers.serve", name], ours
    if node := _node():
        pool = _node_pool(places.in_schema(NODE_SCHEMA).postgres)
        for name, touch in zip(NODE, "10", strict=True):
            environment = {"BENCH_NODE_POOL": pool, "BENCH_NODE_TOUCH": touch}
            environment["BENCH_VALUE"] = json.dumps(VALUE)
            environment["NODE_ENV"] = "production"
            yield name, [node, str(FOLDER / "node" / "server.js")], environment


def _node() -> str | None:
    """Return the path of Node, or None; install the packages that the server needs."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    if not (FOLDER / "node" / "node_modules" / "connect-pg-simple").is_dir():
        command = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(command, cwd=FOLDER / "node", check=True)
    return node


def _node_pool(conninfo: str) -> str:
    given = conninfo_to_dict(conninfo)
    names = {"dbname": "database"}
    return json.dumps({names.get(name, name): value for name, value in given.items()})


@contextmanager
def _workers(command: list[str], environment: dict[str, str], cookies: Path) -> Iterator[Serving]:
    """Run a server in two processes that share a port."""
    with (
        _server(command, environment, cookies) as one,
        _server([*command, str(one.port)], environment, cookies) as other,
    ):
        yield replace(one, processes=one.processes + other.processes)


@contextmanager
def _server(command: list[str], environment: dict[str, str], cookies: Path) -> Iterator[Serving]:
    """Run a server, which prints its port when it is ready."""
    with subprocess.Popen(
        command,
        cwd=FOLDER.parent,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None  # noqa: S101
        try:
            yield Serving(int(process.stdout.readline()), (process.pid,), cookies)
        finally:
            process.terminate()
            try:
                process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()


def _sessions(port: int, count: int) -> list[str]:
    """Begin sessions; return their cookies."""
    cookies: list[str] = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    for _ in range(count):
        connection.request("GET", "/start")
        response = connection.getresponse()
        response.read()
        if cookie := response.getheader("Set-Cookie"):
            cookies.append(cookie.split(";")[0])
    connection.close()
    return cookies


async def _run(serving: Serving, path: str, seconds: float) -> Sample:
    whole = max(1, round(seconds))
    if wrk := shutil.which("wrk"):
        url = f"http://127.0.0.1:{serving.port}"
        command = [wrk, "-t1", f"-c{LOAD}", f"-d{whole}s", "-s", str(FOLDER / "load.lua"), url]
        command += ["--", path, str(serving.cookies)]
    else:
        command = [sys.executable, "-m", "benchmarks.load", str(serving.port), path]
        command += [str(serving.cookies), str(LOAD), str(whole)]
    cpu = process_cpu(*serving.processes)
    before = cpu()
    process = await asyncio.create_subprocess_exec(
        *command, cwd=FOLDER.parent, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    used = cpu() - before
    found = json.loads(output.decode().partition("RESULT ")[2])
    if found["failed"] or not found["requests"]:
        raise RuntimeError(f"{path}: {found}")
    requests = found["requests"]
    return Sample(
        rate=requests / found["microseconds"] * 1e6,
        p50=found["p50"],
        p99=found["p99"],
        cpu=used / requests * 1e6,
    )
