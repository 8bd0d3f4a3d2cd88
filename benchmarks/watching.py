"""Measure how streams learn that their session has ended, and what that costs.

    python -m benchmarks.watching

It needs no server: it starts PostgreSQL, and uvicorn in a process of its own.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import psutil
import uvloop
from psycopg import AsyncConnection
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.rows import grow
from benchmarks.values import SECRET, VALUE
from pgsession import Changes, PostgresStore, SessionMiddleware, SessionSettings
from pgsession.asgi.binding import Binding
from pgsession.asgi.policy import Policy
from pgsession.asgi.sockets import SESSION_ENDED
from pgsession.core.cookie import Cookie, FoundCookie
from pgsession.core.hidden import Hidden
from pgsession.core.login import Login
from pgsession.embedded import embedded_server
from pgsession.postgres.schema import migrate

PORT = 18_761

#: How many sockets are opened at once.
AT_ONCE = 50


async def talk(websocket: WebSocket) -> None:
    """Send back each text that comes."""
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        pass


def serve() -> Starlette:
    """Return the application, for uvicorn."""
    middleware = Middleware(SessionMiddleware, settings=SessionSettings.from_env())
    return Starlette(routes=[WebSocketRoute("/", talk)], middleware=[middleware])


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watching")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=30.0)
    said = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="pgsession-") as folder,
        embedded_server(Path(folder, "data")) as url,
    ):
        migrate(url)
        uvloop.run(measure(url, rows=said.rows, streams=said.streams, seconds=said.seconds))


async def measure(url: str, *, rows: int, streams: int, seconds: float) -> None:
    """Measure the latency and the memory with sockets, and the cost with a large table."""
    async with PostgresStore(url, sweep_every=None) as store:
        await latency(url, store)
        await memory(url, store, streams)
        await grow(url, rows, json.dumps(VALUE))
        await cost(url, store, streams, seconds)


async def latency(url: str, store: PostgresStore, sockets: int = 100) -> None:
    """Print the seconds from a revocation to the closed socket in another process."""
    keys = [await store.login(None, Login(f"user{n}"), Changes()) for n in range(sockets)]
    with server(url):
        async with opened(keys) as clients:
            await asyncio.sleep(2)

            async def end(number: int) -> float:
                await asyncio.sleep(random.uniform(0, 10))
                await store.revoke_all(f"user{number}")
                began = time.monotonic()
                with suppress(ConnectionClosed):
                    await clients[number].recv()
                if clients[number].close_code != SESSION_ENDED.code:
                    raise RuntimeError("The socket was closed for another reason.")
                return time.monotonic() - began

            took = await asyncio.gather(*map(end, range(sockets)))
    print(
        f"revoked to closed, {sockets} sockets: median {statistics.median(took):.2f} s, "
        f"worst {max(took):.2f} s"
    )


async def memory(url: str, store: PostgresStore, sockets: int) -> None:
    """Print the memory of a process before, with and after many sockets, twice."""
    keys = [await store.login(None, Login(f"many{n}"), Changes()) for n in range(sockets)]
    with server(url) as process:
        async with opened(keys[:10]):
            pass
        print(f"memory before: {megabytes(process)}")
        for _ in range(3):
            began = time.monotonic()
            async with opened(keys) as clients:
                took = time.monotonic() - began
                await asyncio.sleep(3)
                before = process.cpu_times()
                await asyncio.sleep(10)
                after = process.cpu_times()
                busy = after.user + after.system - before.user - before.system
                print(
                    f"{len(clients)} sockets open (in {took:.0f} s): {megabytes(process)}, "
                    f"{process.num_fds()} descriptors, {busy / 10:.1%} of a core"
                )
            await asyncio.sleep(3)
            print(f"closed: {megabytes(process)}, {process.num_fds()} descriptors")


async def cost(url: str, store: PostgresStore, streams: int, seconds: float) -> None:
    """Print what watching costs the server and the client, and the plan of a statement."""
    settings = SessionSettings(secret_key=SECRET)
    policy = Policy.from_settings(settings, store)
    bindings = []
    for n in random.sample(range(1_000_000), streams):
        binding = Binding(policy, {"type": "http", "headers": []})
        found = FoundCookie(Hidden(f"key{n}"), None, is_current=True, number=0)
        binding.begin_with(found, await store.get(f"key{n}"))
        bindings.append(binding)
    idle = await busy(url, seconds)
    futures = [binding.wait_for_end() for binding in bindings]
    await asyncio.sleep(4)
    with_streams = await busy(url, seconds)
    if any(future.done() for future in futures):
        raise RuntimeError("A session has ended.")
    period = policy.watch_every.total_seconds()
    for name, before, now in zip(("server", "client"), idle, with_streams, strict=True):
        share = (now - before) / seconds
        per_round = f"{share * period * 1000:.0f} ms a round"
        print(f"{streams} streams, {name}: {share:.2%} of a core, {per_round}")
    handles = [binding.handle or "" for binding in bindings[:1000]]
    table = await store._located_table()  # noqa: SLF001 - its statement
    text = table.listing._login_states  # noqa: SLF001 - as above
    async with await AsyncConnection.connect(url) as connection:
        plan = await connection.execute(b"EXPLAIN (ANALYZE, BUFFERS) " + text, (",".join(handles),))
        for (line,) in await plan.fetchall():
            print("   ", line[:150])
    for binding in bindings:
        binding.end_streams()


async def busy(url: str, seconds: float) -> tuple[float, float]:
    """Return the CPU seconds of the server's processes, and of this one, in this time."""
    async with await AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute("SELECT pid FROM pg_stat_activity WHERE pid IS NOT NULL")
        processes = [psutil.Process(pid) for (pid,) in await cursor.fetchall()]
    began = [spent([it for it in processes if it.is_running()]), spent([psutil.Process()])]
    await asyncio.sleep(seconds)
    server_now = spent([it for it in processes if it.is_running()])
    return server_now - began[0], spent([psutil.Process()]) - began[1]


def spent(processes: Iterable[psutil.Process]) -> float:
    """Return the CPU seconds of processes so far."""
    return sum(it.cpu_times().user + it.cpu_times().system for it in processes)


def megabytes(process: psutil.Process) -> str:
    """Return the memory of a process that no other shares."""
    return f"{process.memory_full_info().uss / 1e6:.0f} MB"


@asynccontextmanager
async def opened(keys: list[str]) -> AsyncIterator[list[ClientConnection]]:
    """Open a socket for each session."""
    cookie, places = Cookie(secret_keys=[SECRET]), asyncio.Semaphore(AT_ONCE)

    async def open_one(key: str) -> ClientConnection:
        header = {"Cookie": cookie.write(key, None).decode().partition(";")[0]}
        async with places:
            return await connect(
                f"ws://127.0.0.1:{PORT}/",
                additional_headers=header,
                compression=None,
                ping_interval=None,
                open_timeout=60,
            )

    clients = await asyncio.gather(*map(open_one, keys))
    try:
        yield clients
    finally:
        for first in range(0, len(clients), AT_ONCE):
            await asyncio.gather(*(it.close() for it in clients[first : first + AT_ONCE]))


@contextmanager
def server(url: str) -> Iterator[psutil.Process]:
    """Serve the application in a process of its own."""
    command = [sys.executable, "-m", "uvicorn", "--factory", "benchmarks.watching:serve"]
    command += ["--port", str(PORT), "--no-access-log", "--log-level", "warning"]
    command += ["--ws-per-message-deflate", "false", "--ws-ping-interval", "1000"]
    variables = {
        "SESSION_DATABASE_URL": url,
        "SESSION_SECRET_KEY": SECRET,
        "SESSION_CLOSE_WEBSOCKETS": "true",
        "SESSION_SWEEP_EVERY": "none",
    }
    with subprocess.Popen(command, env={**os.environ, **variables}) as process:
        try:
            time.sleep(3)
            yield psutil.Process(process.pid)
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
