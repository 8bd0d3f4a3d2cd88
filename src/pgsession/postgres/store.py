"""The store in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from copy import copy
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self

from msgspec import Raw
from psycopg_pool import AsyncConnectionPool

from pgsession.core.period import DEFAULT_PERIOD, Period, as_period
from pgsession.core.store import (
    DEFAULT_EXCLUSIVE_TIMEOUT,
    Changes,
    Entry,
    Store,
    digest,
    new_key,
)
from pgsession.core.value import (
    DEFAULT_VALUE_LIMIT,
    JSON,
    checked_names,
    decode_member,
    encode_value,
    is_name,
)
from pgsession.errors import SessionNotFoundError, SettingsError
from pgsession.postgres.batching import Calls, Coalesced, Direct, Statements
from pgsession.postgres.connections.conninfo import complete_conninfo
from pgsession.postgres.connections.dedicated import dedicated
from pgsession.postgres.connections.locks import lock_number
from pgsession.postgres.connections.pool import PoolSettings
from pgsession.postgres.connections.runner import DEFAULT_TIMEOUT, Connections
from pgsession.postgres.rows import Draft, Edit
from pgsession.postgres.schema import inspect
from pgsession.postgres.statements import Table
from pgsession.postgres.sweeping.statements import Expired
from pgsession.postgres.sweeping.sweep import Swept, sweep
from pgsession.postgres.sweeping.sweeper import DEFAULT_SWEEP_EVERY, Sweeper


class PostgresStore:
    """Sessions in a PostgreSQL table. `pgsession.core.store.Store` says what the methods promise.

    `source` says where: a libpq conninfo string or URL, an
    `AsyncConnectionPool` of yours, or nothing, if libpq's keywords (``host=``,
    ``port=``, ``dbname=``, ``user=``, ``password=`` …) or its environment
    variables say it all. A pool of yours may serve other purposes too; it is
    opened and closed here only if it was still closed.

    The store opens by itself on first use, once; `open` does it earlier, so
    that a wrong database is an error at start and not at the first request. It
    belongs to the event loop and the process in which it was opened.

    - `default_period`: the period where none is given; a week.
    - `max_lifetime`: how long a session lives at most from its generation on,
      however often it is renewed. It applies to sessions generated from now on.
    - `value_limit`: the largest session, in bytes of its JSON text.
    - `schema`: where the table is; None leaves it to the search_path.
    - `pool_size`: connections at most. Ignored with a pool of yours.
    - `timeout`: seconds that an operation may take, the wait for its turn included. What
      takes longer is `StoreUnavailableError`.
    - `prepared`: False where a pooler in between cannot carry prepared statements.
    - `sweep_every`: about how often expired sessions are removed while the store is open;
      None leaves that to others. It takes one more connection while it lasts, or, with a
      pool of yours, one of its connections for some milliseconds at a time.

    Raises `SettingsError` at once for settings that cannot work.
    """

    def __init__(
        self,
        source: str | AsyncConnectionPool[Any] = "",
        *,
        default_period: Period = DEFAULT_PERIOD,
        max_lifetime: Period | None = None,
        value_limit: int = DEFAULT_VALUE_LIMIT,
        schema: str | None = None,
        pool_size: int = 4,
        timeout: float = DEFAULT_TIMEOUT,
        prepared: bool = True,
        sweep_every: Period | None = DEFAULT_SWEEP_EVERY,
        **libpq: str | int,
    ) -> None:
        self._default_period = as_period(default_period)
        self._max_lifetime = None if max_lifetime is None else as_period(max_lifetime)
        self._value_limit = value_limit
        table = Table(schema=schema, prepared=prepared)
        self._held_table = Table(schema=schema, prepared=prepared, clock="statement_timestamp()")
        if not isinstance(source, str):
            if libpq:
                raise SettingsError(f"A pool takes no {', '.join(sorted(libpq))}: it has its own.")
            settings: PoolSettings | AsyncConnectionPool[Any] = source
        else:
            settings = PoolSettings(
                conninfo=complete_conninfo(source, libpq, timeout=timeout),
                size=pool_size,
                timeout=timeout,
                prepared=prepared,
            )
        self._settings = settings
        self._expired = Expired(schema)
        self._sweeper = None if sweep_every is None else self._make_sweeper(sweep_every)
        self._connections = Connections(
            settings,
            check=partial(inspect, schema=schema),
            patience=timeout,
            on_open=self._start_sweeping,
        )
        self._batches = Coalesced(Statements(table, self._connections), patience=timeout)
        self._calls: Calls = self._batches

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def default_period(self) -> timedelta:
        """The period where none is given. Setting it affects future operations only."""
        return self._default_period

    @default_period.setter
    def default_period(self, period: Period) -> None:
        self._default_period = as_period(period)

    @property
    def value_limit(self) -> int:
        """The largest value, in bytes of its JSON text."""
        return self._value_limit

    @property
    def max_lifetime(self) -> timedelta | None:
        """How long a session lives at most from its generation on."""
        return self._max_lifetime

    async def open(self) -> bool:
        """Connect, and check the table. Returns whether the store was closed before.

        Raises `StoreUnavailableError` if the database cannot be reached, saying
        why, and `SchemaError` if the table is missing, old or altered, saying
        what to run. Opening twice is fine, and so is opening again after `close`.
        """
        self._batches.reopen()
        return await self._connections.open()

    async def close(self) -> None:
        """Answer who waits, then close the connections, those opened here. Twice is fine."""
        await self._batches.close()
        await self._connections.close()
        if self._sweeper is not None:  # last: until here the first use may begin it
            await self._sweeper.stop()

    async def generate(
        self,
        value: Mapping[str, JSON] | None = None,
        *,
        period: Period | None = None,
        granted: bool = False,
    ) -> str:
        """Make a new session and return its key. One statement."""
        key = new_key()
        draft = Draft(
            digest(key),
            self._encode(value),
            self._seconds(period),
            granted,
            None if self._max_lifetime is None else self._max_lifetime.total_seconds(),
        )
        await self._calls.insert(draft)
        return key

    async def get(self, key: str) -> Entry | None:
        """Return the value with its remaining period, or None for a dead key. One statement."""
        row = await self._calls.fetch(digest(key))
        return None if row is None else row.entry()

    async def set(
        self,
        key: str,
        value: Mapping[str, JSON],
        *,
        period: Period | None = None,
        granted: bool | None = None,
    ) -> None:
        """Store the whole value. One statement."""
        seconds = self._seconds(period)
        edit = _edit(key, seconds, granted=granted, changed=self._encode(value), replaced=True)
        if not await self._calls.edit(edit):
            raise SessionNotFoundError

    async def merge(
        self,
        key: str,
        changes: Changes,
        *,
        period: Period | None = None,
        granted: bool | None = None,
    ) -> None:
        """Apply `changes`. One statement."""
        seconds = None if period is None else self._seconds(period)
        if not await self._calls.edit(self._merging(key, changes, seconds, granted=granted)):
            raise SessionNotFoundError

    async def touch(
        self, key: str, *, period: Period | None = None, granted: bool | None = None
    ) -> None:
        """Slide the expiry. One statement."""
        if not await self._calls.edit(_edit(key, self._seconds(period), granted=granted)):
            raise SessionNotFoundError

    async def renew(
        self,
        key: str,
        changes: Changes | None = None,
        *,
        period: Period | None = None,
        granted: bool | None = None,
    ) -> str:
        """Give the session a new key. One statement."""
        heir = new_key()
        seconds = None if period is None else self._seconds(period)
        edit = self._merging(key, changes, seconds, granted=granted, heir=digest(heir))
        if not await self._calls.renew(edit):
            raise SessionNotFoundError
        return heir

    async def take(self, key: str, name: str, default: JSON = None) -> JSON:
        """Remove a member and return it, or `default`. One statement."""
        if not is_name(name):
            return default
        taken = await self._calls.take(digest(key), name)
        return default if taken is None else decode_member(taken)

    @asynccontextmanager
    async def exclusive(
        self, key: str, *, timeout: Period = DEFAULT_EXCLUSIVE_TIMEOUT
    ) -> AsyncIterator[Store]:
        """Hold the session's lock in a transaction; yield the store that writes within it.

        Holders and those next in line take half of the pool's connections at
        most, so that everyone else goes on.
        """
        seconds = as_period(timeout).total_seconds()
        try:
            async with self._connections.hold(lock_number(digest(key)), seconds) as held:
                within = copy(self)
                within._calls = Direct(Statements(self._held_table, held))  # noqa: SLF001 - a copy
                yield within
        finally:
            self._batches.forget_dead()

    async def clear(self, key: str, *, only_if_empty: bool = False) -> bool:
        """Remove the session. One statement."""
        gone = digest(key)
        if not only_if_empty:
            await self._calls.delete(gone)
            return True
        was_empty = await self._calls.delete_empty(gone)
        if was_empty is None:
            raise SessionNotFoundError
        return was_empty

    async def sweep(self, *, progress: Callable[[Swept], object] | None = None) -> Swept:
        """Remove what has expired, now; tell `progress` after each batch; return what was done.

        The statements take some milliseconds each, with as long a pause after
        each. Of two sweeps at once, in whatever processes, one goes on.
        """
        if not isinstance(self._settings, PoolSettings):
            return await sweep(self._connections, self._expired, progress=progress)
        conninfo, patience = self._settings.conninfo, self._settings.timeout
        async with dedicated(conninfo, purpose="sweep", patience=patience) as connection:
            return await sweep(connection, self._expired, progress=progress)

    def _make_sweeper(self, every: Period) -> Sweeper:
        pause = as_period(every)
        if pause <= timedelta(0):
            raise SettingsError("sweep_every is a positive period, or None.")
        return Sweeper(self.sweep, every=pause)

    def _start_sweeping(self) -> None:
        if self._sweeper is not None:
            self._sweeper.start()

    def _merging(
        self,
        key: str,
        changes: Changes | None,
        seconds: float | None,
        *,
        granted: bool | None,
        heir: str | None = None,
    ) -> Edit:
        """Return the edit for `changes`, encoded now: its values are the caller's to alter."""
        if not changes:
            return _edit(key, seconds, granted=granted, heir=heir)
        return _edit(
            key,
            seconds,
            granted=granted,
            changed=Raw(changes.encode(limit=self._value_limit)),
            removed=checked_names(changes.removed) if changes.removed else (),
            replaced=changes.replaced,
            heir=heir,
        )

    def _seconds(self, period: Period | None) -> float:
        """Return `period`, else the default, in seconds."""
        return (self._default_period if period is None else as_period(period)).total_seconds()

    def _encode(self, value: Mapping[str, JSON] | None) -> Raw | None:
        return None if value is None else Raw(encode_value(value, limit=self._value_limit))


def _edit(
    key: str,
    seconds: float | None,
    *,
    granted: bool | None,
    changed: Raw | None = None,
    removed: tuple[str, ...] = (),
    replaced: bool = False,
    heir: str | None = None,
) -> Edit:
    """Return an edit; `granted` is as the store's contract has it."""
    grants = seconds is not None and granted is not None
    own = seconds if granted else None
    return Edit(digest(key), changed, removed, replaced, seconds, grants, own, heir)
