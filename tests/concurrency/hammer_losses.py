"""What is wrong at the end of a run of the hammer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from random import Random
from typing import Final

import psycopg
from psycopg import sql

from pgsession import PostgresStore
from pgsession.core.period import as_period
from tests.concurrency.browsers import Journal, Slot, Tab, find_key
from tests.concurrency.hammer_worker import Scale, Tally
from tests.concurrency.hammered_app import GONE, make_app, reuse_count
from tests.concurrency.rotation_checker import reuse_bounds, rotation_violations

#: A correct site knows much sooner that a browser has shown its number.
_PATIENCE: Final = 10


async def find_losses(
    database_url: str, schema: str, slots: Sequence[Slot], tallies: list[Tally], scale: Scale
) -> list[str]:
    """Return a sentence for each loss, and for each request that was answered wrongly."""
    async with PostgresStore(database_url, schema=schema) as store:
        losses = [loss for slot in slots async for loss in _lost(store, slot, tallies)]
        tallies = [*tallies, await _use_copies(store, slots, tallies, scale)]
    with psycopg.connect(database_url) as connection:
        counted = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, "session"))
        rows = connection.execute(counted).fetchone()
    if rows != (len(slots),):
        losses.append(f"the table has {rows} rows for {len(slots)} sessions")
    return losses + _broken_laws(tallies, as_period(scale.settings.rotation_grace))


async def _lost(store: PostgresStore, slot: Slot, tallies: list[Tally]) -> AsyncIterator[str]:
    """Compare the content of a session with the changes that were acknowledged."""
    held = slot.read()
    entry = await store.get(find_key(held.cookie))
    there = {} if entry is None else entry.value or {}
    due = _promised(slot.number, held.generation, tallies)
    unknown = {member for tally in tallies for member in tally.unknown}
    for name in sorted(there.keys() | due.keys()):
        is_known = (slot.number, held.generation, name) not in unknown
        if is_known and there.get(name) != due.get(name):
            yield f"session {slot.number}: {name} is {there.get(name)!r}, not {due.get(name)!r}"


def _promised(slot: int, generation: int, tallies: list[Tally]) -> dict[str, object]:
    """Return the expected content of a session; tasks use different names, so none conflict."""
    due: dict[str, object] = {"generation": generation}
    for tally in tallies:
        due |= tally.members.get((slot, generation), {})
    if count := sum(tally.counts.get((slot, generation), 0) for tally in tallies):
        due["count"] = count
    return due


async def _use_copies(
    store: PostgresStore, slots: Sequence[Slot], tallies: Sequence[Tally], scale: Scale
) -> Tally:
    """Use a copy of each cookie that was in a jar, the oldest first, one after the other."""
    tally, app = Tally(), make_app(store, scale.settings)
    tab = Tab(app, Random(), tally.journal)
    if scale.rotations:
        for slot in slots:
            await _settle(store, tab, slot, as_period(scale.settings.rotation_grace))
    copies = {name: it for tally in tallies for name, it in tally.journal.copies.items()}
    for _, cookie in sorted(copies.items()):
        await tab.use_copy(cookie)
    tally.reused = reuse_count(app)
    return tally


async def _settle(store: PostgresStore, tab: Tab, slot: Slot, grace: timedelta) -> None:
    """Show the present number of a session, and wait until the grace after that is over."""
    key, answer = find_key(slot.read().cookie), await tab.ask(slot, slot.read(), "show")
    async with asyncio.timeout(_PATIENCE):
        while answer.status != GONE and (entry := await store.get(key)) is not None:
            if entry.shown_for is None:
                answer = await tab.ask(slot, slot.read(), "show")
            elif entry.shown_for > grace:
                return
            await asyncio.sleep(0.01)


def _broken_laws(tallies: Sequence[Tally], grace: timedelta) -> list[str]:
    journals: Sequence[Journal] = [tally.journal for tally in tallies]
    requests = [request for journal in journals for request in journal.requests]
    found = rotation_violations(requests, grace=grace.total_seconds())
    reused, (at_least, at_most) = sum(tally.reused for tally in tallies), reuse_bounds(requests)
    if not at_least <= reused <= at_most:
        found.append(f"{reused} copies were counted, not {at_least} to {at_most}")
    return found
