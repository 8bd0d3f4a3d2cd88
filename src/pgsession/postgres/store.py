"""The store in PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from msgspec import Raw
from psycopg_pool import AsyncConnectionPool

from pgsession import rare
from pgsession.core.hidden import HiddenDict, hidden
from pgsession.core.keys import KeyDigest, digest, key_digest, new_key, renewed_key
from pgsession.core.observer import StoreObserver
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
from pgsession.core.users import UserStore
from pgsession.core.value import (
    DEFAULT_VALUE_LIMIT,
    JSON,
    checked_names,
    decode_member,
    is_name,
    printed_bound,
)
from pgsession.errors import SessionError, SessionNotFoundError, SettingsError
from pgsession.postgres.adoptions import Adoptions
from pgsession.postgres.batching import Calls
from pgsession.postgres.connections.conninfo import as_url, complete_conninfo
from pgsession.postgres.connections.dedicated import Dedicated, dedicated
from pgsession.postgres.connections.locks import lock_number
from pgsession.postgres.connections.own_pool import DEFAULT_LIFETIME, PoolSettings, as_lifetime
from pgsession.postgres.connections.runner import DEFAULT_TIMEOUT, Runner
from pgsession.postgres.dead_keys import DeadKeys
from pgsession.postgres.device_bindings import DeviceBindings
from pgsession.postgres.engine import Engine
from pgsession.postgres.overview import SignedInUsers
from pgsession.postgres.rows import Draft, Edit, Edited, Row, Showing
from pgsession.postgres.statements.table import Table
from pgsession.postgres.statements.text import Wording
from pgsession.postgres.sweeping.sweeper import DEFAULT_SWEEP_EVERY, Sweeper
from pgsession.postgres.table_name import DEFAULT_TABLE, TableName
from pgsession.postgres.tables import Tables
from pgsession.postgres.user_sessions import UserSessions
from pgsession.telemetry.choice import TelemetryChoice, find_observer


class PostgresStore(UserSessions, SignedInUsers, DeviceBindings, Adoptions, UserStore):
    """Sessions in a PostgreSQL table. Each operation is one statement.

    `source` says where: a libpq conninfo string or URL, an
    `AsyncConnectionPool` of yours, or nothing, if libpq's keywords (``host=``,
    ``port=``, ``dbname=``, ``user=``, ``password=`` …) or its environment
    variables say it all. A pool of yours may serve other purposes too; it is
    opened and closed here only if it was closed before.

    The store opens on first use, once. `open` does it earlier, so that a wrong
    database is an error at start and not at the first request. An open store
    belongs to the event loop and the process in which it was opened.

    - `default_period`: how long a session lives after its last use; a week.
    - `max_lifetime`: how long a session lives at most after it was generated,
      however often it is used.
    - `max_inactivity`: how long it lives at most after it was last extended, even
      with a longer period of its own. Both limits hold for all sessions in the table.
    - `value_limit`: the largest session, in bytes of its JSON text as PostgreSQL prints it.
    - `schema`: where the table is; None leaves it to the search_path.
    - `table`: its name, if it is not ``session``: lower-case letters, digits and underscores.
    - `pool_size`: connections at most. Ignored with a pool of yours.
    - `timeout`: seconds that an operation may take, including the wait for a connection. After
      that it raises `StoreUnavailableError`.
    - `prepared`: whether statements are prepared. None finds out: they are, unless a pooler
      such as PgBouncer stands in between. True also prepares them behind a pooler, which must
      support that; `open` raises `SettingsError` if it does not.
    - `sweep_every`: about how often expired sessions are removed while the store is open; None
      for never. A sweep takes one connection more; with a pool of yours, it takes one of its
      connections for some milliseconds at a time.
    - `exclusive_limit`: how long an `exclusive` block holds its lock at most. After that it is
      cancelled and undone, and raises `HeldTooLongError`.
    - `record_client`: True keeps the address and the user agent of each sign-in. False erases, with
      each sweep, those that were kept. None does neither.
    - `telemetry`: whether statements, connections and sweeps are reported to OpenTelemetry; None:
      they are if ``opentelemetry-api`` is installed. A `Telemetry` names providers of yours.
    - `connection_lifetime`: how old a connection becomes at most, a second or more; an hour. So
      all connections move, without a failing call, to a server that takes over the host's name.
      Ignored with a pool of yours.

    Raises `SettingsError` at once for settings that cannot work.
    """

    def __init__(
        self,
        source: str | AsyncConnectionPool[Any] = "",
        *,
        default_period: Period = DEFAULT_PERIOD,
        max_lifetime: Period | None = None,
        max_inactivity: Period | None = None,
        value_limit: int = DEFAULT_VALUE_LIMIT,
        schema: str | None = None,
        table: str = DEFAULT_TABLE,
        pool_size: int = 4,
        timeout: float = DEFAULT_TIMEOUT,
        prepared: bool | None = None,
        sweep_every: Period | None = DEFAULT_SWEEP_EVERY,
        exclusive_limit: Period = DEFAULT_EXCLUSIVE_LIMIT,
        record_client: bool | None = None,
        telemetry: TelemetryChoice = None,
        connection_lifetime: Period = DEFAULT_LIFETIME,
        **libpq: str | int,
    ) -> None:
        source = hidden(source)
        libpq = HiddenDict(libpq)
        if not isinstance(source, AsyncConnectionPool):
            source = as_url(source)
        super().__init__(
            default_period=default_period,
            max_lifetime=max_lifetime,
            max_inactivity=max_inactivity,
            value_limit=value_limit,
        )
        self._timeout = timeout
        self._record_client = record_client
        self._exclusive_limit = as_limit(exclusive_limit).total_seconds()
        if isinstance(source, AsyncConnectionPool):
            if libpq:
                raise SettingsError(f"A pool takes no {', '.join(sorted(libpq))}: it has its own.")
            self._source: PoolSettings | AsyncConnectionPool[Any] = source
        else:
            self._source = PoolSettings(
                conninfo=complete_conninfo(source, libpq, timeout=timeout),
                size=pool_size,
                timeout=timeout,
                prepared=prepared,
                lifetime=as_lifetime(connection_lifetime).total_seconds(),
            )
        self._name = TableName(schema, table)
        observer = find_observer(telemetry)
        #: Is told of statements, connections and sweeps, or None.
        self._observer: StoreObserver | None = None
        if observer is not None:
            from pgsession.postgres.observing import place_of  # noqa: PLC0415 - only with telemetry

            self._observer = observer.of_store(place_of(self._source, self._name))
        wording = Wording(
            self._name,
            max_lifetime=self.max_lifetime,
            max_inactivity=self.max_inactivity,
            value_limit=value_limit,
        )
        self._tables = Tables(wording, prepared=prepared, timeout=timeout)
        self._sweeper = None if sweep_every is None else self._make_sweeper(sweep_every)
        #: Makes the entry of a row.
        self._entry: Callable[[Row], Entry | None] = Row.entry
        if self.max_lifetime is not None or self.max_inactivity is not None:
            self._entry = partial(
                Row.entry, max_lifetime=self.max_lifetime, max_inactivity=self.max_inactivity
            )
        self._dead = DeadKeys()
        #: What is used in the event loop that uses the store, whether it is open or not.
        self._engine: Engine | None = None
        #: What is used instead within `exclusive`, and what says that the block is over.
        self._held: Calls | None = None
        self._block: Dedicated | None = None

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
    def record_client(self) -> bool:
        """Whether the address and the user agent of each sign-in are kept."""
        return self._record_client is True

    @property
    def timeout(self) -> float:
        """How many seconds an operation may take at most, with the wait for a connection."""
        return self._timeout

    async def open(self) -> bool:
        """Connect, and check the table. Return whether the store was closed.

        Raises `StoreUnavailableError` if the database cannot be reached, saying
        why, and `SchemaError` if the table is missing, old or altered, saying
        what to run. Opening twice is fine, and so is opening again after `close`.
        """
        engine = self._here(reopening=True)
        was_open = engine.pool.is_open
        await engine.pool.open()
        return not was_open

    async def close(self) -> None:
        """Answer the calls in flight, then close the connections, if they were opened here.

        Closing twice is fine. A later call in this event loop raises
        `StoreClosedError`.
        """
        engine = self._here()
        engine.is_closed = True  # so that a first use under way does not start the sweeper
        if self._sweeper is not None:  # before the pool is closed, which may be the caller's
            await self._sweeper.stop()
        await engine.close()

    async def check(self) -> None:
        """Check that requests can be served now; return None if so, and else raise the reason.

        It does what a request does: it waits for a connection of the pool, opens a store that
        is closed, reads the table, and looks whether the server takes writes from this role.
        It writes nothing. Calls at once, in one process, share one check of two small
        statements.

        Raises `StoreUnavailableError` if the database cannot be reached, takes no writes or
        does not answer within `timeout`, `StoreBusyError` if no connection was free in that
        time, `StoreRejectedError` if the server rejects the connection, `SchemaError` if the
        table, a column or a privilege is missing, and `StoreClosedError` after `close`.
        """
        if self._block is not None:
            self._block.check()
        await self._here().checking.check()

    async def generate(
        self,
        value: Mapping[str, JSON] | None = None,
        *,
        period: Period | None = None,
        granted: bool = False,
    ) -> str:
        key, text = new_key(), self._encoded(value)
        draft = Draft(
            digest(key),
            None if text is None else Raw(text),
            self._period(period).total_seconds(),
            granted,
            0 if text is None else printed_bound(text),
        )
        await self._calls().insert(draft)
        return key

    async def get(self, key: str) -> Entry | None:
        key = hidden(key)
        wanted, dead, is_held = key_digest(key), self._dead, self._held is not None
        if wanted in dead and not is_held:
            return None
        changes = dead.changes
        row = await self._calls().fetch(wanted)
        if row is not None:
            return self._entry(row)
        if dead.changes == changes and not is_held:
            dead.add(wanted)
        return None

    async def get_newest(self, keys: Sequence[str]) -> tuple[str, Entry] | None:
        keys, dead, is_held = hidden(tuple(keys)), self._dead, self._held is not None
        by_digest = {key_digest(key): key for key in keys}
        wanted = tuple(it for it in by_digest if is_held or it not in dead)
        if not wanted:
            return None
        changes = dead.changes
        row = await self._calls().fetch_newest(wanted)
        if row is not None:
            entry = self._entry(row)
            return None if entry is None else (by_digest[row.key], entry)
        if dead.changes == changes and not is_held:
            for each in wanted:
                dead.add(each)
        return None

    async def set(
        self,
        key: str,
        value: Mapping[str, JSON],
        *,
        period: Period | None = None,
        granted: bool | None = None,
    ) -> Written:
        key = hidden(key)
        everything = Changes(value, replaced=True)
        return await self._apply(
            self._merging(key, everything, self._period(period), granted=granted)
        )

    async def merge(
        self,
        key: str,
        changes: Changes,
        *,
        period: Period | None = None,
        granted: bool | None = None,
    ) -> Written:
        key = hidden(key)
        edit = self._merging(key, changes, period, granted=granted)
        return self._written(edit, await self._calls().edit(edit))

    async def touch(
        self, key: str, *, period: Period | None = None, granted: bool | None = None
    ) -> Written:
        key = hidden(key)
        return await self._apply(self._merging(key, None, self._period(period), granted=granted))

    async def renew(
        self,
        key: str,
        changes: Changes | None = None,
        *,
        period: Period | None = None,
        granted: bool | None = None,
    ) -> str:
        key = hidden(key)
        heir = renewed_key(key)
        _, verifier = key_digest(heir)
        await self._apply(self._merging(key, changes, period, granted=granted, heir=verifier))
        return heir

    async def rotate(self, key: str, number: int, *, grace: Period) -> int:
        key = hidden(key)
        seconds = as_period(grace).total_seconds()
        current = await self._calls().renumber(Showing(key_digest(key), number, seconds))
        if current is None:
            raise SessionNotFoundError
        return current

    async def show(self, key: str, number: int) -> None:
        key = hidden(key)
        await self._calls().renumber(Showing(key_digest(key), number))

    async def take(self, key: str, name: str, default: JSON = None) -> JSON:
        key = hidden(key)
        if not is_name(name):
            return default
        taken = await self._calls().take((key_digest(key), name))
        return default if taken is None else decode_member(taken)

    @asynccontextmanager
    async def exclusive(
        self, key: str, *, timeout: Period = DEFAULT_EXCLUSIVE_TIMEOUT
    ) -> AsyncIterator[Store]:
        """Hold the session's lock in a transaction: ``async with store.exclusive(key) as held: …``.

        The transaction holds a connection while the block runs, beside those of
        `pool_size`: 16 at most serve locks, and as many blocks in other blocks.
        Of a pool of yours, at most half of the connections do, and at least one.
        """
        key = hidden(key)
        seconds = as_period(timeout).total_seconds()
        if self._block is not None:
            self._block.check()
        engine = self._here()
        await engine.pool.open()
        calls_within = rare.calls_within
        self._tables.held.complete()  # what is needed is imported before the transaction
        written: set[KeyDigest] = set()
        try:
            async with engine.locks.hold(lock_number(digest(key)), seconds) as connection:
                held = Dedicated(connection, timeout=self._timeout)
                within = copy(self)
                within._block = held  # noqa: SLF001 - a copy
                within._held = calls_within(  # noqa: SLF001 - a copy
                    self._tables.held, held, engine.calls, written, observer=self._observer
                )
                try:
                    yield within
                finally:
                    await held.end()
        finally:
            self._forget(written)

    def _forget(self, written: Collection[KeyDigest]) -> None:
        """Forget that keys were dead which a transaction may have made or extended."""
        for each in written:
            self._dead.forget(each)
        if written:
            self._dead.changes += 1  # a SELECT under way may not have seen the commit

    async def clear(self, key: str, *more: str, only_if_empty: bool = False) -> bool:
        key, more = hidden(key), hidden(more)
        calls, gone = self._calls(), key_digest(key)
        if only_if_empty:
            check_alone(more)
        if more:
            await calls.delete_together((gone, *map(key_digest, more)))
            return True
        if not only_if_empty:
            await calls.delete(gone)
            return True
        was_empty = await calls.delete_empty(gone)
        if was_empty is None:
            raise SessionNotFoundError
        return was_empty

    async def sweep(self, *, progress: Callable[[rare.Swept], object] | None = None) -> rare.Swept:
        """Remove expired sessions now; call `progress` after each batch; return what was done.

        Each batch takes some milliseconds, followed by a pause of the same
        length. If two sweeps meet, in whatever processes, one of them goes on
        and the other returns with ``is_whole=False``. With ``record_client=False`` it also
        erases what was recorded of clients.

        Raises `SchemaError`, and removes nothing, if the table is missing, old or altered.
        """
        begin, observer = time.monotonic(), self._observer
        try:
            swept = await self._sweep_apart(progress)
        except BaseException as error:
            if observer is not None:
                observer.sweep(time.monotonic() - begin, 0, error)
            raise
        if observer is not None:
            observer.sweep(time.monotonic() - begin, swept.rows)
        return swept

    async def _sweep_apart(self, progress: Callable[[rare.Swept], object] | None) -> rare.Swept:
        """Sweep on a connection beside the pool, or on those of a pool of the application's."""
        if not isinstance(self._source, PoolSettings):
            return await self._sweep(self._here().runner, progress)
        conninfo = self._source.conninfo
        async with dedicated(conninfo, purpose="sweep", timeout=self._timeout) as connection:
            return await self._sweep(connection, progress)

    async def _sweep(
        self, runner: Runner | Dedicated, progress: Callable[[rare.Swept], object] | None
    ) -> rare.Swept:
        # Rare in a process that does not serve.
        from pgsession.postgres.sweeping.clients import erase_clients  # noqa: PLC0415
        from pgsession.postgres.sweeping.statements import Expired  # noqa: PLC0415
        from pgsession.postgres.sweeping.sweep import sweep  # noqa: PLC0415

        expired = Expired(
            self._name, max_lifetime=self.max_lifetime, max_inactivity=self.max_inactivity
        )
        swept = await sweep(runner, expired, progress=progress)
        if swept.is_whole and self._record_client is False:
            is_distributed = expired.is_distributed
            await erase_clients(runner, self._name, is_distributed=is_distributed)
        return swept

    async def _located_table(self) -> Table:
        await self._here().pool.open()
        located = self._tables.located
        assert located is not None  # noqa: S101 - `Tables.check` has run
        return located

    def _batched_table(self) -> Table:
        return self._tables.batched

    def _patience(self) -> float:
        if self._held is not None:
            raise SessionError("revoke_everyone() does not work within an exclusive block.")
        return self._exclusive_limit

    def _runner(self) -> Runner:
        return self._here().runner

    def _calls(self) -> Calls:
        return self._here().calls if self._held is None else self._held

    def _here(self, *, reopening: bool = False) -> Engine:
        """Return the engine of this event loop, a new one if the store moves here or reopens."""
        engine = self._engine
        if engine is not None:
            if engine.loop is _running_loop():
                if not (reopening and engine.is_closed):
                    return engine
            elif not engine.is_closed:
                engine.leave()
        rare.finish_import()  # before there are connections
        self._engine = engine = Engine(
            _running_loop(),
            self._source,
            self._tables.batched,
            name=self._name,
            check=self._tables.check,
            inspect=self._tables.inspect,
            on_open=self._start_sweeping,
            on_astray=self._tables.stop_preparing,
            timeout=self._timeout,
            limit=self._exclusive_limit,
            observer=self._observer,
        )
        return engine

    def _make_sweeper(self, every: Period) -> Sweeper:
        pause = as_period(every)
        if pause <= timedelta(0):
            raise SettingsError("sweep_every must be a positive period or None.")
        return Sweeper(self.sweep, every=pause)

    def _start_sweeping(self) -> None:
        if self._sweeper is not None and not self._here().is_closed:
            self._sweeper.start()

    async def _apply(self, edit: Edit) -> Written:
        """Apply an edit."""
        return self._written(edit, await self._calls().edit(edit))

    def _written(self, edit: Edit, edited: Edited | None) -> Written:
        """Return what an edit tells of its row. If it succeeded, the key is not dead."""
        if edited is None:
            raise SessionNotFoundError
        if self._dead:
            self._dead.forget(edit.key)
        granted, number = edited.granted, edited.number
        if granted is None and number == 0:  # nearly always
            return _USUAL
        own = None if granted is None else self._capped(timedelta(0, 0, granted))
        return Written(own, number)

    def _merging(
        self,
        key: str,
        changes: Changes | None,
        period: Period | None,
        *,
        granted: bool | None,
        heir: str | None = None,
    ) -> Edit:
        """Return the edit for `changes`, encoded now, as the caller may alter the values later."""
        selector, verifier = key_digest(key)
        seconds = None if period is None else as_period(period).total_seconds()
        grants, own = seconds is not None and granted is not None, seconds if granted else None
        if not changes:
            return Edit(selector, verifier, seconds=seconds, granted=grants, own=own, heir=heir)
        text = changes.encode(limit=self.value_limit)
        return Edit(
            selector,
            verifier,
            Raw(text),
            checked_names(changes.removed) if changes.removed else (),
            changes.replaced,
            printed_bound(text) if changes.set or changes.replaced else 0,
            seconds,
            grants,
            own,
            heir,
        )


_USUAL: Final = Written()


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        pass
    raise SettingsError(
        "PostgresStore needs asyncio, and this is another event loop: run the server with asyncio "
        "or uvloop, not with trio."
    )
