"""The store in this process's memory, which keeps the same laws as the one in PostgreSQL."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import count
from operator import itemgetter
from typing import Final
from weakref import WeakValueDictionary

from pgsession.core.adoption import AdoptingStore
from pgsession.core.bound import BindingStore
from pgsession.core.hidden import hidden
from pgsession.core.keys import digest, key_digest, new_key, renewed_key
from pgsession.core.large import read_value
from pgsession.core.login import SignedIn, microseconds
from pgsession.core.period import DEFAULT_PERIOD, Period, as_period
from pgsession.core.store import (
    DEFAULT_EXCLUSIVE_LIMIT,
    DEFAULT_EXCLUSIVE_TIMEOUT,
    Changes,
    Entry,
    Store,
    Written,
    as_limit,
    check_alone,
)
from pgsession.core.value import (
    DEFAULT_VALUE_LIMIT,
    JSON,
    check_size,
    checked_names,
    decode_value,
    encode_value,
    printed_size,
)
from pgsession.errors import HeldTooLongError, SessionBusyError, SessionNotFoundError
from pgsession.memory.adoptions import MemoryAdoptions
from pgsession.memory.overview import MemoryOverview
from pgsession.memory.rows import Row, User, members_of, moment, rebased
from pgsession.memory.uncommitted import Uncommitted

#: How many sessions are kept before the expired ones are first removed.
_ROOM: Final = 1024


class MemoryStore(MemoryAdoptions, MemoryOverview, BindingStore, AdoptingStore):
    """Sessions in a dict: for tests and for trying things out.

    They are gone when the process ends, and each process has its own. Expired
    sessions are removed when they are read, and all of them whenever there are
    twice as many sessions as after the last removal.
    """

    def __init__(
        self,
        *,
        default_period: Period = DEFAULT_PERIOD,
        max_lifetime: Period | None = None,
        max_inactivity: Period | None = None,
        value_limit: int = DEFAULT_VALUE_LIMIT,
        exclusive_limit: Period = DEFAULT_EXCLUSIVE_LIMIT,
        record_client: bool | None = None,
    ) -> None:
        super().__init__(
            default_period=default_period,
            max_lifetime=max_lifetime,
            max_inactivity=max_inactivity,
            value_limit=value_limit,
        )
        self._record_client = record_client
        self._exclusive_limit = as_limit(exclusive_limit).total_seconds()
        self._rows: MutableMapping[str, Row] = {}
        self._numbers = count(1)
        self._room: float = _ROOM
        #: Within `exclusive`: the store that the block locks, and the rows that it sees.
        self._block: tuple[MemoryStore, Uncommitted[Row]] | None = None
        # A lock exists as long as a task holds it or waits for it.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def open(self) -> bool:
        """Do nothing: there is nothing to open."""
        return False

    async def close(self) -> None:
        """Do nothing: the sessions live as long as the store."""

    async def check(self) -> None:
        """Do nothing: sessions in memory can always be served."""

    async def generate(
        self,
        value: Mapping[str, JSON] | None = None,
        *,
        period: Period | None = None,
        granted: bool = False,
    ) -> str:
        now = time.monotonic()
        text = self._encoded(value)
        row = Row(text, place=next(self._numbers), created_at=now, seen_at=now, expire_at=now)
        key = new_key()
        row = self._extended(row, period=period, granted=granted)
        self._make_room()
        self._rows[digest(key)] = row
        return key

    async def get(self, key: str) -> Entry | None:
        key = hidden(key)
        row = self._living(key)
        if row is None:
            return None
        return self._entry(row)

    async def get_newest(self, keys: Sequence[str]) -> tuple[str, Entry] | None:
        keys = hidden(tuple(keys))
        rows = {key: self._living(key) for key in keys}
        living = [(row.place, key, row) for key, row in rows.items() if row is not None]
        if not living:
            return None
        _, key, row = max(living, key=itemgetter(0))
        return key, self._entry(row)

    async def set(
        self,
        key: str,
        value: Mapping[str, JSON],
        *,
        period: Period | None = None,
        granted: bool | None = None,
    ) -> Written:
        key = hidden(key)
        text = self._encoded(value)
        row = self._living_or_raise(key)
        row = replace(row, text=text, replaced=row.replaced + 1)
        return self._keep(key, self._extended(row, period=period, granted=granted))

    async def merge(
        self,
        key: str,
        changes: Changes,
        *,
        period: Period | None = None,
        granted: bool | None = None,
    ) -> Written:
        key = hidden(key)
        row = self._merged(self._living_or_raise(key), changes)
        if period is not None:
            row = self._extended(row, period=period, granted=granted)
        return self._keep(key, row)

    async def touch(
        self, key: str, *, period: Period | None = None, granted: bool | None = None
    ) -> Written:
        key = hidden(key)
        row = self._living_or_raise(key)
        return self._keep(key, self._extended(row, period=period, granted=granted))

    async def renew(
        self,
        key: str,
        changes: Changes | None = None,
        *,
        period: Period | None = None,
        granted: bool | None = None,
    ) -> str:
        key = hidden(key)
        row = self._living_or_raise(key)
        if changes is not None:
            row = self._merged(row, changes)
        if period is not None:
            row = self._extended(row, period=period, granted=granted)
        heir = renewed_key(key)
        _, verifier = key_digest(heir)
        self._rows[digest(key)] = replace(
            row, verifier=verifier, number=0, shown_at=None, renewed_at=time.monotonic()
        )
        return heir

    async def rotate(self, key: str, number: int, *, grace: Period) -> int:
        key = hidden(key)
        row, settled_at = self._living_or_raise(key), time.monotonic() - _seconds(grace)
        is_shown = row.shown_at is not None and row.shown_at < settled_at
        if row.number == number and is_shown and row.seen_at < settled_at:
            row = replace(row, number=number + 1, shown_at=None)
        return self._keep(key, row).number

    async def show(self, key: str, number: int) -> None:
        key = hidden(key)
        row = self._living(key)
        if row is None:
            return
        is_new = row.number == number and row.shown_at is None
        if is_new or row.number == number - 1:
            self._keep(key, replace(row, number=number, shown_at=time.monotonic()))

    async def take(self, key: str, name: str, default: JSON = None) -> JSON:
        key = hidden(key)
        if self._block is not None:
            store, rows = self._block
            rows.check_unwritten(digest(key))
            return await store.take(key, name, default)  # at once, so that it stays taken
        row = self._living(key)
        members = {} if row is None else members_of(row)
        if row is None or name not in members:
            return default
        taken = members.pop(name)
        self._rows[digest(key)] = replace(row, text=encode_value(members, limit=math.inf))
        return taken

    @asynccontextmanager
    async def exclusive(
        self, key: str, *, timeout: Period = DEFAULT_EXCLUSIVE_TIMEOUT
    ) -> AsyncIterator[Store]:
        """Hold the session's lock: ``async with store.exclusive(key) as held: …``."""
        key = hidden(key)
        store = self
        if self._block is not None:
            store, rows = self._block
            rows.check()
        lock = self._locks.setdefault(digest(key), asyncio.Lock())
        try:
            async with asyncio.timeout(as_period(timeout).total_seconds()):
                await lock.acquire()
        except TimeoutError:
            raise SessionBusyError("The session's lock was not free in time. Try again.") from None
        rebase = partial(rebased, limit=self.value_limit)
        rows = Uncommitted(lambda: store._rows, rebase)  # noqa: SLF001 - another MemoryStore
        limit = asyncio.timeout(self._exclusive_limit)
        try:
            async with limit:
                yield store._within(rows)  # noqa: SLF001 - another MemoryStore
        except TimeoutError:
            if not limit.expired():
                raise
        else:
            if not limit.expired():
                rows.commit()
        finally:
            rows.end()
            lock.release()
        if limit.expired():
            raise HeldTooLongError

    def _within(self, rows: Uncommitted[Row]) -> MemoryStore:
        """Return the store that a block writes to."""
        within = copy(self)
        within._rows, within._block, within._room = rows, (self, rows), math.inf  # noqa: SLF001 - a copy
        return within

    async def clear(self, key: str, *more: str, only_if_empty: bool = False) -> bool:
        key, more = hidden(key), hidden(more)
        if only_if_empty:
            check_alone(more)
            row = self._living_or_raise(key)
            if row.user is not None or (row.text is not None and decode_value(row.text)):
                return False
        for each in (key, *more):
            if self._living(each) is not None:
                del self._rows[digest(each)]
        return True

    def _make_room(self) -> None:
        if len(self._rows) >= self._room:
            now = time.monotonic()
            self._rows = {key: row for key, row in self._rows.items() if self._end(row) > now}
            self._room = max(_ROOM, 2 * len(self._rows))

    def _keep(self, key: str, row: Row) -> Written:
        self._rows[digest(key)] = row
        return Written(self._capped(row.granted), row.number)

    def _end(self, row: Row) -> float:
        """Return when the session ends, if nothing extends it."""
        ends = [row.expire_at]
        if self.max_lifetime is not None:
            ends.append(row.created_at + self.max_lifetime.total_seconds())
        if self.max_inactivity is not None:
            ends.append(row.seen_at + self.max_inactivity.total_seconds())
        return min(ends)

    def _living(self, key: str) -> Row | None:
        selector, verifier = key_digest(key)
        row = self._rows.get(selector)
        if row is not None and self._end(row) <= time.monotonic():
            del self._rows[selector]
            return None
        return None if row is None or row.verifier != verifier else row

    def _living_or_raise(self, key: str) -> Row:
        row = self._living(key)
        if row is None:
            raise SessionNotFoundError
        return row

    def _merged(self, row: Row, changes: Changes) -> Row:
        if not changes:
            return row
        changed = decode_value(changes.encode(limit=self.value_limit))
        kept = {} if changes.replaced or row.text is None else decode_value(row.text)
        for name in checked_names(changes.removed):
            kept.pop(name, None)
        text = encode_value(kept | changed, limit=math.inf)
        before = 0 if row.text is None else printed_size(row.text)
        check_size(printed_size(text), limit=self.value_limit, before=before)
        return replace(row, text=text, replaced=row.replaced + changes.replaced)

    def _extended(self, row: Row, *, period: Period | None, granted: bool | None) -> Row:
        """Return the row with a new expiry. An own period counts if `granted` is left out."""
        length, own, now = self._period(period), row.granted, time.monotonic()
        if granted is not None:
            own = length if granted else None
        elif own is not None and length > timedelta(0):
            length = own
        return replace(row, expire_at=now + length.total_seconds(), seen_at=now, granted=own)

    def _entry(self, row: Row) -> Entry:
        now = time.monotonic()
        final_at = None
        if self.max_lifetime is not None:
            final_at = row.created_at + self.max_lifetime.total_seconds()
        return Entry(
            value=None if row.text is None else read_value(row.text),
            period=timedelta(seconds=self._end(row) - now),
            granted=self._capped(row.granted),
            lifetime=None if final_at is None else timedelta(seconds=final_at - now),
            number=row.number,
            shown_for=None if row.shown_at is None else timedelta(seconds=now - row.shown_at),
            idle=timedelta(seconds=now - row.seen_at),
            signed_in=None if row.user is None else _signed_in(row.user),
        )


def _signed_in(user: User) -> SignedIn:
    return SignedIn(
        user.user_id,
        microseconds(moment(user.proved_at)),
        int((time.monotonic() - user.proved_at) * 1_000_000),
        user.login_number,
        user.stamp,
        user.label,
        user.actor_id,
        user.is_bound,
        None if user.device_key is None else int(time.time()),
    )


def _seconds(period: Period) -> float:
    return as_period(period).total_seconds()
