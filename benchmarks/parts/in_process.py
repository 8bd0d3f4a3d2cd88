"""Part 1: whole applications, called in the measuring process."""

import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

from redis.asyncio import Redis
from starlette.applications import Starlette

from benchmarks.measure import Part, Sample, Trial, alternate, closed_loop, said
from benchmarks.options import Options
from benchmarks.peers.apps import PEERS, Peer, available
from benchmarks.peers.asgi import Client, running, start_sessions
from benchmarks.servers import CountingCursor, Places, postgres_cpu, process_cpu

LOADS = (1, 16, 64, 256)

#: The loads of the other peers, and the peers that are measured at all loads: what 16 and 256 in
#: flight do to the others is seen at these.
FEW_LOADS = (1, 64)
AT_ALL_LOADS = ("cookie", "redis", "ours")


async def measure(places: Places, options: Options) -> Part:
    """Measure every peer at every load, then count statements."""
    peers = available(places)
    trials: list[Trial] = []
    async with AsyncExitStack() as stack:
        for name, peer in peers.items():
            app = peer.make(places)
            await stack.enter_async_context(running(app))
            cookies = await _begin(peer, app, places, options.sessions)
            random.shuffle(cookies)
            trials += _trials(name, peer, app, cookies, places)
        order = sorted(trials, key=lambda trial: (trial.work, trial.load))
        cells = await alternate(order, rounds=options.rounds, seconds=options.seconds)
    counts = {name: await _count(peer, places) for name, peer in peers.items() if peer.keeps_in}
    titles = {name: peer.title for name, peer in PEERS.items()}
    facts = {"statements": counts, "titles": titles, "sessions": options.sessions}
    return Part(cells, facts, said(options.rounds, options.seconds))


async def _begin(peer: Peer, app: Starlette, places: Places, count: int) -> list[bytes]:
    """Begin sessions; return their cookies."""
    cookies = await start_sessions(app, count)
    return cookies if peer.bind is None else await peer.bind(places, cookies)


def _trials(
    name: str, peer: Peer, app: Starlette, cookies: list[bytes], places: Places
) -> list[Trial]:
    server = server_cpu(peer, places)

    async def run(client: Client, load: int, seconds: float) -> Sample:
        return await closed_loop(client.call, in_flight=load, seconds=seconds, server=server)

    return [
        Trial(name, work, load, partial(run, Client(app, f"/{work}", sent), load))
        for work in peer.works
        for sent in ([[]] if work == "none" else [cookies])
        for load in (LOADS if name in AT_ALL_LOADS else FEW_LOADS)
    ]


def server_cpu(peer: Peer, places: Places) -> Callable[[], float] | None:
    """Return a function for the CPU seconds of the server that holds the sessions of a peer."""
    if peer.keeps_in == "redis" and places.redis_process:
        return process_cpu(places.redis_process)
    return postgres_cpu(places.postgres) if peer.keeps_in == "postgres" else None


async def _count(peer: Peer, places: Places) -> dict[str, float]:
    """Return the statements or commands for each request, at 1 and at 64 in flight."""
    app = peer.make(replace(places, counting=True))
    counts: dict[str, float] = {}
    async with running(app):
        cookies = await _begin(peer, app, places, 200)
        for work in peer.works:
            client = Client(app, f"/{work}", [] if work == "none" else cookies)
            for load in (1, 64):
                before = await _sent(peer, places)
                await closed_loop(client.call, in_flight=load, seconds=60, most=1024)
                counts[f"{work}/{load}"] = round((await _sent(peer, places) - before) / 1024, 3)
    return counts


async def _sent(peer: Peer, places: Places) -> int:
    if peer.keeps_in == "postgres":
        return CountingCursor.statements
    async with Redis(unix_socket_path=places.redis) as client:
        info = await client.info("commandstats")
    return sum(info[name]["calls"] for name in ("cmdstat_get", "cmdstat_set") if name in info)
