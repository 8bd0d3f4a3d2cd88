"""Clients that sign users in and out of a few sessions continuously, and record it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from random import Random
from types import SimpleNamespace
from typing import Final, TypeVar

from pgsession import (
    Changes,
    Login,
    PostgresStore,
    SessionNotFoundError,
    StoreBusyError,
    StoreUnavailableError,
)
from pgsession.core.keys import digest
from tests.concurrency.history import Outcome
from tests.concurrency.nemesis import Server
from tests.concurrency.user_history import Act, Event, name_of

_T = TypeVar("_T")

_USERS: Final = ("ann", "bob")

#: How often, in percent, a client chooses each act.
_HABITS: Final = {
    Act.ASK: 50,
    Act.LOGIN: 14,
    Act.CONFIRM: 12,
    Act.LOGOUT: 6,
    Act.LIST: 8,
    Act.REVOKE: 6,
    Act.REVOKE_ALL: 4,
}


@dataclass(frozen=True, slots=True)
class _Held:
    """A key that all clients use, and the number of its login."""

    key: str
    login_number: int


class UserClients:
    """Some clients, each with its own store and pool, and the keys that they share."""

    def __init__(self, server: Server, *, clients: int, keys: int) -> None:
        self._stores = [
            PostgresStore(server.conninfo, pool_size=2, timeout=5) for _ in range(clients)
        ]
        self._held: list[_Held | None] = [None] * keys
        self._old: list[str] = []
        self.events: list[Event] = []

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number, store in enumerate(self._stores):
                group.create_task(self._work(store, Random(number)))

    async def finish(self) -> None:
        """List the sessions of all users through each store, then close the stores."""
        for store in self._stores:
            for user in _USERS:
                while await self._list(store, user) is None:
                    pass
            await store.close()

    async def _work(self, store: PostgresStore, random: Random) -> None:
        acts, weights = list(_HABITS), list(_HABITS.values())
        while True:
            place, user = random.randrange(len(self._held)), random.choice(_USERS)
            held = self._held[place]
            (act,) = random.choices(acts, weights)
            match act:
                case Act.LIST:
                    await self._list(store, user)
                case Act.REVOKE | Act.REVOKE_ALL:
                    await self._revoke(store, act, user, held)
                case _ if held is None or act is Act.LOGIN:
                    await self._login(store, user, place, held)
                case Act.ASK:
                    await self._ask(store, place, held, random)
                case Act.CONFIRM:
                    await self._confirm(store, place, held)
                case _:
                    await self._logout(store, place, held)

    async def _login(self, store: PostgresStore, user: str, place: int, held: _Held | None) -> None:
        key = None if held is None else held.key
        event = _event(Act.LOGIN, user=user, key=key)
        given = await self._record(event, store.login(key, Login(user), Changes()))
        if given is not None:
            number = 1 if held is None else held.login_number + 1
            self._put(place, held, _Held(given, number))
        elif self.events[-1].outcome is not Outcome.OK:
            self._put(place, held, None)

    async def _confirm(self, store: PostgresStore, place: int, held: _Held) -> None:
        given = await self._record(_event(Act.CONFIRM, key=held.key), store.confirm(held.key))
        self._put(place, held, None if given is None else _Held(given, held.login_number))

    async def _logout(self, store: PostgresStore, place: int, held: _Held) -> None:
        call = store.logout(held.key, held.login_number)
        await self._record(_event(Act.LOGOUT, key=held.key), call)
        self._put(place, held, None)

    async def _ask(self, store: PostgresStore, place: int, held: _Held, random: Random) -> None:
        key = random.choice(self._old) if self._old and random.random() < 0.3 else held.key
        await self._record(_event(Act.ASK, key=key), _user_of(store, key))
        told = self.events[-1]
        if key == held.key and told.outcome is Outcome.OK and told.found is None:
            self._put(place, held, None)

    async def _revoke(self, store: PostgresStore, act: Act, user: str, held: _Held | None) -> None:
        handle = "" if held is None else digest(held.key)
        call = (
            store.revoke(user, handle)
            if act is Act.REVOKE
            else store.revoke_all(user, keep=SimpleNamespace(handle=handle))
        )
        await self._record(_event(act, user=user, handle=handle), call)

    async def _list(self, store: PostgresStore, user: str) -> object:
        return await self._record(_event(Act.LIST, user=user), store.devices(user))

    def _put(self, place: int, before: _Held | None, held: _Held | None) -> None:
        """Replace a key that no other client has replaced."""
        if self._held[place] == before:
            self._held[place] = held
        self._old = [*self._old[-20:], *([] if held is None else [held.key])]

    async def _record(self, draft: Event, call: Awaitable[_T]) -> _T | None:
        """Await the call and record `draft` with what came of it; return the result."""
        done = replace(draft, outcome=Outcome.UNKNOWN)
        invoked, result = time.monotonic(), None
        try:
            result = await call
            done = _told(draft, result)
        except SessionNotFoundError:  # which tells what a read would
            done = replace(draft, act=Act.ASK, user="")
        except StoreBusyError:
            done = replace(draft, outcome=Outcome.FAILED)
        except StoreUnavailableError:
            pass
        finally:
            is_unknown = done.outcome is Outcome.UNKNOWN
            returned = math.inf if is_unknown else time.monotonic()
            self.events.append(replace(done, invoked=invoked, returned=returned))
        return result


def _event(act: Act, *, user: str = "", key: str | None = None, handle: str = "") -> Event:
    name = "" if key is None else name_of(key)
    return Event(act=act, invoked=0, returned=0, user=user, key=name, handle=handle)


def _told(draft: Event, result: object) -> Event:
    """Add what the result of a call tells."""
    match draft.act, result:
        case Act.LOGOUT, False:  # somebody has signed in to it since
            return replace(draft, outcome=Outcome.FAILED)
        case Act.LOGIN | Act.CONFIRM, str() as key:
            return replace(draft, given=name_of(key))
        case Act.ASK, str() as user:
            return replace(draft, found=user)
        case Act.REVOKE | Act.REVOKE_ALL, int() as count:
            return replace(draft, count=int(count))
        case Act.LIST, list() as devices:
            return replace(draft, handles=frozenset(device.handle for device in devices))
        case _:
            return draft


async def _user_of(store: PostgresStore, key: str) -> str | None:
    entry = await store.get(key)
    return None if entry is None or entry.signed_in is None else entry.signed_in.user_id
