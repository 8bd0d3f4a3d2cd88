"""Part 4: the same calls on larger tables, with larger values, batches and pools."""

import json
import random
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

from msgspec import Raw
from psycopg import AsyncConnection

from benchmarks.measure import Call, Part, Sample, Trial, alternate, closed_loop, said
from benchmarks.options import Options
from benchmarks.peers.naive import NaiveStore
from benchmarks.rows import fill, grow, key
from benchmarks.servers import Places, schema, settle
from benchmarks.values import VALUE, padded
from pgsession import Changes, PostgresStore
from pgsession.core.keys import KeyDigest, digest, new_key
from pgsession.postgres.rows import Edit
from pgsession.postgres.statements.table import Table
from pgsession.postgres.statements.text import Wording
from pgsession.postgres.table_name import TableName

LOADS = (1, 64)
BYTES = (150, 2_000, 20_000, 200_000)
BATCHES = (1, 4, 16, 64, 256)
POOLS = (1, 4, 16)
CHANGES = Changes(set={"count": 1})

#: Reads the table through the server's memory. A sequential scan of a large table would use a small
#: part of it, and other processes might help.
WHOLE = "SELECT count(*) FROM session WHERE ctid >= '(0,0)'::tid"

#: The rows for which there is one of the largest batches: that is some ten reads for each 64 kB of
#: the hash index, and a page fault maps that much.
ROWS_EACH = 50_000

Choose = Callable[[int], str]


async def measure(places: Places, options: Options) -> Part:
    """Measure all four. Each table size has its own table."""
    part = Part(rounds=said(options.rounds, options.seconds))
    async with AsyncExitStack() as stack:
        trials = await _sizes(places, options, stack)
        await settle(places.postgres)
        part.cells += await alternate(trials, rounds=options.rounds, seconds=options.seconds)
    async with AsyncExitStack() as stack:
        trials = [
            *await _values(places, options, stack),
            *await _batches(places, options, stack),
            *await _pools(places, options, stack),
        ]
        await settle(places.postgres)
        part.cells += await alternate(trials, rounds=options.rounds, seconds=options.seconds)
    part.facts = {"sizes": options.sizes, "bytes": BYTES, "batches": BATCHES, "pools": POOLS}
    return part


async def _sizes(places: Places, options: Options, stack: AsyncExitStack) -> list[Trial]:
    trials: list[Trial] = []
    for rows in options.sizes:
        name = f"pgsession_bench_{rows}"
        stack.enter_context(schema(places.postgres, name))
        there = places.in_schema(name)
        await grow(there.postgres, rows, json.dumps(VALUE))
        store = await stack.enter_async_context(PostgresStore(there.postgres, telemetry=False))

        def choose(_: int, rows: int = rows) -> str:
            return key(int(random.random() * rows))

        await _map(store, choose, rows)
        trials += _both(store, f"{rows} rows", "rows", choose)
    return trials


async def _map(store: PostgresStore, choose: Choose, rows: int) -> None:
    """Let the process of each of the store's connections read the whole table and its hash index.

    What a process reads of the server's memory for the first time is a page fault. Each connection
    to the largest table takes some 75,000 of them, once in its life.
    """
    reading = Table(Wording(TableName(None))).reading
    pool = store._here().pool  # noqa: SLF001 - each of its connections has a process of its own
    connections = [await pool.acquire() for _ in range(pool.size)]
    for connection in connections:
        await connection.execute(WHOLE)
        for _ in range(-(-rows // ROWS_EACH)):
            keys: list[KeyDigest] = [(digest(choose(0)), None) for _ in range(BATCHES[-1])]
            await reading.fetch(connection, keys)
        pool.release(connection)


async def _values(places: Places, options: Options, stack: AsyncExitStack) -> list[Trial]:
    store = await stack.enter_async_context(PostgresStore(places.postgres, telemetry=False))
    trials: list[Trial] = []
    for size in BYTES:
        keys = [new_key() for _ in range(min(options.sessions, 20_000_000 // size, 1000))]
        await fill(places.postgres, keys, json.dumps(padded(size)))
        trials += _both(store, f"{size} B", "values", _cycle(keys))
    return trials


async def _batches(places: Places, options: Options, stack: AsyncExitStack) -> list[Trial]:
    """Send statements for different numbers of sessions, one after the other."""
    keys = [new_key() for _ in range(options.sessions)]
    digests = await fill(places.postgres, keys, json.dumps(VALUE))
    connection = await AsyncConnection.connect(places.postgres, autocommit=True)
    await stack.enter_async_context(connection)
    table = Table(Wording(TableName(None), is_patient=True))

    async def fetch(chosen: list[str]) -> None:
        wanted: list[KeyDigest] = [(it, None) for it in chosen]
        await table.reading.fetch(connection, wanted)

    async def update(chosen: list[str]) -> None:
        edits = [Edit(it, changed=Raw(b'{"count":1}'), size=13) for it in chosen]
        await table.editing.update(connection, edits)

    async def run(update_them: bool, batch: int, seconds: float) -> Sample:  # noqa: FBT001
        send = update if update_them else fetch

        async def one(_: int) -> None:
            await send(random.sample(digests, batch))

        found = await closed_loop(one, in_flight=1, seconds=seconds)
        each = None if found.cpu is None else found.cpu / batch
        return replace(found, rate=found.rate * batch, cpu=each)

    return [
        Trial(f"{batch} in a statement", f"batches {work}", 1, partial(run, work == "merge", batch))
        for work in ("get", "merge")
        for batch in BATCHES
    ]


async def _pools(places: Places, options: Options, stack: AsyncExitStack) -> list[Trial]:
    keys = [new_key() for _ in range(options.sessions)]
    await fill(places.postgres, keys, json.dumps(VALUE))
    trials: list[Trial] = []
    for size in POOLS:
        sized = replace(places, pool_size=size)
        store = await stack.enter_async_context(
            PostgresStore(places.postgres, pool_size=size, telemetry=False)
        )
        pool = await stack.enter_async_context(sized.pool())
        choose = _cycle(keys)
        trials += _both(store, f"pgsession, {size} connections", "pools", choose, loads=(64,))
        single = NaiveStore(pool)
        trials += _both(single, f"one statement a call, {size}", "pools", choose, loads=(64,))
    return trials


def _both(
    store: PostgresStore | NaiveStore,
    subject: str,
    work: str,
    choose: Choose,
    *,
    loads: tuple[int, ...] = LOADS,
) -> list[Trial]:
    async def get(number: int) -> None:
        await store.get(choose(number))

    async def merge(number: int) -> None:
        await store.merge(choose(number), CHANGES)

    async def run(call: Call, load: int, seconds: float) -> Sample:
        return await closed_loop(call, in_flight=load, seconds=seconds)

    return [
        Trial(subject, f"{work} {name}", load, partial(run, call, load))
        for name, call in (("get", get), ("merge", merge))
        for load in loads
    ]


def _cycle(keys: Sequence[str]) -> Choose:
    count = len(keys)
    return lambda number: keys[number % count]
