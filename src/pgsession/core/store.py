"""The contract of a store: what the middleware relies on, wherever the sessions are kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Final, NamedTuple, Protocol

import msgspec

from pgsession.core.login import SignedIn
from pgsession.core.period import Period, as_period
from pgsession.core.value import JSON, encode_value
from pgsession.errors import SettingsError

#: How long to wait for a session's lock, unless something else is said.
DEFAULT_EXCLUSIVE_TIMEOUT: Final = timedelta(seconds=5)

#: How long a block holds a session's lock at most, unless something else is said.
DEFAULT_EXCLUSIVE_LIMIT: Final = timedelta(seconds=30)

#: What `take` says in a block whose transaction holds the row already.
TAKEN_TOO_LATE: Final = (
    "take() commits at once, so it must come before what its exclusive block writes to the session."
)

#: What the store of a block says once the block has ended.
BLOCK_IS_OVER: Final = (
    "The exclusive block that gave out this store is over. Use the store itself, or begin another "
    "block."
)


def check_alone(more: Sequence[str]) -> None:
    """Raise `TypeError` if `clear(…, only_if_empty=True)` gets more than one key."""
    if more:
        raise TypeError("clear() takes one key with only_if_empty.")


def as_limit(limit: Period) -> timedelta:
    """Return how long a block may hold a lock. Raises `SettingsError` unless it is positive."""
    period = as_period(limit)
    if period <= timedelta(0):
        raise SettingsError("exclusive_limit must be a positive period.")
    return period


class Entry(NamedTuple):
    """A value with its remaining period, as of the moment it was read.

    The repr shows no part of the value.
    """

    #: The session's content, or None if no value was ever set.
    value: dict[str, JSON] | None
    #: How long the session still lives.
    period: timedelta
    #: The period granted to this session alone, or None if it follows the store's default.
    granted: timedelta | None = None
    #: How long it can live at most, however often it is used; None without such a limit.
    lifetime: timedelta | None = None
    #: The number that the session's cookie carries; see `Store.rotate`.
    number: int = 0
    #: How long ago the browser first showed that number, or None if it has not shown it yet.
    shown_for: timedelta | None = None
    #: How long ago the session was generated or last extended, where `shown_for` is known.
    idle: timedelta = timedelta(0)
    #: The user who is signed in, or None for a visitor.
    signed_in: SignedIn | None = None

    def __repr__(self) -> str:
        return (
            f"Entry(period={self.period!r}, granted={self.granted!r}, lifetime={self.lifetime!r})"
        )


class Written(NamedTuple):
    """What a store tells of a session that it has just changed."""

    #: The period granted to this session alone, or None if it follows the store's default.
    granted: timedelta | None = None
    #: The number that the session's cookie carries; see `Store.rotate`.
    number: int = 0


class Changes(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What a request did to a session, per top-level key.

    The repr shows how many keys, not which and not their content.
    """

    #: The members that were added or changed.
    set: Mapping[str, JSON] = msgspec.field(default_factory=dict)
    #: The names of the members that were removed.
    removed: Collection[str] = frozenset()
    #: True if members that are not in `set` are removed, also those that others added meanwhile.
    replaced: bool = False
    #: The JSON text of `set`, if it is encoded already.
    encoded: bytes | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Changes):
            return NotImplemented
        mine, theirs = ((it.set, frozenset(it.removed), it.replaced) for it in (self, other))
        return mine == theirs

    def __hash__(self) -> int:
        raise TypeError("Changes are not hashable: they hold dicts and lists.")

    def __repr__(self) -> str:
        counts = f"{len(self.set)} set, {len(self.removed)} removed"
        return f"Changes({counts}, replaced={self.replaced})"

    def __bool__(self) -> bool:
        return bool(self.set or self.removed or self.replaced)

    def encode(self, *, limit: int) -> bytes:
        """Return the JSON text of `set`.

        Raises `InvalidValueError` for what JSON or PostgreSQL cannot hold, and
        `ValueTooLargeError` for more than `limit` bytes.
        """
        return encode_value(self.set, limit=limit) if self.encoded is None else self.encoded


class Store(Protocol):
    """Sessions by key. `PostgresStore` and `MemoryStore` are two stores; you can write a third.

    A key is a *selector* and, once the session was renewed, a dot and a
    *verifier*. Only the key that was made last opens a session. A *dead* key is
    unknown, cleared, renewed or expired. All dead keys look alike, and a dead
    key never lives again: only `generate` and `renew` create a key, and each
    makes its own.

    A session has ended when it was not extended for its period, or for
    `max_inactivity`, or when it is older than `max_lifetime`. Both limits hold
    for the sessions of today, not only for new ones.

    A coroutine may raise `StoreUnavailableError` if the store cannot answer now;
    the operation may then have taken effect or not. Methods with a `value` or
    `changes` raise `InvalidValueError` before anything is written, and methods
    with a `period` `InvalidPeriodError`. A period is a `timedelta` or seconds.

    With ``granted=True``, `period` becomes the session's own and is returned as
    `Entry.granted` ("remember me"). With ``granted=False`` the session has no
    period of its own any more. If `granted` is left out, that stays as it is,
    and a period of its own counts instead of a positive `period`: so a request
    that did not set the period never undoes one that did.
    """

    @property
    def default_period(self) -> timedelta:
        """The period where none is given. Setting it affects future operations only."""
        ...

    @default_period.setter
    def default_period(self, period: Period) -> None: ...

    @property
    def value_limit(self) -> int:
        """The largest value, in bytes of its JSON text."""
        ...

    @property
    def max_lifetime(self) -> timedelta | None:
        """How long a session lives at most after it was generated; None without such a limit."""
        ...

    @property
    def max_inactivity(self) -> timedelta | None:
        """How long it lives at most after it was last extended; None without such a limit."""
        ...

    @property
    def timeout(self) -> float | None:
        """How many seconds an operation may take at most; None without such a limit."""
        return None

    async def open(self) -> bool:
        """Connect, and check that sessions can be kept. Return whether the store was closed."""
        ...

    async def close(self) -> None:
        """Release all resources. Closing twice is fine."""
        ...

    async def generate(
        self,
        value: Mapping[str, JSON] | None = None,
        *,
        period: Period | None = None,
        granted: bool = False,
    ) -> str:
        """Make a new session and return its key: 40 url-safe characters, the selector.

        It expires `period` from now, or after the default period.
        """
        ...

    async def get(self, key: str) -> Entry | None:
        """Return the value with its remaining period as of now, or None for a dead key."""
        ...

    async def get_newest(self, keys: Sequence[str]) -> tuple[str, Entry] | None:
        """Return the session that was generated last, of those that live, and its key.

        None if all keys are dead.
        """
        ...

    async def set(
        self,
        key: str,
        value: Mapping[str, JSON],
        *,
        period: Period | None = None,
        granted: bool | None = None,
    ) -> Written:
        """Store the whole value. It expires `period` from now, or after the default period.

        Raises `SessionNotFoundError` for a dead key.
        """
        ...

    async def merge(
        self,
        key: str,
        changes: Changes,
        *,
        period: Period | None = None,
        granted: bool | None = None,
    ) -> Written:
        """Apply `changes` to what is stored now, top-level key by key.

        Keys that `changes` does not name stay as they are, unless `Changes.replaced`
        is True. Without `period` the expiry stays as it is.
        Raises `SessionNotFoundError` for a dead key.
        """
        ...

    async def touch(
        self, key: str, *, period: Period | None = None, granted: bool | None = None
    ) -> Written:
        """Extend the expiry to `period` from now, or the default period. The value stays.

        Raises `SessionNotFoundError` for a dead key.
        """
        ...

    async def renew(
        self,
        key: str,
        changes: Changes | None = None,
        *,
        period: Period | None = None,
        granted: bool | None = None,
    ) -> str:
        """Give the session a new key and return it. The old key is dead at once.

        The new key has the same selector and another verifier, and its number
        is 0. `changes` are applied and the period is set in the same step.
        Without `period` the expiry stays as it is. Raises `SessionNotFoundError`
        for a dead key; so does the second of two renewals of one key.
        """
        ...

    async def rotate(self, key: str, number: int, *, grace: Period) -> int:
        """Raise the session's number from `number` by one, if nothing speaks against it.

        It is raised if it is still `number`, the browser showed it more than
        `grace` ago, and the session was not extended within the last `grace`.
        The new number counts as not shown. The key stays the same. Return the
        session's number now. Raises `SessionNotFoundError` for a dead key.
        """
        ...

    async def show(self, key: str, number: int) -> None:
        """Record that the browser has shown `number`, if it had not before.

        A number that is one ahead becomes the session's: a failover lost the
        commit that raised it. Any other number, and a dead key, changes nothing.
        """
        ...

    async def take(self, key: str, name: str, default: JSON = None) -> JSON:
        """Remove the member `name` and return its value, or `default` if there is none.

        Of any number of concurrent calls, in any number of processes, one gets
        the value. A dead key has no members. The expiry stays.
        """
        ...

    def exclusive(
        self, key: str, *, timeout: Period = DEFAULT_EXCLUSIVE_TIMEOUT
    ) -> AbstractAsyncContextManager[Store]:
        """Hold the session's lock: ``async with store.exclusive(key) as held: …``.

        Only callers that ask for the lock wait for it; all other reads and
        writes go on. What is written through ``held`` is committed together when
        the block ends; if the block raises, none of it is. Only ``held.take``
        commits at once, as what it returns must stay taken. So it raises
        `SessionError` if the block has already written to that session.

        A free lock is acquired whatever `timeout` says. Raises `StoreBusyError`
        if it is not free within `timeout`, and `HeldTooLongError`, cancelling
        the block, if that takes longer than the store's `exclusive_limit`. Once
        the block is over, each use of ``held`` raises `SessionError`.
        """
        ...

    async def clear(self, key: str, *more: str, only_if_empty: bool = False) -> bool:
        """Remove the session; return whether its key is dead now. Clearing a dead key is fine.

        The sessions of `more` keys are removed in the same step.

        With `only_if_empty` a session that holds anything stays, and the result
        is False. A dead key then raises `SessionNotFoundError`, since another
        request has ended or renewed the session. With more keys it raises
        `TypeError`.
        """
        ...
