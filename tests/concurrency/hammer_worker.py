"""One process of the hammer: many tasks that change the shared sessions."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from random import Random

from starlette.types import ASGIApp

from pgsession import PostgresStore, SessionSettings
from tests.concurrency.browsers import Held, Journal, Slot, Tab
from tests.concurrency.hammered_app import (
    EXTENDING,
    GONE,
    ROTATING,
    call,
    make_app,
    reuse_count,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The size of a run."""

    processes: int
    tasks: int
    sessions: int
    #: Each task makes this many changes, or runs for this many seconds.
    changes: int | None
    seconds: float | None
    #: Some sessions are renewed repeatedly.
    renewals: bool
    #: Some sessions are logged out and logged in again repeatedly.
    logouts: bool
    #: The numbers of all keys change repeatedly.
    rotations: bool

    @property
    def settings(self) -> SessionSettings:
        """The settings of the application."""
        return ROTATING if self.rotations else EXTENDING

    @property
    def endings(self) -> float:
        """How often a task renews a session or logs out: a key must live to rotate some times."""
        return 0.01 if self.rotations else 0.05

    def are_renewed(self, slot: Slot) -> bool:
        """Return whether the session of a slot is renewed. It is never logged out then.

        A task that logs out of a key that is renewed at the same time could not
        tell which came first.
        """
        return self.renewals and slot.number % 3 == 1

    def are_ended(self, slot: Slot) -> bool:
        """Return whether the session of a slot is logged out."""
        return self.logouts and slot.number % 3 == 2


@dataclass(slots=True)
class Tally:
    """The results of a worker. A generation of a session is identified by slot and number."""

    acknowledged: int = 0
    #: Requests that may have come too late, as another task had renewed or ended the session.
    refused: int = 0
    renewed: int = 0
    ended: int = 0
    #: The acknowledged members of each generation; each task uses its own names.
    members: dict[tuple[int, int], dict[str, str]] = field(default_factory=dict)
    #: The members whose last change was answered without a cookie: the session has ended, or
    #: another request has just extended it. They may have any value.
    unknown: set[tuple[int, int, str]] = field(default_factory=set)
    #: The acknowledged number of counter steps of each generation.
    counts: dict[tuple[int, int], int] = field(default_factory=dict)
    #: All requests with a cookie.
    journal: Journal = field(default_factory=Journal)
    #: How many copies of older cookies the site has counted.
    reused: int = 0


async def hammer(
    database_url: str, schema: str, slots: list[Slot], process: int, scale: Scale
) -> Tally:
    """Run one worker's tasks; return their acknowledged changes."""
    tally = Tally()
    async with PostgresStore(database_url, schema=schema, pool_size=4, timeout=30) as store:
        app = make_app(store, scale.settings)
        async with asyncio.TaskGroup() as group:
            for task in range(scale.tasks):
                group.create_task(_Task(app, slots, f"{process}.{task}", scale, tally).run())
    tally.reused = reuse_count(app)
    return tally


class _Task:
    """A task that visits all sessions. Its member names are unique, so it knows their values."""

    def __init__(
        self, app: ASGIApp, slots: list[Slot], name: str, scale: Scale, tally: Tally
    ) -> None:
        self._app = app
        self._slots = slots
        self._name = name
        self._scale = scale
        self._tally = tally
        self._random = Random(name)
        self._tab = Tab(app, self._random, tally.journal, is_slow=scale.rotations)
        self._done = 0

    async def run(self) -> None:
        """Change sessions until the limit is reached."""
        ends = None if self._scale.seconds is None else time.monotonic() + self._scale.seconds
        while self._done < (self._scale.changes or 0) if ends is None else time.monotonic() < ends:
            slot = self._random.choice(self._slots)
            if self._scale.rotations and not slot.is_busy:
                await asyncio.sleep(0.001)
                continue
            chance, copies = self._random.random(), self._tally.journal.copies
            if chance > 0.95 and copies:
                await self._tab.use_copy(self._random.choice([*copies.values()]))
            held = slot.read()
            if not held.cookie:
                await asyncio.sleep(0)  # the task that logged it out logs in again
            elif chance < self._scale.endings and self._scale.are_renewed(slot):
                await self._renew(slot, held)
            elif chance < self._scale.endings and self._scale.are_ended(slot):
                await self._log_out(slot, held)
            elif chance < 0.1:
                await self._count(slot, held)
            else:
                await self._change(slot, held)

    async def _change(self, slot: Slot, held: Held) -> None:
        of = slot.number, held.generation
        members = self._tally.members.setdefault(of, {})
        name = f"{self._name}.{self._random.randrange(6)}"
        query = {"name": name}
        if name not in members or self._random.random() < 0.5:
            query["value"] = f"{self._name} {self._done}"
        answer = await self._tab.ask(slot, held, "change", **query)
        # A cookie acknowledges the change: a session that has ended gets none.
        receipt = answer.cookie if self._may_end(slot) else "the session never ends"
        if not self._is_acknowledged(answer.status, receipt):
            self._tally.unknown.add((*of, name))
            return
        self._tally.unknown.discard((*of, name))
        if "value" in query:
            members[name] = query["value"]
        else:
            del members[name]

    async def _count(self, slot: Slot, held: Held) -> None:
        answer = await self._tab.ask(slot, held, "count")
        if self._is_acknowledged(answer.status, "the block has committed"):
            counts, of = self._tally.counts, (slot.number, held.generation)
            counts[of] = counts.get(of, 0) + 1

    async def _renew(self, slot: Slot, held: Held) -> None:
        answer = await self._tab.ask(slot, held, "renew")
        self._tally.renewed += answer.cookie is not None

    async def _log_out(self, slot: Slot, held: Held) -> None:
        answer = await self._tab.ask(slot, held, "logout")
        if answer.cookie is None or not slot.claim(held.generation):
            return
        self._tally.ended += 1
        anew = await call(self._app, "login", generation=held.generation + 1)
        slot.write(held.generation + 1, anew.cookie or "")

    def _may_end(self, slot: Slot) -> bool:
        return self._scale.are_renewed(slot) or self._scale.are_ended(slot)

    def _is_acknowledged(self, status: int, receipt: str | None) -> bool:
        if status == 200 and receipt is not None:
            self._done += 1
            self._tally.acknowledged += 1
            return True
        if status not in {200, GONE}:
            raise AssertionError(f"The application answered {status}.")
        self._tally.refused += 1
        return False
