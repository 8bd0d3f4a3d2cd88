"""One process of the hammer: many tasks that change the shared sessions."""

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


@dataclass(slots=True)
class Tally:
    """The results of a worker. A generation of a session is identified by slot and number."""

    acknowledged: int = 0
    #: Requests with the cookie of a session that another task had renewed or ended.
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
    #: Cookies of sessions that have been renewed or ended.
    dead: list[str] = field(default_factory=list)


class Slot:
    """The cookie of one shared session, in memory that all processes share."""

    def __init__(self, number: int, shared: SynchronizedString) -> None:
        self.number = number
        self._shared = shared

    def read(self) -> tuple[int, str]:
        """Return the session's generation and cookie; the cookie is empty after a logout."""
        generation, _, cookie = self._shared.value.decode().partition(" ")
        return int(generation), cookie

    def write(self, generation: int, cookie: str) -> None:
        """Publish the cookie to all processes."""
        self._shared.value = f"{generation} {cookie}".encode()

    def claim(self, generation: int) -> bool:
        """Return whether the caller is the first to see that a generation has ended."""
        with self._shared.get_lock():
            current, cookie = self.read()
            if current != generation or not cookie:
                return False
            self.write(generation, "")
            return True


async def hammer(
    database_url: str, schema: str, slots: list[Slot], process: int, scale: Scale
) -> Tally:
    """Run one worker's tasks; return their acknowledged changes."""
    tally = Tally()
    async with PostgresStore(database_url, schema=schema, pool_size=4, timeout=30) as store:
        app = make_app(store)
        async with asyncio.TaskGroup() as group:
            for task in range(scale.tasks):
                group.create_task(_Task(app, slots, f"{process}.{task}", scale, tally).run())
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
        self._done = 0

    async def run(self) -> None:
        """Change sessions until the limit is reached."""
        ends = None if self._scale.seconds is None else time.monotonic() + self._scale.seconds
        while self._done < (self._scale.changes or 0) if ends is None else time.monotonic() < ends:
            slot = self._random.choice(self._slots)
            generation, cookie = slot.read()
            if not cookie:
                await asyncio.sleep(0)  # the task that logged it out logs in again
                continue
            chance = self._random.random()
            # A session is either renewed or logged out, never both: a task that logs
            # out of a key that is renewed at the same time could not tell which came
            # first.
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
            # A cookie acknowledges the change: a session that has ended gets none.
            if self._is_acknowledged(answer.status, answer.cookie):
                del members[name]
                self._tally.unknown.discard((slot.number, generation, name))
            else:
                self._tally.unknown.add((slot.number, generation, name))
            return
        value = f"{self._name} {self._done}"
        answer = await call(self._app, "change", cookie=cookie, name=name, value=value)
        if self._is_acknowledged(answer.status, answer.cookie):
            members[name] = value
            self._tally.unknown.discard((slot.number, generation, name))
        else:
            self._tally.unknown.add((slot.number, generation, name))

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
