"""Connections to PostgreSQL: a pool of ours or of the caller's, for one event loop."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar
from weakref import WeakSet

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo
from psycopg_pool import AsyncConnectionPool

from pgsession.errors import SessionError, SettingsError, StoreClosedError, StoreUnavailableError
from pgsession.failure import is_rolled_back, translated
from pgsession.lock import Connection, Locks, Pool
from pgsession.schema import refuse_torn_password

_T = TypeVar("_T")

#: What a connection of ours is made with, unless the conninfo says otherwise.
_DEFAULTS: Final = {
    "application_name": "pgsession",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}

#: Seconds that an operation may wait for its turn, and may then take.
DEFAULT_TIMEOUT: Final = 5.0

#: So many callers may wait for each connection; more get `StoreBusyError` at once.
_WAITING_EACH: Final = 64


#: Rows are looked up by key and locked in the order in which a batch names them: two batches that
#: do so never deadlock. Each statement sees what is committed when it runs.
_CONFIGURE: Final = """
SELECT
    set_config('enable_seqscan', 'off', false),
    set_config('enable_bitmapscan', 'off', false),
    set_config('enable_hashjoin', 'off', false),
    set_config('enable_mergejoin', 'off', false),
    set_config('default_transaction_isolation', 'read committed', false)
"""

#: Seconds at most before what was rolled back is tried again.
_PAUSES: Final = (0.05, 0.2, 0.8)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """Where to connect, and how many connections to hold. The repr shows none of it."""

    conninfo: str = field(repr=False)
    size: int
    timeout: float
    prepared: bool

    def make(self, configure: Callable[[Connection], Awaitable[None]]) -> Pool:
        """Return a pool, not yet open, in autocommit: each operation is one statement."""
        return AsyncConnectionPool(
            self.conninfo,
            open=False,
            configure=configure,
            min_size=1,
            max_size=self.size,
            timeout=self.timeout,
            max_waiting=self.size * _WAITING_EACH,
            name="pgsession",
            kwargs={"autocommit": True} | ({} if self.prepared else {"prepare_threshold": None}),
        )


class Runner(Protocol):
    """What gives a piece of work a connection."""

    async def run(self, work: Callable[[Connection], Awaitable[_T]]) -> _T:
        """Return what `work` returns, its driver's errors translated into ours."""
        ...


@dataclass(slots=True)
class _Opened:
    """A pool in use, with the event loop and the process it belongs to."""

    pool: Pool
    loop: asyncio.AbstractEventLoop
    process: int
    #: True if it was opened here and is to be closed here.
    ours: bool
    #: The connections of a pool of ours, to be cut off if its event loop ends before it.
    connections: WeakSet[Connection]
    #: Who holds locks of sessions, or is next in line.
    locks: Locks


class Connections:
    """Gives each piece of work a connection, and opens the pool before the first.

    `check` sees the first connection of all; what it raises, `open` raises.
    `on_open` is called whenever the pool has been opened.
    """

    def __init__(
        self,
        source: PoolSettings | Pool,
        *,
        check: Callable[[Connection], Awaitable[None]],
        patience: float,
        on_open: Callable[[], None],
    ) -> None:
        self._source = source
        self._on_open = on_open
        self._patience = patience
        self._check = check
        self._opened: _Opened | None = None
        self._opening = asyncio.Lock()
        self._closed_in: asyncio.AbstractEventLoop | None = None
        #: How the attempts to open have failed so far: how often, and why the last one did.
        self._failures = 0
        self._failure: SessionError | None = None

    async def run(self, work: Callable[[Connection], Awaitable[_T]]) -> _T:
        """Return what `work` returns, its driver's errors translated into ours.

        What the server rolled back for the sake of others is tried again, a
        few times: of two batches from two processes that wait for each
        other's rows, it ends one. What takes longer than `patience` seconds
        (a row that another transaction holds, a server that is frozen) is
        cancelled: `StoreUnavailableError`.
        """
        pool = (await self._here()).pool
        pauses = iter(_PAUSES)
        while True:
            try:
                async with asyncio.timeout(self._patience), pool.connection() as connection:
                    return await work(connection)
            except TimeoutError:
                failure: SessionError = StoreUnavailableError(
                    "The database did not answer in time. Try again."
                )
                pause = None
            except psycopg.Error as error:
                failure = translated(error)
                pause = next(pauses, None) if is_rolled_back(error) else None
            if pause is None:
                # Not from the driver's error, which quotes parameters, nor while it is handled.
                raise failure
            await asyncio.sleep(pause * random.random())  # noqa: S311 - to part the two

    @asynccontextmanager
    async def hold(self, number: int, timeout: float) -> AsyncIterator[Runner]:
        """Hold a lock; yield what runs work in the transaction that holds it."""
        opened = await self._here()
        async with opened.locks.hold(number, timeout) as connection:
            yield _Held(connection)

    async def open(self) -> bool:
        """Open the pool unless it is open, and check the database; return whether it was closed.

        Raises `StoreUnavailableError` saying why the database cannot be
        reached.
        """
        was_closed = self._opened is None
        self._closed_in = None
        await self._here()
        return was_closed

    async def close(self) -> None:
        """Close the pool if it was opened here. Closing twice is fine.

        Whoever comes late in this event loop gets `StoreClosedError`; another
        event loop may open it again by using it.
        """
        self._closed_in = asyncio.get_running_loop()
        opened, self._opened = self._opened, None
        if opened is not None and opened.ours and opened.loop is self._closed_in:
            await opened.pool.close()

    async def _here(self) -> _Opened:
        """Return the pool of this event loop, opened."""
        opened = self._opened
        loop = asyncio.get_running_loop()
        if opened is not None and opened.loop is loop:
            return opened
        if self._closed_in is loop:
            raise StoreClosedError("The store is closed. Open it again, or make a new one.")
        if opened is not None:
            self._leave(opened)
        failures = self._failures
        async with self._opening:
            if self._opened is None:
                if self._failure is not None and self._failures > failures:
                    # Who has waited for an attempt that failed does not begin another.
                    raise type(self._failure)(str(self._failure))
                await self._try_to_open()
            if self._opened is None:
                raise StoreClosedError("The store was closed while it was being opened.")
            return self._opened

    async def _try_to_open(self) -> None:
        try:
            opened = await self._open()
        except SessionError as error:
            self._failures += 1
            self._failure = error
            raise
        if self._closed_in is not opened.loop:
            self._opened = opened
            self._on_open()
        elif opened.ours:
            await opened.pool.close()

    def _leave(self, opened: _Opened) -> None:
        """Give up a pool whose event loop has ended; refuse to share one that has not.

        Test clients end an event loop with every request.
        """
        if opened.process != os.getpid():
            raise StoreClosedError(
                "The store was opened before this process was forked, and a connection cannot be "
                "shared. Make the store, or open it, in the process that uses it."
            )
        if not opened.ours or not opened.loop.is_closed():
            raise StoreClosedError(
                "The store is open in another event loop. Make one store for each event loop."
            )
        for connection in opened.connections:
            connection.pgconn.finish()
        self._opened = None
        self._opening = asyncio.Lock()

    async def _open(self) -> _Opened:
        loop = asyncio.get_running_loop()
        if isinstance(self._source, PoolSettings):
            return await self._open_ours(self._source, loop)
        pool = self._source
        ours = pool.closed
        try:
            if ours:
                await pool.open()
            async with pool.connection() as connection:
                await self._check(connection)
        except psycopg.Error as error:
            failure = translated(error)
        else:
            locks = Locks(pool)
            return _Opened(pool, loop, os.getpid(), ours=ours, connections=WeakSet(), locks=locks)
        # Nor from this one: it holds the conninfo, password and all.
        raise failure

    async def _open_ours(self, settings: PoolSettings, loop: asyncio.AbstractEventLoop) -> _Opened:
        if failure := await self._look(settings):
            raise failure
        connections: WeakSet[Connection] = WeakSet()

        async def prepare(connection: Connection) -> None:
            connections.add(connection)
            if settings.prepared:  # else a pooler is in between, and would pass it on to others
                await connection.execute(_CONFIGURE)

        pool = settings.make(prepare)
        try:
            # With a connection at hand the first caller does not make the pool grow: one that
            # is still connecting when its event loop ends would keep the loop from ending.
            await pool.open(wait=True, timeout=settings.timeout)
        except psycopg.Error as error:
            failure = translated(error)
        else:
            return _Opened(
                pool, loop, os.getpid(), ours=True, connections=connections, locks=Locks(pool)
            )
        raise failure

    async def _look(self, settings: PoolSettings) -> SessionError | None:
        """Connect once and check the database; return what is wrong with it, if anything is."""
        try:
            async with await AsyncConnection.connect(
                settings.conninfo, autocommit=True
            ) as connection:
                await self._check(connection)
        except psycopg.OperationalError as error:
            reason = " ".join(str(error).split())
            return StoreUnavailableError(f"PostgreSQL cannot be reached: {reason}")
        except psycopg.Error as error:
            return translated(error)
        return None


class _Held:
    """Runs work in a transaction that is under way."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def run(self, work: Callable[[Connection], Awaitable[_T]]) -> _T:
        try:
            return await work(self._connection)
        except psycopg.Error as error:
            failure = translated(error)
        raise failure


def complete_conninfo(
    conninfo: str, keywords: Mapping[str, str | int], *, connect_timeout: float
) -> str:
    """Return `conninfo` with the libpq `keywords` in it and our defaults where it is silent.

    Raises `SettingsError`, which never quotes any of it: it may hold a password.
    """
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    if unknown := keywords.keys() - known:
        raise SettingsError(
            f"{', '.join(sorted(unknown))}: no setting of PostgresStore, nor one of libpq."
        )
    try:
        given = conninfo_to_dict(conninfo, **keywords)
    except psycopg.ProgrammingError:
        given = None
    if given is None:
        raise SettingsError(
            "The database URL is neither a URL such as postgresql://user@host/name "
            "nor libpq keywords such as host=… dbname=…"
        )
    refuse_torn_password(given)
    if not str(given.get("connect_timeout", 0)).lstrip("-").isdecimal():
        raise SettingsError("connect_timeout is a whole number of seconds.")
    defaults = _DEFAULTS | {"connect_timeout": str(max(2, round(connect_timeout)))}
    return make_conninfo("", **{**defaults, **given})
