"""Change shared sessions from several processes, and count lost changes.

    python tests/concurrency/hammer.py --processes 4 --tasks 16 --sessions 8 --seconds 60

All tasks of all processes share some sessions. Each task adds and removes members
of its own in them, through whole ASGI applications. At the end, every acknowledged
change must be stored, every acknowledged removal must be in effect, every counter
must equal the number of its acknowledged steps, and no session that was renewed or
logged out may be found under its old key. The exit status is 1 if anything is lost.

The tables are in a separate schema, on the server of --database-url, of
SESSION_DATABASE_URL, or on an embedded server. With --distributed the server is the
coordinator of a Citus cluster, which distributes the table.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from ctypes import c_char
from itertools import repeat
from multiprocessing.sharedctypes import Array, SynchronizedString
from multiprocessing.synchronize import Barrier
from pathlib import Path

import psycopg
from psycopg import sql

sys.path.insert(0, str(Path(__file__).parents[2]))

from pgsession import PostgresStore
from pgsession.postgres.embedded import embedded_server
from pgsession.postgres.schema import migrate
from tests.concurrency.hammer_worker import Scale, Slot, Tally, hammer
from tests.concurrency.hammered_app import GONE, call, make_app

#: Longer than the longest cookie.
_ROOM = 512

_DISTRIBUTE = sql.SQL("SELECT create_distributed_table({table}, 'session_key')")

_shared: list[SynchronizedString] = []


def main() -> None:
    """Run, print the result, and exit with 1 if anything was lost."""
    arguments = _parser().parse_args()
    scale = Scale(
        processes=arguments.processes,
        tasks=arguments.tasks,
        sessions=arguments.sessions,
        changes=arguments.changes,
        seconds=arguments.seconds,
        renewals=arguments.renewals,
        logouts=arguments.logouts,
    )
    with (
        _server(arguments.database_url) as database_url,
        _schema(database_url, distributed=arguments.distributed) as schema,
    ):
        losses = _run(database_url, schema, scale)
    for loss in losses[:20]:
        print(loss)
    sys.exit(1 if losses else 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--database-url", default=os.environ.get("SESSION_DATABASE_URL"))
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=8, help="tasks in each process")
    parser.add_argument("--sessions", type=int, default=6, help="sessions that all tasks share")
    parser.add_argument("--distributed", action="store_true", help="let Citus distribute the table")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--changes", type=int, default=30, help="changes by each task")
    length.add_argument("--seconds", type=float, help="run this long instead")
    for mode in ("renewals", "logouts"):
        parser.add_argument(f"--{mode}", action=argparse.BooleanOptionalAction, default=True)
    return parser


@contextmanager
def _server(url: str | None) -> Iterator[str]:
    if url:
        yield url
        return
    with (
        tempfile.TemporaryDirectory(prefix="pgsession-") as folder,
        embedded_server(Path(folder, "data")) as conninfo,
    ):
        yield conninfo


@contextmanager
def _schema(database_url: str, *, distributed: bool) -> Iterator[str]:
    name = f"pgsession_hammer_{secrets.token_hex(8)}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
        try:
            migrate(database_url, schema=name)
            if distributed:
                table = sql.Literal(f"{name}.session")
                connection.execute(_DISTRIBUTE.format(table=table))
            yield name
        finally:
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


def _run(database_url: str, schema: str, scale: Scale) -> list[str]:
    context = multiprocessing.get_context("spawn")
    shared = [Array(c_char, _ROOM, ctx=context) for _ in range(scale.sessions)]
    slots = _slots(shared)
    asyncio.run(_log_in(database_url, schema, slots))
    with ProcessPoolExecutor(
        scale.processes,
        mp_context=context,
        initializer=_begin,
        initargs=(shared, context.Barrier(scale.processes)),
    ) as executor:
        workers = range(scale.processes)
        tallies = list(
            executor.map(_work, repeat(database_url), repeat(schema), workers, repeat(scale))
        )
    losses = asyncio.run(_find_losses(database_url, schema, slots, tallies))
    print(
        f"{scale.processes} processes × {scale.tasks} tasks × {scale.sessions} sessions: "
        f"{sum(tally.acknowledged for tally in tallies)} changes acknowledged, "
        f"{len(losses)} lost "
        f"({sum(tally.renewed for tally in tallies)} renewals, "
        f"{sum(tally.ended for tally in tallies)} logouts, "
        f"{sum(tally.refused for tally in tallies)} requests came too late)"
    )
    return losses


def _begin(shared: list[SynchronizedString], start: Barrier) -> None:
    """Wait until all processes are ready, so that they work at the same time."""
    _shared[:] = shared
    start.wait(timeout=60)


def _work(database_url: str, schema: str, process: int, scale: Scale) -> Tally:
    return asyncio.run(hammer(database_url, schema, _slots(_shared), process, scale))


def _slots(shared: list[SynchronizedString]) -> list[Slot]:
    return [Slot(number, text) for number, text in enumerate(shared)]


async def _log_in(database_url: str, schema: str, slots: list[Slot]) -> None:
    async with PostgresStore(database_url, schema=schema) as store:
        for slot in slots:
            answer = await call(make_app(store), "login", generation=0)
            slot.write(0, answer.cookie or "")


async def _find_losses(
    database_url: str, schema: str, slots: list[Slot], tallies: list[Tally]
) -> list[str]:
    losses: list[str] = []
    unknown = {member for tally in tallies for member in tally.unknown}
    async with PostgresStore(database_url, schema=schema) as store:
        app = make_app(store)
        for slot in slots:
            generation, cookie = slot.read()
            there = (await call(app, "show", cookie=cookie)).content or {}
            due = _promised(slot.number, generation, tallies)
            losses += [
                f"session {slot.number}: {name} is {there.get(name)!r}, not {due.get(name)!r}"
                for name in sorted(there.keys() | due.keys())
                if there.get(name) != due.get(name)
                and (slot.number, generation, name) not in unknown
            ]
        for cookie in (cookie for tally in tallies for cookie in tally.dead):
            if (await call(app, "show", cookie=cookie)).status != GONE:
                losses.append("a key that was renewed or logged out lives")
    with psycopg.connect(database_url) as connection:
        counted = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, "session"))
        rows = connection.execute(counted).fetchone()
    if rows != (len(slots),):
        losses.append(f"the table has {rows} rows for {len(slots)} sessions")
    return losses


def _promised(slot: int, generation: int, tallies: list[Tally]) -> dict[str, object]:
    """Return the expected content of a session; tasks use different names, so none conflict."""
    due: dict[str, object] = {"generation": generation}
    for tally in tallies:
        due |= tally.members.get((slot, generation), {})
    if count := sum(tally.counts.get((slot, generation), 0) for tally in tallies):
        due["count"] = count
    return due


if __name__ == "__main__":
    main()
