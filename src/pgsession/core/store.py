"""What a store promises: the contract that the middleware relies on, whatever keeps the rows."""

from __future__ import annotations

import hashlib
import secrets
from binascii import b2a_base64
from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Final, NamedTuple, Protocol

import msgspec

from pgsession.core.period import Period
from pgsession.core.value import JSON, encode_value

_KEY_BYTES: Final = 30
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")

#: How long one waits for a session's lock, unless something else is said.
DEFAULT_EXCLUSIVE_TIMEOUT: Final = timedelta(seconds=5)


def new_key() -> str:
    """Return a new key: 40 url-safe characters, 240 bits from the system's random source."""
    return secrets.token_urlsafe(_KEY_BYTES)


def digest(key: str) -> str:
    """Return what a store keeps in place of `key`: 40 characters that cannot be turned back.

    Any string has a digest, so a garbage key is merely one that is not found.
    """
    hashed = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return b2a_base64(hashed[:_KEY_BYTES], newline=False).translate(_URL_SAFE).decode("ascii")


class Entry(NamedTuple):
    """A value with its remaining period, as of the moment it was read.

    The repr shows no part of the value.
    """

    #: The session's content, or None if no value was ever set (the seed's *Not_set*).
    value: dict[str, JSON] | None
    #: How long the session still lives.
    period: timedelta
    #: The period granted to this session alone, or None if it follows the store's default.
    granted: timedelta | None = None
    #: How long it can live at most, however often it is renewed; None without such a limit.
    lifetime: timedelta | None = None

    def __repr__(self) -> str:
        return (
            f"Entry(period={self.period!r}, granted={self.granted!r}, lifetime={self.lifetime!r})"
        )


class Changes(msgspec.Struct, frozen=True, eq=False):
    """What a request did to a session, per top-level key.

    The repr shows how many keys, not which and not their content.
    """

    #: The members that were added or changed.
    set: Mapping[str, JSON] = msgspec.field(default_factory=dict)
    #: The names of the members that were removed.
    removed: Collection[str] = frozenset()
    #: True if whatever is not in `set` goes, also what others added meanwhile.
    replaced: bool = False
    #: The JSON text of `set`, where the one who compared has encoded it already.
    encoded: bytes | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Changes):
            return NotImplemented
        mine, theirs = ((it.set, frozenset(it.removed), it.replaced) for it in (self, other))
        return mine == theirs

    def __hash__(self) -> int:
        raise TypeError("Changes hold what has no hash, and have none.")

    def __repr__(self) -> str:
        counts = f"{len(self.set)} set, {len(self.removed)} removed"
        return f"Changes({counts}, replaced={self.replaced})"

    def __bool__(self) -> bool:
        return bool(self.set or self.removed or self.replaced)

    def encode(self, *, limit: int) -> bytes:
        """Return the JSON text of `set`. Raises as `encode_value` does."""
        return encode_value(self.set, limit=limit) if self.encoded is None else self.encoded


class Store(Protocol):
    """Sessions by key. `PostgresStore` and `MemoryStore` are two; write a third if you like.

    A *dead* key is one that is unknown, cleared, renewed or expired. All dead
    keys look alike, and a dead key never lives again: nothing here ever
    creates a row but `generate` and `renew`, each under a key of its own making.

    Every method is a coroutine that may raise `StoreUnavailableError` if the
    place where sessions are kept cannot answer now; what it was to do may then
    have happened or not. Methods with a `value` or `changes` raise
    `InvalidValueError` before anything is written; those with a `period` raise
    `InvalidPeriodError`.

    With `granted=True`, `period` becomes the session's own, read back as
    `Entry.granted`: "remember me". With `granted=False` the session has none
    of its own any more. Left out, that stays as it is, whoever said so.
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
        """How long a session lives at most from its generation on; None without such a limit."""
        ...

    async def open(self) -> bool:
        """Connect and check that sessions can be kept. Returns whether it was closed before."""
        ...

    async def close(self) -> None:
        """Let go of every resource. Closing twice is fine."""
        ...

    async def generate(
        self,
        value: Mapping[str, JSON] | None = None,
        *,
        period: Period | None = None,
        granted: bool = False,
    ) -> str:
        """Make a new session and return its key, which is known to nobody else.

        It expires `period` from now, else after the default period.
        """
        ...

    async def get(self, key: str) -> Entry | None:
        """Return the value with its remaining period as of now, or None for a dead key."""
        ...

    async def set(
        self,
        key: str,
        value: Mapping[str, JSON],
        *,
        period: Period | None = None,
        granted: bool | None = None,
    ) -> None:
        """Store the whole value; expire `period` from now, else after the default period.

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
    ) -> None:
        """Apply `changes` to what is stored now, top-level key by key.

        Keys that `changes` does not name stay as they are, whoever wrote them
        (unless it says `replaced`). Without `period` the expiry stays as it is.
        Raises `SessionNotFoundError` for a dead key.
        """
        ...

    async def touch(
        self, key: str, *, period: Period | None = None, granted: bool | None = None
    ) -> None:
        """Expire `period` from now, else after the default period; the value stays.

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
        """Give the session a new key, at once the only one, and return it.

        `changes` are applied and the period is set in the same statement.
        Without `period` the expiry stays as it is. Raises
        `SessionNotFoundError` for a dead key: of two renewals of one key, one.
        """
        ...

    async def take(self, key: str, name: str, default: JSON = None) -> JSON:
        """Remove the member `name` and return its value, or `default` if there is none.

        Of any number of takers, in whatever processes, one gets the value. A
        dead key has no members. The expiry stays.
        """
        ...

    def exclusive(
        self, key: str, *, timeout: Period = DEFAULT_EXCLUSIVE_TIMEOUT
    ) -> AbstractAsyncContextManager[Store]:
        """Hold the session's lock; yield this store as one who holds it uses it.

        Only others who ask for the lock wait for it; readers and writers who
        do not ask pass. What is written through the yielded store is committed
        when the block ends, all of it or nothing. Raises `StoreBusyError`
        if the lock is not free within `timeout`.
        """
        ...

    async def clear(self, key: str, *, only_if_empty: bool = False) -> bool:
        """Remove the session; return whether its key is dead now. Clearing a dead key is fine.

        With `only_if_empty` a session that holds anything stays, for which it
        returns False; a dead key raises `SessionNotFoundError`, for another
        has ended, or renewed, what was to be looked at.
        """
        ...
