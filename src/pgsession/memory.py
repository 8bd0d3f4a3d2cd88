"""The store in this process's memory, which keeps the same laws as the one in PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from operator import itemgetter
from typing import Final
from weakref import WeakValueDictionary

from pgsession.core.hidden import hidden
from pgsession.core.limits import Limits
from pgsession.core.period import DEFAULT_PERIOD, Period, as_period
from pgsession.core.store import (
    DEFAULT_EXCLUSIVE_TIMEOUT,
    Changes,
    Entry,
    Store,
    check_alone,
    digest,
    new_key,
)
from pgsession.core.value import (
    DEFAULT_VALUE_LIMIT,
    JSON,
    checked_names,
    decode_value,
)
from pgsession.errors import SessionNotFoundError, StoreBusyError

#: How many sessions are kept before the expired ones are first removed.
_ROOM: Final = 1024


@dataclass(frozen=True, slots=True)
class _Row:
    """What the table would hold. Times are seconds of this process's monotonic clock."""

    text: bytes | None = field(repr=False)
    expire_at: float
    final_at: float | None
    granted: timedelta | None
    #: Which of the sessions of this store it is: the later, the larger.
    number: int


class MemoryStore(Limits, Store):
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
        value_limit: int = DEFAULT_VALUE_LIMIT,
    ) -> None:
        super().__init__(
            default_period=default_period, max_lifetime=max_lifetime, value_limit=value_limit
        )
        self._rows: dict[str, _Row] = {}
        self._generated = 0
        self._room = _ROOM
        # A lock exists as long as a task holds it or waits for it.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def open(self) -> bool:
        """Do nothing: there is nothing to open."""
        return False

    async def close(self) -> None:
        """Do nothing: the sessions live as long as the store."""

    async def generate(
        self,
        value: Mapping[str, JSON] | None = None,
        *,
        period: Period | None = None,
        granted: bool = False,
    ) -> str:
        now = time.monotonic()
        final_at = None if self.max_lifetime is None else now + self.max_lifetime.total_seconds()
        text, self._generated = self._encoded(value), self._generated + 1
        row = _Row(text, expire_at=now, final_at=final_at, granted=None, number=self._generated)
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
        return _entry(row)

    async def get_newest(self, keys: Sequence[str]) -> tuple[str, Entry] | None:
        keys = hidden(tuple(keys))
        rows = {key: self._living(key) for key in keys}
        living = [(row.number, key, row) for key, row in rows.items() if row is not None]
        if not living:
            return None
        _, key, row = max(living, key=itemgetter(0))
        return key, _entry(row)

    async def set(
        self,
        key: str,
        value: Mapping[str, JSON],
        *,
        period: Period | None = None,
        granted: bool | None = None,
    ) -> None:
        key = hidden(key)
        text = self._encoded(value)
        row = replace(self._living_or_raise(key), text=text)
        self._rows[digest(key)] = self._extended(row, period=period, granted=granted)

    async def merge(
        self,
        key: str,
        changes: Changes,
        *,
        period: Period | None = None,
        granted: bool | None = None,
    ) -> None:
        key = hidden(key)
        row = self._merged(self._living_or_raise(key), changes)
        if period is not None:
            row = self._extended(row, period=period, granted=granted)
        self._rows[digest(key)] = row

    async def touch(
        self, key: str, *, period: Period | None = None, granted: bool | None = None
    ) -> None:
        key = hidden(key)
        row = self._living_or_raise(key)
        self._rows[digest(key)] = self._extended(row, period=period, granted=granted)

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
        heir = new_key()
        del self._rows[digest(key)]
        self._rows[digest(heir)] = row
        return heir

    async def take(self, key: str, name: str, default: JSON = None) -> JSON:
        key = hidden(key)
        row = self._living(key)
        members = {} if row is None or row.text is None else decode_value(row.text)
        if row is None or name not in members:
            return default
        taken = members.pop(name)
        self._rows[digest(key)] = replace(row, text=self._encoded(members))
        return taken

    @asynccontextmanager
    async def exclusive(
        self, key: str, *, timeout: Period = DEFAULT_EXCLUSIVE_TIMEOUT
    ) -> AsyncIterator[Store]:
        """Hold the session's lock: ``async with store.exclusive(key) as held: …``.

        Unlike in PostgreSQL, what the block wrote stays if it raises.
        """
        key = hidden(key)
        lock = self._locks.setdefault(digest(key), asyncio.Lock())
        try:
            async with asyncio.timeout(as_period(timeout).total_seconds()):
                await lock.acquire()
        except TimeoutError:
            raise StoreBusyError("The session's lock was not free in time. Try again.") from None
        try:
            yield self
        finally:
            lock.release()

    async def clear(self, key: str, *more: str, only_if_empty: bool = False) -> bool:
        key, more = hidden(key), hidden(more)
        if only_if_empty:
            check_alone(more)
            row = self._living_or_raise(key)
            if row.text is not None and decode_value(row.text):
                return False
        for each in (key, *more):
            self._rows.pop(digest(each), None)
        return True

    def _make_room(self) -> None:
        if len(self._rows) >= self._room:
            now = time.monotonic()
            self._rows = {key: row for key, row in self._rows.items() if row.expire_at > now}
            self._room = max(_ROOM, 2 * len(self._rows))

    def _living(self, key: str) -> _Row | None:
        row = self._rows.get(digest(key))
        if row is not None and row.expire_at <= time.monotonic():
            del self._rows[digest(key)]
            return None
        return row

    def _living_or_raise(self, key: str) -> _Row:
        row = self._living(key)
        if row is None:
            raise SessionNotFoundError
        return row

    def _merged(self, row: _Row, changes: Changes) -> _Row:
        if not changes:
            return row
        changed = decode_value(changes.encode(limit=self.value_limit))
        kept = {} if changes.replaced or row.text is None else decode_value(row.text)
        for name in checked_names(changes.removed):
            kept.pop(name, None)
        return replace(row, text=self._encoded(kept | changed))

    def _extended(self, row: _Row, *, period: Period | None, granted: bool | None) -> _Row:
        length = self._period(period)
        expire_at = time.monotonic() + length.total_seconds()
        if row.final_at is not None:
            expire_at = min(expire_at, row.final_at)
        own = row.granted if granted is None else length if granted else None
        return replace(row, expire_at=expire_at, granted=own)


def _entry(row: _Row) -> Entry:
    now = time.monotonic()
    return Entry(
        value=None if row.text is None else decode_value(row.text),
        period=timedelta(seconds=row.expire_at - now),
        granted=row.granted,
        lifetime=None if row.final_at is None else timedelta(seconds=row.final_at - now),
    )
