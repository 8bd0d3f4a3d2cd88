"""What is told of sessions to whoever observes them: the Protocols of telemetry.

No method raises or waits, and none is told a key, a digest, a cookie, a user or a value. Where
nothing observes, there is None instead of an observer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Final, Protocol, TypeVar

from msgspec import Struct

_T = TypeVar("_T")


class Operation(Protocol):
    """Something under way, which is timed."""

    def end(self, outcome: str, error: BaseException | None = None) -> None:
        """Record how it has ended. It is called once.

        For a load or a save, that is in the task that has begun it.
        """
        ...


class Watched(Protocol):
    """Something that knows how many sessions it watches in this process."""

    def __len__(self) -> int: ...


class Observer(Protocol):
    """Is told what happens to the sessions of requests."""

    def begin_load(self) -> Operation:
        """Begin the look-up of a request's session. It ends with an outcome."""
        ...

    def begin_save(self) -> Operation:
        """Begin a change of a request's session. It ends with the name of the change."""
        ...

    def reject_cookie(self, reason: str) -> None:
        """Count a cookie that opens no session."""
        ...

    def miss(self, answer: str, error: BaseException) -> None:
        """Count a request that did not get its session from the store."""
        ...

    def adopt(self) -> None:
        """Count a session from before a switch that was taken over."""
        ...

    def prove(self, outcome: str) -> None:
        """Count a request to an endpoint of the device binding."""
        ...

    def watch(self, watched: Watched) -> None:
        """Observe how many sessions of open streams are watched, for as long as it exists."""
        ...

    def of_store(self, place: Place) -> StoreObserver:
        """Return what observes a store."""
        ...


class Place(Struct, frozen=True):
    """Where the table of a store is, as far as that is known."""

    #: The host of the database, or the directory of its socket.
    address: str | None
    #: The port, if it is not 5432.
    port: int | None
    #: The database, and the schema if one is set.
    namespace: str | None
    #: The table.
    table: str
    #: The name of the pool, if the application has given it one.
    pool: str | None = None


class Usage(Struct, frozen=True):
    """The connections of a pool now."""

    idle: int
    #: How many somebody has acquired. Those that are being made are neither idle nor used.
    used: int
    #: How many there are at most.
    most: int
    #: How many callers wait for one.
    waiting: int


class UsedPool(Protocol):
    """A pool that knows its connections."""

    def usage(self) -> Usage | None:
        """Return the connections now; None while it is not open, and in a process forked since.

        It may be another thread's.
        """
        ...


class StatementObserver(Protocol):
    """Is told of the statements of one kind."""

    def origin(self) -> object | None:
        """Return what a statement for the running request leads back to; None if to nothing."""
        ...

    def begin(self, origins: Sequence[object | None], waited: float | None) -> Operation:
        """Begin a statement that serves a call for each of `origins`.

        `waited` is how long the first of them has waited for its turn, in seconds; None if it was
        sent before.
        """
        ...


class PoolObserver(Protocol):
    """Is told of the connections of a pool. All times are in seconds."""

    def note_made(self, seconds: float) -> None: ...

    def note_wait(self, seconds: float) -> None: ...

    def note_use(self, seconds: float) -> None: ...

    def note_timeout(self, reason: str) -> None:
        """Count a caller that got no connection in time, for one of `REFUSALS`."""
        ...


class StoreObserver(Protocol):
    """Is told what happens in a store."""

    def of_statement(self, name: str) -> StatementObserver:
        """Return what observes the statements of one kind, named as in `STATEMENTS`."""
        ...

    def of_pool(self, pool: UsedPool) -> PoolObserver:
        """Return what observes a pool, and observe its connections for as long as it exists."""
        ...

    def revoke(self, count: int, reason: str) -> None:
        """Count sessions that were ended from elsewhere."""
        ...

    def sweep(self, seconds: float, rows: int, error: BaseException | None = None) -> None:
        """Record a sweep."""
        ...


#: Why a caller gets no connection: all are in use, or the pool cannot make those that are missing.
REFUSALS: Final = ("in_use", "not_made")

#: The command of each kind of statement.
STATEMENTS: Final[Mapping[str, str]] = {
    "fetch": "SELECT",
    "fetch_newest": "SELECT",
    "insert": "INSERT",
    "edit": "UPDATE",
    "renumber": "UPDATE",
    "delete": "DELETE",
    "delete_together": "DELETE",
    "take": "UPDATE",
    "delete_empty": "DELETE",
    "insert_login": "INSERT",
    "logout": "DELETE",
    "is_retired": "SELECT",
    "devices": "SELECT",
    "revoke": "DELETE",
    "adopt": "INSERT",
    "login_states": "SELECT",
    "signed_in": "SELECT",
}


async def observed(
    answer: Awaitable[_T],
    observer: StatementObserver,
    origins: Sequence[object | None],
    waited: float | None = None,
) -> _T:
    """Return the answer to a statement that serves a call for each of `origins`."""
    operation = observer.begin(origins, waited)
    try:
        found = await answer
    except BaseException as error:
        operation.end("", error)
        raise
    operation.end("")
    return found
