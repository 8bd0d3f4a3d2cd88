"""Compare the store's calls on a table that Citus distributes and on one server.

    SESSION_CITUS_URL=postgresql://... python -m benchmarks.distributed

The coordinator of that cluster is the one server too: the other table is in a
database there that has no extension.
"""

import argparse
import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import uvloop
from psycopg import AsyncConnection, sql
from psycopg.conninfo import make_conninfo

from benchmarks.measure import Part, Sample, Trial, alternate, closed_loop
from benchmarks.tables import table
from benchmarks.values import VALUE
from pgsession import Changes, PostgresStore
from pgsession.postgres.schema import migrate

LOADS = (1, 64, 256)
SESSIONS = 2_000
DISTRIBUTE = sql.SQL("SELECT create_distributed_table({table}, 'session_key')")

#: A call for the session at a place in the list of keys.
Call = Callable[[PostgresStore, list[str], int], Awaitable[object]]


async def get(store: PostgresStore, keys: list[str], place: int) -> None:
    """Read a session."""
    await store.get(keys[place])


async def merge(store: PostgresStore, keys: list[str], place: int) -> None:
    """Change one member."""
    await store.merge(keys[place], Changes(set={"count": place}))


async def renew(store: PostgresStore, keys: list[str], place: int) -> None:
    """Give a session a new key."""
    keys[place] = await store.renew(keys[place])


async def generate(store: PostgresStore, _keys: list[str], _place: int) -> None:
    """Make a session."""
    await store.generate(VALUE)


CALLS: dict[str, Call] = {"get": get, "merge": merge, "renew": renew, "generate": generate}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.distributed")
    parser.add_argument("--url", default=os.environ.get("SESSION_CITUS_URL"), help="coordinator")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a measurement")
    said = parser.parse_args()
    if not said.url:
        parser.error("--url or SESSION_CITUS_URL must name the coordinator of a Citus cluster")
    print(report(uvloop.run(measure(said.url, rounds=said.rounds, seconds=said.seconds))))


async def measure(url: str, *, rounds: int, seconds: float) -> Part:
    """Measure each call on both tables, in turns."""
    name = f"pgsession_bench_{secrets.token_hex(8)}"
    async with AsyncExitStack() as stack:
        places = {
            "one server": await stack.enter_async_context(own_database(url, name)),
            "Citus": await stack.enter_async_context(distributed_schema(url, name)),
        }
        trials = []
        for subject, place in places.items():
            store = PostgresStore(place, schema=name, sweep_every=None)
            await stack.enter_async_context(store)
            keys = await asyncio.gather(*(store.generate(VALUE) for _ in range(SESSIONS)))
            trials += [
                Trial(subject, work, load, partial(run, partial(call, store, keys), load))
                for work, call in CALLS.items()
                for load in LOADS
            ]
        return Part(await alternate(trials, rounds=rounds, seconds=seconds))


async def run(call: Callable[[int], Awaitable[object]], load: int, seconds: float) -> Sample:
    """Make calls for all sessions in turn."""

    async def one(number: int) -> None:
        await call(number % SESSIONS)

    return await closed_loop(one, in_flight=load, seconds=seconds)


@asynccontextmanager
async def own_database(url: str, name: str) -> AsyncIterator[str]:
    """A database without the extension, with the table; yield its conninfo."""
    database = sql.Identifier(name)
    async with await AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(sql.SQL("CREATE DATABASE {}").format(database))
        place = make_conninfo(url, dbname=name)
        await asyncio.to_thread(migrate, place, schema=name)
        yield place
        await connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))


@asynccontextmanager
async def distributed_schema(url: str, name: str) -> AsyncIterator[str]:
    """A schema with the table, distributed; yield the conninfo of the coordinator."""
    await asyncio.to_thread(migrate, url, schema=name)
    async with await AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(DISTRIBUTE.format(table=sql.Literal(f"{name}.session")))
        yield url
        await connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


def report(part: Part) -> str:
    """Return calls per second as a table, with the times of the slowest hundredth on Citus."""
    rows = []
    for one in part.cells:
        if one.subject == "Citus":
            continue
        many = part.cell("Citus", one.work, one.load)
        if many is None:
            continue
        figures = [cell.median("rate") or 0.0 for cell in (one, many)]
        late = (many.median("p99") or 0.0) / 1000
        rows.append((one.work, f"{one.load}", *(f"{rate:,.0f}" for rate in figures), f"{late:.0f}"))
    return table(("call", "in flight", "one server", "Citus", "p99 on Citus, ms"), rows)


if __name__ == "__main__":
    main()
