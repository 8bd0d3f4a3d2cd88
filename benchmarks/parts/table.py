"""Part 5: the size of the table after many touches and merges of all its sessions."""

import asyncio
import json
import random
import time
from datetime import timedelta
from typing import Any

from psycopg import AsyncConnection

from benchmarks.measure import Part
from benchmarks.options import Options
from benchmarks.rows import grow, key
from benchmarks.servers import Places, schema
from benchmarks.values import VALUE
from pgsession import Changes, PostgresStore

IN_FLIGHT = 256
PERIOD = timedelta(days=7)

SIZES = """
SELECT pg_relation_size('session'), pg_indexes_size('session'), pg_total_relation_size('session')
"""

UPDATES = """
SELECT n_tup_upd, n_tup_hot_upd, autovacuum_count
FROM pg_stat_user_tables
WHERE relid = 'session'::regclass
"""


async def measure(places: Places, options: Options) -> Part:
    """Touch and merge every session in every round; compare the table before and after."""
    name = "pgsession_bench_table"
    with schema(places.postgres, name):
        there = places.in_schema(name)
        await grow(there.postgres, options.rows, json.dumps(VALUE))
        before = await _ask(there, SIZES)
        start = time.perf_counter()
        async with PostgresStore(there.postgres, telemetry=False) as store:
            for number in range(options.renewals):
                await _visit(store, options.rows, number)
        seconds = time.perf_counter() - start
        # The server processes report their statistics when they exit.
        await asyncio.sleep(1.5)
        updates, hot, autovacuums = await _ask(there, UPDATES)
        after = await _ask(there, SIZES)
    return Part(
        rounds=f"{2 * options.renewals} updates a row",
        facts={
            "sessions": options.rows,
            "rounds": options.renewals,
            "updates": updates,
            "hot": hot / updates,
            "heap_before": before[0],
            "heap_after": after[0],
            "heap_growth": after[0] / before[0],
            "indexes_growth": after[1] / before[1],
            "total_growth": after[2] / before[2],
            "autovacuums": autovacuums,
            "updates_per_second": updates / seconds,
        },
    )


async def _visit(store: PostgresStore, rows: int, number: int) -> None:
    """Extend the expiry of each session and merge a change into it, many sessions at a time.

    The order is random, and so independent of the order of the rows in the table.
    """
    numbers = iter(random.sample(range(rows), rows))
    changes = Changes(set={"count": number, "seen": f"round {number}"})

    async def visitor() -> None:
        for one in numbers:
            await store.touch(key(one), period=PERIOD)
            await store.merge(key(one), changes)

    await asyncio.gather(*(visitor() for _ in range(IN_FLIGHT)))


async def _ask(places: Places, question: str) -> Any:  # noqa: ANN401
    async with await AsyncConnection.connect(places.postgres, autocommit=True) as connection:
        cursor = await connection.execute(question.encode())
        return await cursor.fetchone()
