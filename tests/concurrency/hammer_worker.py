"""One process of the hammer: many tasks that change sessions which they share with all others."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from multiprocessing.sharedctypes import SynchronizedString
from random import Random

from starlette.types import ASGIApp

from pgsession import PostgresStore
from tests.concurrency.hammered_app import GONE, call, make_app


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How hard it hammers."""

    processes: int
    tasks: int
    sessions: int
    #: Each task goes on until it has made so many changes, or for so many seconds.
    changes: int | None
    seconds: float | None
    #: Some sessions are given new keys all the time.
    renewals: bool
    #: Some sessions are logged out all the time, and logged in anew.
    logouts: bool


@dataclass(slots=True)
class Tally:
    """What a worker knows: a generation of a session is named by slot and number."""

    acknowledged: int = 0
    #: Requests that came with a cookie whose session had been renewed or ended by another.
    refused: int = 0
    renewed: int = 0
    ended: int = 0
    #: The members of each generation, as acknowledged; each task has names of its own.
    members: dict[tuple[int, int], dict[str, str]] = field(default_factory=dict)
    #: How often each generation was counted up, as acknowledged.
    counts: dict[tuple[int, int], int] = field(default_factory=dict)
    #: Cookies whose sessions are over.
    dead: list[str] = field(default_factory=list)


class Slot:
    """The cookie of one shared session, in memory that all processes share."""

    def __init__(self, number: int, shared: SynchronizedString) -> None:
        self.number = number
        self._shared = shared

    def read(self) -> tuple[int, str]:
        """Return the session's generation and cookie; no cookie means that it was logged out."""
        generation, _, cookie = self._shared.value.decode().partition(" ")
        return int(generation), cookie

    def write(self, generation: int, cookie: str) -> None:
        """Tell everyone the cookie."""
        self._shared.value = f"{generation} {cookie}".encode()

    def claim(self, generation: int) -> bool:
        """Tell whether the caller is the first who knows that a generation has ended."""
        with self._shared.get_lock():
            current, cookie = self.read()
            if current != generation or not cookie:
                return False
            self.write(generation, "")
            return True


async def hammer(
    database_url: str, schema: str, slots: list[Slot], process: int, scale: Scale
) -> Tally:
    """Run one worker's tasks; return what they were promised."""
    tally = Tally()
    async with PostgresStore(database_url, schema=schema, pool_size=4, timeout=30) as store:
        app = make_app(store)
        async with asyncio.TaskGroup() as group:
            for task in range(scale.tasks):
                group.create_task(_Task(app, slots, f"{process}.{task}", scale, tally).run())
    return tally


class _Task:
    """One visitor of all the sessions; its names are its own, so it knows what must be in them."""

    def __init__(
        self, app: ASGIApp, slots: list[Slot], name: str, scale: Scale, tally: Tally
    ) -> None:
        self._app = app
        self._slots = slots
        self._name = name
        self._scale = scale
        self._tally = tally
        self._random = Random(name)
        self._done = 0

    async def run(self) -> None:
        """Change sessions, until enough was done."""
        ends = None if self._scale.seconds is None else time.monotonic() + self._scale.seconds
        while self._done < (self._scale.changes or 0) if ends is None else time.monotonic() < ends:
            slot = self._random.choice(self._slots)
            generation, cookie = slot.read()
            if not cookie:
                await asyncio.sleep(0)  # whoever logged it out logs in again
                continue
            chance = self._random.random()
            # A session is either renewed or logged out: one who logs out of a key that was
            # renewed at the same time could not tell which of the two came first.
            if chance < 0.05 and self._scale.renewals and slot.number % 3 == 1:
                await self._renew(slot, generation, cookie)
            elif chance < 0.05 and self._scale.logouts and slot.number % 3 == 2:
                await self._log_out(slot, generation, cookie)
            elif chance < 0.1:
                await self._count(slot, generation, cookie)
            else:
                await self._change(slot, generation, cookie)

    async def _change(self, slot: Slot, generation: int, cookie: str) -> None:
        members = self._tally.members.setdefault((slot.number, generation), {})
        name = f"{self._name}.{self._random.randrange(6)}"
        if name in members and self._random.random() < 0.5:
            answer = await call(self._app, "change", cookie=cookie, name=name)
            # A cookie is the receipt: one whose session had ended meanwhile gets none.
            if self._is_acknowledged(answer.status, answer.cookie):
                del members[name]
            return
        value = f"{self._name} {self._done}"
        answer = await call(self._app, "change", cookie=cookie, name=name, value=value)
        if self._is_acknowledged(answer.status, answer.cookie):
            members[name] = value

    async def _count(self, slot: Slot, generation: int, cookie: str) -> None:
        answer = await call(self._app, "count", cookie=cookie)
        if self._is_acknowledged(answer.status, "the block has committed"):
            counts, of = self._tally.counts, (slot.number, generation)
            counts[of] = counts.get(of, 0) + 1

    async def _renew(self, slot: Slot, generation: int, cookie: str) -> None:
        answer = await call(self._app, "renew", cookie=cookie)
        if answer.cookie is not None:
            slot.write(generation, answer.cookie)
            self._tally.renewed += 1
            self._tally.dead.append(cookie)

    async def _log_out(self, slot: Slot, generation: int, cookie: str) -> None:
        answer = await call(self._app, "logout", cookie=cookie)
        if answer.cookie is None or not slot.claim(generation):
            return
        self._tally.ended += 1
        self._tally.dead.append(cookie)
        anew = await call(self._app, "login", generation=generation + 1)
        slot.write(generation + 1, anew.cookie or "")

    def _is_acknowledged(self, status: int, receipt: str | None) -> bool:
        if status == 200 and receipt is not None:
            self._done += 1
            self._tally.acknowledged += 1
            return True
        if status not in {200, GONE}:
            raise AssertionError(f"The application answered {status}.")
        self._tally.refused += 1
        return False
