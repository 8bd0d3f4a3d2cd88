"""How the statements are called: in batches, or one by one within a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar

from msgspec import Struct

from pgsession import rare
from pgsession.core.keys import KeyDigest
from pgsession.core.observer import StatementObserver, StoreObserver, observed
from pgsession.errors import SessionBusyError, SessionError, StoreUnavailableError
from pgsession.postgres.coalescer import Coalescer
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.connections.dedicated import Dedicated
from pgsession.postgres.connections.failures import (
    LockedRowError,
    NodeLostError,
    StatementCanceledError,
    public,
)
from pgsession.postgres.connections.lone import LoneStatement
from pgsession.postgres.connections.runner import Runner
from pgsession.postgres.edits import make_edits
from pgsession.postgres.locked_rows import LOCKED, Locked, LockedRows
from pgsession.postgres.lone_calls import Begin
from pgsession.postgres.revocation import Revocation
from pgsession.postgres.rows import Draft, Edit, Edited, Row, Showing
from pgsession.postgres.statements.editing import Editing
from pgsession.postgres.statements.inserting import insert_once
from pgsession.postgres.statements.signing import Logout
from pgsession.postgres.statements.table import Table

if TYPE_CHECKING:  # names that only annotations use
    from pgsession.postgres.statements.adopting import Heir, Taken

    _CallT = TypeVar("_CallT")
    _CallT_contra = TypeVar("_CallT_contra", contravariant=True)
    _AnswerT = TypeVar("_AnswerT")
    _AnswerT_co = TypeVar("_AnswerT_co", covariant=True)

    _Call: TypeAlias = Callable[[_CallT], Awaitable[_AnswerT]]
    _Work: TypeAlias = Callable[[Connection, Sequence[_CallT]], Awaitable[Sequence[_AnswerT]]]
    _Answers: TypeAlias = Sequence[_AnswerT | Locked | SessionError]

    #: Sends a batch; True if it skips locked rows.
    _Attempt: TypeAlias = Callable[[Sequence[_CallT], bool], Awaitable[_Answers[_AnswerT]]]

    class _LockingWork(Protocol[_CallT_contra, _AnswerT_co]):
        """Statements that may find rows locked: they wait for them for a moment, or skip them."""

        def __call__(
            self,
            connection: Connection,
            calls: Sequence[_CallT_contra],
            /,
            *,
            skipping: bool = False,
        ) -> Awaitable[Sequence[_AnswerT_co | Locked | SessionError]]: ...


#: Statements of one kind under way at once. Two keep the server busy while the answers to one are
#: read here; more would only make the batches smaller.
_LANES: Final = 2

#: Sessions in one statement at most.
_SIZE: Final = 256

#: Sessions in one statement at least, if so many wait: each statement has a price of its own.
_LEAST: Final = 32

#: Callers that may wait for statements of one kind.
_MOST_WAITING: Final = 4_096


class Calls(Struct, frozen=True, kw_only=True):
    """The statements of `Table`, each for one caller. Keys are digests."""

    fetch: _Call[KeyDigest, Row | None]
    fetch_newest: _Call[tuple[KeyDigest, ...], Row | None]
    insert: _Call[Draft, None]
    edit: _Call[Edit, Edited | None]
    renumber: _Call[Showing, int | None]
    delete: _Call[KeyDigest, None]
    delete_together: _Call[tuple[KeyDigest, ...], None]
    take: _Call[tuple[KeyDigest, str], str | None]
    delete_empty: _Call[KeyDigest, bool | None]
    insert_login: _Call[Draft, None]
    logout: _Call[Logout, bool]
    is_retired: _Call[KeyDigest, bool]
    devices: _Call[str, list[rare.Device]]
    signed_in: _Call[rare.Asked, list[rare.SignedInUser]]
    revoke: _Call[Revocation, None]
    adopt: _Call[Heir, Taken]

    def observed_by(self, observer: StoreObserver) -> Calls:
        """Return the same calls, each of which is a statement of its own, with an observer."""
        observing = {
            name: partial(_call_observed, observer.of_statement(name), getattr(self, name))
            for name in self.__struct_fields__
        }
        return Calls(**observing)


class Batches:
    """Sends all waiting calls of one kind in one statement.

    A call whose row another transaction holds is answered once that is over,
    and meanwhile delays no other: see `Coalescer`.

    Calls that must not run twice are made with ``idempotent=False``: an edit
    that runs again could undo what others did in between.
    """

    def __init__(
        self,
        table: Table,
        runner: Runner,
        *,
        timeout: float,
        observer: StoreObserver | None = None,
    ) -> None:
        self._table = table
        self._observer = observer
        self._runner = runner
        self._timeout = timeout
        self._locked_rows = LockedRows()
        self._coalescers: list[Coalescer[Any, Any]] = []
        self._is_closed = False
        reading, removing = table.reading, table.removing
        self.calls: Calls = Calls(
            fetch=self._reading("fetch", reading.fetch, begin=self._begin_fetch),
            fetch_newest=self._reading("fetch_newest", reading.fetch_newest, size=1),
            insert=self._coalesced("insert", partial(self._send, self._insert)),
            edit=self._coalesced("edit", partial(self._send, self._edit)),
            renumber=_at_first_use(
                lambda: self._reading(
                    "renumber", table.numbering.renumber, size=1, idempotent=False
                )
            ),
            delete=self._locking("delete", removing.delete, idempotent=True),
            delete_together=self._locking(
                "delete_together", removing.delete_together, idempotent=True, size=1
            ),
            take=self._locking("take", removing.take, idempotent=False, size=1),
            delete_empty=self._locking(
                "delete_empty", removing.delete_empty, idempotent=False, size=1
            ),
            insert_login=self._locking(
                "insert_login", table.signing.insert, idempotent=True, size=1
            ),
            logout=self._locking("logout", table.signing.logout, idempotent=True, size=1),
            is_retired=self._reading("is_retired", table.signing.is_retired),
            devices=_at_first_use(lambda: self._reading("devices", table.listing.devices, size=1)),
            signed_in=_at_first_use(
                lambda: self._reading("signed_in", table.overview.signed_in, size=1, lanes=1)
            ),
            revoke=self._locking("revoke", table.revoking.end, idempotent=True, size=1),
            adopt=_at_first_use(
                lambda: self._locking("adopt", table.adopting.adopt, idempotent=True, size=_LEAST)
            ),
        )

    async def close(self) -> None:
        """Reject further calls; return when all are answered."""
        self._is_closed = True
        await asyncio.gather(*(coalescer.close() for coalescer in self._coalescers))

    def _reading(
        self,
        name: str,
        work: _Work[_CallT, _AnswerT],
        *,
        size: int = _SIZE,
        lanes: int = _LANES,
        idempotent: bool = True,
        begin: Begin[_CallT, _AnswerT] | None = None,
    ) -> _Call[_CallT, _AnswerT]:
        """Return the call of a statement that waits for no other transaction."""
        runner = self._runner

        async def send(calls: Sequence[_CallT], _: bool) -> _Answers[_AnswerT]:  # noqa: FBT001 - by position, as `_Attempt` takes it
            try:
                return await runner.run(work, calls, idempotent=idempotent)
            except NodeLostError:
                if len(calls) == 1:
                    raise
            return await _sent_singly(lambda call: send([call], False), calls)  # noqa: FBT003 - by position, as `_Attempt` takes it

        return self._coalesced(name, send, size=size, lanes=lanes, begin=begin)

    def _begin_fetch(
        self, key: KeyDigest, then: Callable[[Row | SessionError | None, bool], None]
    ) -> LoneStatement[Row | None] | None:
        reading = self._table.reading
        return self._runner.begin(reading.single(key), then) if reading.prepared else None

    def _locking(
        self,
        name: str,
        work: _LockingWork[_CallT, _AnswerT],
        *,
        idempotent: bool,
        size: int = _SIZE,
    ) -> _Call[_CallT, _AnswerT]:
        """Return the call of a statement that may find its rows locked."""
        runner = self._runner

        def attempt(calls: Sequence[_CallT], skipping: bool) -> Awaitable[_Answers[_AnswerT]]:  # noqa: FBT001 - by position, as `_Attempt` takes it
            return runner.run(partial(work, skipping=skipping), calls, idempotent=idempotent)

        return self._coalesced(name, partial(self._send, attempt), size=size)

    async def _edit(self, edits: Sequence[Edit], skipping: bool) -> _Answers[Edited | None]:  # noqa: FBT001 - by position, as `_Attempt` takes it
        return await make_edits(edits, self._table.editing, self._run_once, skipping=skipping)

    async def _run_once(
        self, work: _Work[_CallT, _AnswerT], calls: Sequence[_CallT]
    ) -> Sequence[_AnswerT]:
        return await self._runner.run(work, calls, idempotent=False)

    async def _insert(self, drafts: Sequence[Draft], skipping: bool) -> _Answers[None]:  # noqa: FBT001 - by position, as `_Attempt` takes it
        work = partial(insert_once, self._table.inserting, skipping=skipping)
        return await self._runner.run(work, drafts)

    async def _send(
        self,
        attempt: _Attempt[_CallT, _AnswerT],
        calls: Sequence[_CallT],
        skipping: bool,  # noqa: FBT001 - by position, as `_Attempt` takes it
    ) -> _Answers[_AnswerT]:
        """Send a batch that waits for locked rows for a moment, and if need be one that skips them.

        The second is sent if the first has waited for too long, and so changed
        nothing. If a node is lost, each call is sent alone: not all need that node.
        """
        if not skipping:
            try:
                return await attempt(calls, False)  # noqa: FBT003 - by position, as `_Attempt` takes it
            except (LockedRowError, StatementCanceledError):
                pass  # a statement_timeout may be shorter than the wait for a lock
            except NodeLostError:
                if len(calls) == 1:
                    raise
                return await self._send_singly(attempt, calls)
        return await self._send_skipping(attempt, calls)

    async def _send_skipping(
        self, attempt: _Attempt[_CallT, _AnswerT], calls: Sequence[_CallT]
    ) -> _Answers[_AnswerT]:
        """Send a batch that skips locked rows. What has to wait nevertheless is sent alone.

        So is each call on a distributed table, which can skip only single rows.
        """
        if len(calls) == 1 or not self._table.is_distributed:
            try:
                return await attempt(calls, True)  # noqa: FBT003 - by position, as `_Attempt` takes it
            except LockedRowError:
                if len(calls) == 1:
                    return [LOCKED]
        return await self._send_singly(attempt, calls)

    def _send_singly(
        self, attempt: _Attempt[_CallT, _AnswerT], calls: Sequence[_CallT]
    ) -> Awaitable[_Answers[_AnswerT]]:
        return _sent_singly(lambda call: self._send_skipping(attempt, [call]), calls)

    def _coalesced(
        self,
        name: str,
        send: Callable[[Sequence[_CallT], bool], Awaitable[_Answers[_AnswerT]]],
        *,
        size: int = _SIZE,
        lanes: int = _LANES,
        begin: Begin[_CallT, _AnswerT] | None = None,
    ) -> _Call[_CallT, _AnswerT]:
        coalescer = Coalescer(
            send,
            lanes=lanes,
            size=size,
            least=_LEAST,
            most_waiting=_MOST_WAITING,
            timeout=self._timeout,
            locked_rows=self._locked_rows,
            reason=self._runner.unreachable,
            begin=begin,
            observer=None if self._observer is None else self._observer.of_statement(name),
        )
        if self._is_closed:
            coalescer.reject()
        self._coalescers.append(coalescer)
        return coalescer.call


def _at_first_use(make: Callable[[], _Call[_CallT, _AnswerT]]) -> _Call[_CallT, _AnswerT]:
    """Return a call that is made when it is first used: few applications use it.

    What it imports is imported before it takes a connection.
    """
    made = cache(make)

    def call(given: _CallT) -> Awaitable[_AnswerT]:
        return made()(given)

    return call


async def _sent_singly(
    send: Callable[[_CallT], Awaitable[_Answers[_AnswerT]]], calls: Sequence[_CallT]
) -> _Answers[_AnswerT]:
    """Send each call of a batch alone; an error is the answer to its own call.

    Raises `StoreUnavailableError` if the database cannot answer any call now.
    """
    answers: list[_AnswerT | Locked | SessionError] = []
    for call in calls:
        try:
            answers += await send(call)
        except NodeLostError as error:
            answers.append(error)
        except StoreUnavailableError:
            raise
        except SessionError as error:
            answers.append(error)
    return answers


def single_calls(table: Table, connection: Dedicated) -> Calls:
    """Return calls that run one by one on a connection, in its transaction."""
    call, removing = partial(_call_alone, connection), table.removing
    return Calls(
        fetch=partial(call, table.reading.fetch),
        fetch_newest=partial(call, table.reading.fetch_newest),
        insert=partial(call, table.inserting.insert),
        edit=partial(_edit_alone, connection, table.editing),
        renumber=partial(call, table.numbering.renumber),
        delete=partial(call, removing.delete),
        delete_together=partial(call, removing.delete_together),
        take=partial(call, removing.take),
        delete_empty=partial(call, removing.delete_empty),
        insert_login=partial(call, table.signing.insert),
        logout=partial(call, table.signing.logout),
        is_retired=partial(call, table.signing.is_retired),
        devices=partial(call, table.listing.devices),
        signed_in=partial(call, table.overview.signed_in),
        revoke=partial(call, table.revoking.end),
        adopt=_at_first_use(lambda: partial(call, table.adopting.adopt)),
    )


async def _edit_alone(connection: Dedicated, editing: Editing, edit: Edit) -> Edited | None:
    async def run(work: _Work[Any, Any], calls: Sequence[Any]) -> Sequence[Any]:
        return await connection.run(work, calls)

    with _saying_busy():
        [answer] = await make_edits([edit], editing, run)
        if isinstance(answer, SessionError):
            raise answer
    if isinstance(answer, Locked):
        raise SessionBusyError("The session is being changed by others. Try again.")
    return answer


async def _call_observed(
    observer: StatementObserver, call: _Call[_CallT, _AnswerT], given: _CallT
) -> _AnswerT:
    return await observed(call(given), observer, [observer.origin()])


async def _call_alone(connection: Dedicated, work: _Work[Any, Any], call: object) -> Any:  # noqa: ANN401 - the answer of any statement
    with _saying_busy():
        [answer] = await connection.run(work, [call])
    return answer


@contextmanager
def _saying_busy() -> Iterator[None]:
    """Raise the public error where another transaction holds a row of a block's statement."""
    try:
        yield
    except LockedRowError as error:
        busy = public(error)
    else:
        return
    raise busy
