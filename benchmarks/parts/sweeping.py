"""Part 6: a sweep of very many expired rows while the application serves reads."""

import asyncio
import json
import random
from typing import Any

from psycopg import AsyncConnection

from benchmarks.measure import Part, Sample, closed_loop
from benchmarks.options import Options
from benchmarks.peers.apps import PEERS
from benchmarks.peers.asgi import Client, running, start_sessions
from benchmarks.rows import grow
from benchmarks.servers import Places, schema, settle
from benchmarks.values import VALUE
from pgsession.postgres.connections.dedicated import dedicated
from pgsession.postgres.sweeping.statements import Batch, Expired
from pgsession.postgres.sweeping.sweep import Swept, sweep
from pgsession.postgres.table_name import TableName

IN_FLIGHT = 16

#: These rows fill whole pages, so that the statements take longest.
EXPIRED = """
INSERT INTO session (session_key, session_data, expire_date)
SELECT 'expired ' || n, %s::jsonb, now() - interval '1 hour'
FROM generate_series(1, %s::int8) AS n
"""


class Watched(Expired):
    """Records how long each statement took, by the server's clock."""

    def __init__(self) -> None:
        super().__init__(TableName(None))
        self.longest = 0.0
        self.batches = 0

    async def remove_from(
        self, connection: AsyncConnection[Any], first: int, end: int
    ) -> Batch | None:
        """Remove rows, and record how long it took."""
        batch = await super().remove_from(connection, first, end)
        if batch is not None:
            self.longest = max(self.longest, batch.seconds)
            self.batches += 1
        return batch


async def measure(places: Places, options: Options) -> Part:
    """Measure reads before the sweep and during it."""
    name = "pgsession_bench_sweep"
    with schema(places.postgres, name):
        there = places.in_schema(name)
        text = json.dumps(VALUE)
        await _expire(there, options.expired, text)
        await grow(there.postgres, options.expired // 10, text)
        app = PEERS["ours"].make(there)
        async with running(app):
            cookies = await start_sessions(app, options.sessions)
            random.shuffle(cookies)
            client = Client(app, "/read", cookies)
            await settle(there.postgres)
            before = [await _read(client, options) for _ in range(options.rounds + 1)][1:]
            swept, watched, during = await _sweep(there, client, options)
    return Part(
        rounds="one sweep",
        facts={
            "rows": swept.rows,
            "pages": swept.pages,
            "seconds": swept.seconds,
            "rows_per_second": swept.rows / swept.seconds,
            "batches": watched.batches,
            "longest_ms": watched.longest * 1000,
            "in_flight": IN_FLIGHT,
            "p99_before": max(one.p99 for one in before),
            "p99_during": max(one.p99 for one in during),
            "rate_before": sum(one.rate for one in before) / len(before),
            "rate_during": sum(one.rate for one in during) / len(during),
        },
    )


async def _expire(places: Places, rows: int, text: str) -> None:
    async with await AsyncConnection.connect(places.postgres, autocommit=True) as connection:
        await connection.execute(EXPIRED, (text, rows))


async def _sweep(
    places: Places, client: Client, options: Options
) -> tuple[Swept, Watched, list[Sample]]:
    """Sweep as a store does, while requests are served."""
    watched = Watched()
    during: list[Sample] = []
    async with dedicated(places.postgres, purpose="sweep", timeout=5) as connection:
        sweeping = asyncio.create_task(sweep(connection, watched))
        while not sweeping.done():
            during.append(await _read(client, options))
    return await sweeping, watched, during


async def _read(client: Client, options: Options) -> Sample:
    return await closed_loop(client.call, in_flight=IN_FLIGHT, seconds=options.seconds)
