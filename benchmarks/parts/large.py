"""Part 9: whole applications with large sessions, which no cookie can hold, in process."""

import random
from contextlib import AsyncExitStack

from benchmarks.measure import Part, Sample, Trial, alternate, closed_loop, said
from benchmarks.options import Options
from benchmarks.parts.in_process import server_cpu
from benchmarks.peers.apps import PEERS, available
from benchmarks.peers.asgi import Client, running, start_sessions
from benchmarks.servers import Places

LOAD = 64
BYTES = (20_000, 200_000)
WORKS = ("read", "write")
NAMES = ("redis", "ours")

#: Bytes of all sessions of one size.
_WHOLE = 20_000_000


def named(work: str, size: int) -> str:
    """Return the name that a kind of request has in the results."""
    return f"{work}, {size // 1000} kB"


async def measure(places: Places, options: Options) -> Part:
    """Read large sessions, and change one small member of them."""
    trials: list[Trial] = []
    peers = available(places)
    async with AsyncExitStack() as stack:
        for name in NAMES:
            if name in peers:
                app = peers[name].make(places)
                await stack.enter_async_context(running(app))
                for size in BYTES:
                    count = max(2 * LOAD, min(options.sessions, _WHOLE // size))
                    cookies = await start_sessions(app, count, size=size)
                    random.shuffle(cookies)
                    for work in WORKS:
                        client = Client(app, f"/{work}", cookies)
                        trials.append(_trial(name, named(work, size), client, places))
        cells = await alternate(trials, rounds=options.rounds, seconds=options.seconds)
    titles = {name: peers[name].title for name in NAMES if name in peers}
    return Part(cells, {"titles": titles, "bytes": BYTES}, said(options.rounds, options.seconds))


def _trial(name: str, work: str, client: Client, places: Places) -> Trial:
    server = server_cpu(PEERS[name], places)

    async def run(seconds: float) -> Sample:
        return await closed_loop(client.call, in_flight=LOAD, seconds=seconds, server=server)

    return Trial(name, work, LOAD, run)
