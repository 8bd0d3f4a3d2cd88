"""Clients that work on a few sessions continuously, and record their operations."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random

from pgsession import Changes, PostgresStore
from tests.concurrency.history import Action, History, Key, Life, Operation, Outcome
from tests.concurrency.nemesis import Server

#: How often, in percent, a client chooses each action.
_HABITS = {
    Action.GET: 35,
    Action.MERGE: 27,
    Action.TAKE: 12,
    Action.TOUCH: 3,
    Action.RENEW: 4,
    Action.ROTATE: 8,
    Action.SHOW: 8,
    Action.CLEAR: 3,
}
_REGISTERS = ("color", "size", "place")


@dataclass(slots=True)
class Shared:
    """A session that all clients use; when it ends, a new one replaces it."""

    key: Key
    secret: str
    #: The highest number of the key that a client knows of.
    number: int = 0
    #: Old keys of renewed sessions, which a client may still use.
    stale: list[tuple[Key, str]] = field(default_factory=list)
    #: Tokens that a client has set and that may not have been taken yet.
    tokens: list[str] = field(default_factory=list)


class Clients:
    """Some clients, each with its own store and pool, and the sessions that they share."""

    def __init__(self, server: Server, history: History, *, clients: int, sessions: int) -> None:
        self._history = history
        self._stores = [
            PostgresStore(server.conninfo, pool_size=2, timeout=5) for _ in range(clients)
        ]
        self._slots = sessions
        self._shared: list[Shared] = []
        self._numbers = count()
        self._done = asyncio.Condition()
        self._count = 0

    async def run(self) -> None:
        """Run until cancelled."""
        for _ in range(self._slots):
            self._shared.append(await self._begin(self._stores[0]))
        async with asyncio.TaskGroup() as group:
            for number, store in enumerate(self._stores):
                group.create_task(self._work(store, Random(number)))

    async def progress(self, operations: int) -> None:
        """Wait until this many more operations have succeeded."""
        async with self._done:
            due = self._count + operations
            await self._done.wait_for(lambda: self._count >= due)

    async def finish(self) -> None:
        """Read every session again through each store, then close the stores."""
        for store in self._stores:
            for shared in self._shared:
                outcome = Outcome.UNKNOWN
                while outcome is not Outcome.OK:
                    outcome, _ = await self._get(store, shared.key, shared.secret)
            await store.close()

    async def _begin(self, store: PostgresStore) -> Shared:
        while True:
            key = Key(next(self._numbers))
            value = {name: f"{name} {next(self._numbers)}" for name in _REGISTERS}
            draft = Operation(action=Action.GENERATE, key=key, wrote=value)
            _, secret = await self._history.record(draft, store.generate(value))
            if secret is not None:
                return Shared(key, secret)

    async def _work(self, store: PostgresStore, random: Random) -> None:
        actions, weights = list(_HABITS), list(_HABITS.values())
        while True:
            shared = random.choice(self._shared)
            (action,) = random.choices(actions, weights)
            outcome = await self._do(action, store, shared, random)
            if outcome is Outcome.OK:
                async with self._done:
                    self._count += 1
                    self._done.notify_all()

    async def _do(
        self, action: Action, store: PostgresStore, shared: Shared, random: Random
    ) -> Outcome:
        key, secret = shared.key, shared.secret
        match action:
            case Action.GET:
                if shared.stale and random.random() < 0.2:
                    key, secret = random.choice(shared.stale)
                outcome, _ = await self._get(store, key, secret)
            case Action.MERGE:
                outcome = await self._merge(store, shared, random)
            case Action.TAKE:
                outcome = await self._take(store, shared, random)
            case Action.TOUCH:
                draft = Operation(action=action, key=key)
                outcome, _ = await self._history.record(draft, store.touch(secret))
            case Action.RENEW:
                return await self._renew(store, shared)
            case Action.ROTATE:
                outcome = await self._rotate(store, shared)
            case Action.SHOW:
                draft = Operation(action=action, key=key, offered=shared.number)
                outcome, _ = await self._history.record(draft, store.show(secret, shared.number))
            case _:
                draft = Operation(action=action, key=key)
                outcome, _ = await self._history.record(draft, store.clear(secret))
        if key == shared.key and self._history.operations[-1].life is Life.DEAD:
            await self._replace(store, shared, key)
        return outcome

    async def _get(self, store: PostgresStore, key: Key, secret: str) -> tuple[Outcome, object]:
        return await self._history.record(Operation(action=Action.GET, key=key), store.get(secret))

    async def _merge(self, store: PostgresStore, shared: Shared, random: Random) -> Outcome:
        """Write one or two registers, and sometimes set a new token or remove an old one."""
        number = next(self._numbers)
        wrote = {
            name: f"{name} {number}" for name in random.sample(_REGISTERS, random.randint(1, 2))
        }
        removed: frozenset[str] = frozenset()
        if random.random() < 0.4:
            wrote[f"token {number}"] = f"token of {number}"
            shared.tokens.append(f"token {number}")
        elif shared.tokens and random.random() < 0.2:
            removed = frozenset({random.choice(shared.tokens)})
        draft = Operation(action=Action.MERGE, key=shared.key, wrote=wrote, removed=removed)
        outcome, _ = await self._history.record(
            draft, store.merge(shared.secret, Changes(set=wrote, removed=removed))
        )
        return outcome

    async def _take(self, store: PostgresStore, shared: Shared, random: Random) -> Outcome:
        name = random.choice(shared.tokens) if shared.tokens else "token of nobody"
        if len(shared.tokens) > 3:  # leave it for the others to miss for a while
            shared.tokens.remove(name)
        draft = Operation(action=Action.TAKE, key=shared.key, removed=frozenset({name}))
        outcome, _ = await self._history.record(draft, store.take(shared.secret, name))
        return outcome

    async def _renew(self, store: PostgresStore, shared: Shared) -> Outcome:
        key, secret = shared.key, shared.secret
        draft = Operation(action=Action.RENEW, key=key)
        outcome, heir = await self._history.record(draft, store.renew(secret))
        if heir is not None and shared.key == key:
            shared.stale.append((key, secret))
            shared.key, shared.secret = replace(key, number=key.number + 1), heir
            shared.number = 0
        return outcome

    async def _rotate(self, store: PostgresStore, shared: Shared) -> Outcome:
        key, number = shared.key, shared.number
        draft = Operation(action=Action.ROTATE, key=key, offered=number)
        call = store.rotate(shared.secret, number, grace=0)
        outcome, current = await self._history.record(draft, call)
        if current is not None and shared.key == key:
            shared.number = max(shared.number, current)
        return outcome

    async def _replace(self, store: PostgresStore, shared: Shared, key: Key) -> None:
        """Replace a session that has ended with a new one, unless another client has done so."""
        new = await self._begin(store)
        if shared.key == key:
            shared.key, shared.secret, shared.tokens = new.key, new.secret, new.tokens
            shared.number = 0
