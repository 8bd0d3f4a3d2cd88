"""Change shared sessions from several processes, and count lost changes.

    python tests/concurrency/hammer.py --processes 4 --tasks 16 --sessions 8 --seconds 60

All tasks of all processes share some sessions. Each task adds and removes members
of its own in them, through whole ASGI applications. Each session is a browser's: its
tasks are the tabs, which share a jar. Some responses are lost, and some cookies are
copied. With --rotations their numbers change as often as they can.

At the end, every acknowledged change must be stored, every acknowledged removal must be
in effect, every counter must equal the number of its acknowledged steps, and the laws of
rotation_checker.py must hold: so no session that was renewed or logged out is found under
its old key. The exit status is 1 if anything is lost.

With --users, the tasks sign a few users in and out instead, confirm, list and revoke
their sessions, and the laws of user_checker.py must hold.

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
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from ctypes import c_char
from functools import partial
from itertools import repeat
from multiprocessing.context import ForkServerContext
from multiprocessing.sharedctypes import Array, SynchronizedString
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TypeVar

import psycopg
from psycopg import sql

sys.path.insert(0, str(Path(__file__).parents[2]))

from pgsession import PostgresStore
from pgsession.postgres.embedded import embedded_server
from pgsession.postgres.schema import migrate
from tests.concurrency.browsers import Slot, count_rotations
from tests.concurrency.hammer_losses import find_losses
from tests.concurrency.hammer_worker import Scale, Tally, hammer
from tests.concurrency.hammered_app import call, make_app
from tests.concurrency.hammered_users import hammer_users
from tests.concurrency.user_checker import user_violations
from tests.concurrency.user_history import Act, Event

_T = TypeVar("_T")

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
        rotations=arguments.rotations,
    )
    with (
        _server(arguments.database_url) as database_url,
        _schema(database_url, distributed=arguments.distributed) as schema,
    ):
        run = _run_users if arguments.users else _run
        losses = run(database_url, schema, scale)
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
    parser.add_argument("--users", action="store_true", help="sign users in and out instead")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--changes", type=int, default=30, help="changes by each task")
    length.add_argument("--seconds", type=float, help="run this long instead")
    for mode in ("renewals", "logouts", "rotations"):
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
    context = _forking()
    shared = [Array(c_char, _ROOM, ctx=context) for _ in range(scale.sessions)]
    slots = _slots(shared)
    asyncio.run(_log_in(database_url, schema, slots, scale))
    tallies = _in_processes(partial(_work, database_url, schema), shared, context, scale)
    losses = asyncio.run(find_losses(database_url, schema, slots, tallies, scale))
    journals = [tally.journal for tally in tallies]
    copies = Counter(it.opened for journal in journals for it in journal.requests if it.is_copy)
    print(
        f"{scale.processes} processes × {scale.tasks} tasks × {scale.sessions} sessions: "
        f"{sum(tally.acknowledged for tally in tallies)} changes acknowledged, "
        f"{len(losses)} lost "
        f"({sum(tally.renewed for tally in tallies)} renewals, "
        f"{sum(tally.ended for tally in tallies)} logouts, "
        f"{sum(tally.refused for tally in tallies)} requests may have come too late)\n"
        f"{count_rotations(journals)} rotations, "
        f"{sum(journal.lost for journal in journals)} cookies lost, "
        f"{copies[True]} copies good, {copies[False]} refused"
    )
    return losses


def _run_users(database_url: str, schema: str, scale: Scale) -> list[str]:
    context = _forking()
    shared = [Array(c_char, _ROOM, ctx=context) for _ in range(scale.sessions)]
    for slot in _slots(shared):
        slot.write(0, "")
    seen = _in_processes(partial(_work_on_users, database_url, schema), shared, context, scale)
    last = asyncio.run(hammer_users(database_url, schema, _slots(shared), tasks=1, seconds=0))
    events = [event for events in [*seen, last] for event in events]
    losses = user_violations(events)
    acts = Counter(event.act for event in events if event.is_sure)
    print(
        f"{scale.processes} processes × {scale.tasks} tasks × {scale.sessions} browsers: "
        f"{', '.join(f'{acts[act]} {act.value}' for act in Act)}\n"
        f"{sum(event.count for event in events)} sessions revoked, "
        f"{sum(event.found is not None for event in events)} requests signed in, "
        f"{len(losses)} lost"
    )
    return losses


def _forking() -> ForkServerContext:
    """Return the context in which processes are forked from one that has made the imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([hammer.__module__, hammer_users.__module__])
    return context


def _in_processes(
    work: Callable[[int, Scale], _T],
    shared: list[SynchronizedString],
    context: ForkServerContext,
    scale: Scale,
) -> list[_T]:
    """Return what each process returns."""
    with ProcessPoolExecutor(
        scale.processes,
        mp_context=context,
        initializer=_begin,
        initargs=(shared, context.Barrier(scale.processes)),
    ) as executor:
        return list(executor.map(work, range(scale.processes), repeat(scale)))


def _begin(shared: list[SynchronizedString], start: Barrier) -> None:
    """Wait until all processes are ready, so that they work at the same time."""
    _shared[:] = shared
    start.wait(timeout=60)


def _work(database_url: str, schema: str, process: int, scale: Scale) -> Tally:
    return asyncio.run(hammer(database_url, schema, _slots(_shared), process, scale))


def _work_on_users(database_url: str, schema: str, process: int, scale: Scale) -> list[Event]:
    work = hammer_users(
        database_url,
        schema,
        _slots(_shared),
        tasks=scale.tasks,
        seconds=scale.seconds or 2,
        seed=process,
    )
    return asyncio.run(work)


def _slots(shared: list[SynchronizedString]) -> list[Slot]:
    return [Slot(number, text) for number, text in enumerate(shared)]


async def _log_in(database_url: str, schema: str, slots: list[Slot], scale: Scale) -> None:
    async with PostgresStore(database_url, schema=schema) as store:
        for slot in slots:
            answer = await call(make_app(store, scale.settings), "login", generation=0)
            slot.write(0, answer.cookie or "")


if __name__ == "__main__":
    main()
