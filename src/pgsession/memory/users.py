"""The users of the store in memory."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping
from dataclasses import replace
from typing import Any

from pgsession.core.bound import REGISTERED_WITHIN, Bound, BoundDevice
from pgsession.core.devices import Device
from pgsession.core.hidden import hidden
from pgsession.core.keys import digest, key_digest
from pgsession.core.limits import Limits
from pgsession.core.login import Client, Login, checked_user_id
from pgsession.core.period import Period
from pgsession.core.store import Changes
from pgsession.core.users import (
    RETIRED_FOR,
    HasHandle,
    LoginState,
    checked_most,
    handle_to_keep,
)
from pgsession.errors import SettingsError
from pgsession.memory.rows import Row, User, moment


class MemoryUsers(Limits):
    """The methods of a `UserStore` that a `Store` does not have."""

    _rows: MutableMapping[str, Row]
    _record_client: bool | None
    _numbers: Iterator[int]

    @abstractmethod
    async def generate(
        self,
        value: Mapping[str, Any] | None = None,
        *,
        period: Period | None = None,
        granted: bool = False,
    ) -> str: ...

    @abstractmethod
    async def renew(
        self,
        key: str,
        changes: Changes | None = None,
        *,
        period: Period | None = None,
        granted: bool | None = None,
    ) -> str: ...

    @abstractmethod
    def _end(self, row: Row) -> float: ...

    @property
    def record_client(self) -> bool:
        """Whether the address and the user agent of each sign-in are kept."""
        return self._record_client is True

    async def login(
        self,
        key: str | None,
        login: Login,
        changes: Changes,
        *,
        period: Period | None = None,
        granted: bool = False,
    ) -> str:
        """Bind the session to a user, under a new key, and return that; see `UserStore.login`."""
        period = self._period(period)
        if key is None:
            heir = await self.generate(changes.set, period=period, granted=granted)
        else:
            heir = await self.renew(hidden(key), changes, period=period, granted=granted)
        row, now = self._rows[digest(heir)], time.monotonic()
        number = 0 if row.user is None else row.user.login_number
        user = User(
            login.user_id,
            number + 1,
            now,
            login.stamp,
            login.label,
            login.actor_id,
            login.client or Client(),
        )
        place = next(self._numbers)
        self._rows[digest(heir)] = replace(row, created_at=now, user=user, place=place)
        return heir

    async def confirm(
        self,
        key: str,
        changes: Changes | None = None,
        *,
        period: Period | None = None,
        granted: bool | None = None,
    ) -> str:
        """Record that the user has proved who they are; see `UserStore.confirm`."""
        heir = await self.renew(hidden(key), changes, period=period, granted=granted)
        row, now = self._rows[digest(heir)], time.monotonic()
        user = row.user
        if user is not None:
            kept = user.device_key if user.is_bound else None
            user = replace(user, proved_at=now, device_key=kept)
        place = next(self._numbers)
        self._rows[digest(heir)] = replace(row, created_at=now, user=user, place=place)
        return heir

    async def logout(self, key: str, login_number: int) -> bool:
        """Remove the session if it has this login number still; see `UserStore.logout`."""
        selector = digest(hidden(key))
        row = self._rows.get(selector)
        if row is None:
            return True
        if _login_number(row) != login_number:
            return False
        del self._rows[selector]
        return True

    async def is_retired(self, key: str) -> bool:
        """Return True if a renewal has retired this key within the last minute."""
        selector, verifier = key_digest(hidden(key))
        row = self._rows.get(selector)
        if row is None or row.verifier == verifier or row.renewed_at is None:
            return False
        now = time.monotonic()
        return self._end(row) > now and row.renewed_at > now - RETIRED_FOR.total_seconds()

    async def devices(self, user_id: str) -> list[Device]:
        """Return the living sessions of a user, those seen last first."""
        found = self._of(checked_user_id(user_id))
        ordered = sorted(found.items(), key=lambda it: it[1].seen_at, reverse=True)
        return [_device(handle, row, expires_at=self._end(row)) for handle, row in ordered]

    async def revoke(self, user_id: str, handle: str) -> bool:
        """End one session of a user. Return whether it lived until now."""
        return self._remove(self._of(checked_user_id(user_id), lambda it, _: it == handle)) > 0

    async def revoke_all(
        self, user_id: str, *, keep: HasHandle | str | None = None, connection: None = None
    ) -> int:
        """End all sessions of a user, except `keep`. Return how many ended."""
        if connection is not None:
            raise SettingsError("MemoryStore takes no connection: it is in no database.")
        kept = handle_to_keep(keep)
        return self._remove(self._of(checked_user_id(user_id), lambda it, _: it != kept))

    async def end_surplus(self, user_id: str, most: int) -> int:
        """End all sessions of a user but the `most` that signed in last."""
        checked_most(most)
        counted = self._of(checked_user_id(user_id), lambda _, user: user.actor_id is None)
        newest = sorted(counted, key=lambda it: (_proved_at(counted[it]), it), reverse=True)
        return self._remove(newest[most:])

    async def login_states(self, handles: Collection[str]) -> Mapping[str, LoginState]:
        """Return the login state of each of these sessions that lives."""
        now = time.monotonic()
        rows = {handle: self._rows.get(handle) for handle in handles}
        return {
            handle: LoginState(
                _login_number(row), is_bound=row.user is not None and row.user.is_bound
            )
            for handle, row in rows.items()
            if row is not None and self._end(row) > now
        }

    async def bind(self, bound: Bound, verifier: str | None, public_key: str) -> int | None:
        """Register the key of a device; see `BindingStore.bind`."""
        user = self._bindable(bound)
        row = self._rows.get(bound.handle)
        oldest = time.monotonic() - REGISTERED_WITHIN.total_seconds()
        if user is None or row is None or row.verifier != verifier or user.proved_at < oldest:
            return None
        if user.device_key not in {None, public_key}:
            return None
        self._rows[bound.handle] = replace(row, user=replace(user, device_key=public_key))
        return int(time.time())

    async def bound_device(self, bound: Bound) -> BoundDevice | None:
        """Return the device of a session; see `BindingStore.bound_device`."""
        user = self._bindable(bound)
        if user is None or user.device_key is None:
            return None
        return BoundDevice(user.device_key, int(time.time()), user.is_bound)

    async def enforce(self, bound: Bound) -> bool:
        """Put the binding in force, if there is one; see `BindingStore.enforce`."""
        user = self._bindable(bound)
        if user is None or user.device_key is None or user.is_bound:
            return False
        row = self._rows[bound.handle]
        self._rows[bound.handle] = replace(row, user=replace(user, is_bound=True))
        return True

    def _bindable(self, bound: Bound) -> User | None:
        """Return the user of a living session, if it is of this login still."""
        row = self._rows.get(bound.handle)
        if row is None or self._end(row) <= time.monotonic():
            return None
        user = row.user
        return user if user is not None and user.login_number == bound.login_number else None

    def _of(
        self, user_id: str, is_meant: Callable[[str, User], bool] = lambda _, __: True
    ) -> dict[str, Row]:
        """Return the living rows of a user that are meant."""
        now = time.monotonic()
        return {
            handle: row
            for handle, row in self._rows.items()
            if (user := row.user) is not None
            and user.user_id == user_id
            and self._end(row) > now
            and is_meant(handle, user)
        }

    def _remove(self, handles: Collection[str]) -> int:
        for handle in handles:
            del self._rows[handle]
        return len(handles)


def _login_number(row: Row) -> int:
    return 0 if row.user is None else row.user.login_number


def _proved_at(row: Row) -> float:
    return row.created_at if row.user is None else row.user.proved_at


def _device(handle: str, row: Row, *, expires_at: float) -> Device:
    user = row.user
    client = Client() if user is None else user.client
    return Device(
        handle=handle,
        created_at=moment(row.created_at),
        last_seen_at=moment(row.seen_at),
        expires_at=moment(expires_at),
        authenticated_at=moment(_proved_at(row)),
        label=None if user is None else user.label,
        actor_id=None if user is None else user.actor_id,
        address=client.address,
        agent=client.agent,
        is_bound=user is not None and user.is_bound,
    )
