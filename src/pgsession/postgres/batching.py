"""How the table's statements are called: in batches, or one by one within a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

from psycopg.errors import UniqueViolation

from pgsession.postgres.coalescer import Coalescer
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.connections.dedicated import Dedicated
from pgsession.postgres.connections.runner import Runner
from pgsession.postgres.rows import Draft, Edit, Row
from pgsession.postgres.statements import Table

#: Statements of one kind under way at once. Two keep the server busy while the answers to one are
#: read here; more would only make the batches smaller.
_LANES: Final = 2

#: Sessions in one statement at most.
_SIZE: Final = 256

#: Sessions in one statement at least, if so many wait: each statement has a price of its own.
_LEAST: Final = 32

#: Callers that may wait for statements of one kind.
_MOST_WAITING: Final = 4_096

_CallT = TypeVar("_CallT")
_AnswerT = TypeVar("_AnswerT")

_Call: TypeAlias = Callable[[_CallT], Awaitable[_AnswerT]]
_Work: TypeAlias = Callable[[Connection, Sequence[_CallT]], Awaitable[Sequence[_AnswerT]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """The statements of `Table`, each for one caller. Keys are digests."""

    fetch: _Call[str, Row | None]
    fetch_newest: _Call[tuple[str, ...], Row | None]
    insert: _Call[Draft, None]
    edit: _Call[Edit, bool]
    renew: _Call[Edit, bool]
    delete: _Call[str, None]
    delete_together: _Call[tuple[str, ...], None]
    take: _Call[tuple[str, str], str | None]
    delete_empty: _Call[str, bool | None]


class Batches:
    """Sends all waiting calls of one kind in one statement.

    Calls that must not run twice are made with ``idempotent=False``: an edit
    that runs again could undo what others did in between.
    """

    def __init__(self, table: Table, runner: Runner, *, timeout: float) -> None:
        self._runner = runner
        self._timeout = timeout
        self._coalescers: list[Coalescer[Any, Any]] = []
        self.calls: Calls = Calls(
            fetch=self._batched(table.fetch, idempotent=True),
            fetch_newest=self._batched(table.fetch_newest, idempotent=True, size=1),
            insert=self._coalesced(lambda drafts: runner.run(_Insertion(table), drafts)),
            edit=self._batched(table.update, idempotent=False),
            renew=self._batched(table.renew, idempotent=False),
            delete=self._batched(table.delete, idempotent=True),
            delete_together=self._batched(table.delete_together, idempotent=True, size=1),
            take=self._batched(table.take, idempotent=False, size=1),
            delete_empty=self._batched(table.delete_empty, idempotent=False, size=1),
        )

    async def close(self) -> None:
        """Reject further calls; return when all are answered."""
        await asyncio.gather(*(coalescer.close() for coalescer in self._coalescers))

    def _batched(
        self, work: _Work[_CallT, _AnswerT], *, idempotent: bool, size: int = _SIZE
    ) -> _Call[_CallT, _AnswerT]:
        runner = self._runner
        return self._coalesced(
            lambda calls: runner.run(work, calls, idempotent=idempotent), size=size
        )

    def _coalesced(
        self,
        send: Callable[[Sequence[_CallT]], Awaitable[Sequence[_AnswerT]]],
        *,
        size: int = _SIZE,
    ) -> _Call[_CallT, _AnswerT]:
        coalescer = Coalescer(
            send,
            lanes=_LANES,
            size=size,
            least=_LEAST,
            most_waiting=_MOST_WAITING,
            timeout=self._timeout,
        )
        self._coalescers.append(coalescer)
        return coalescer.call


def single_calls(table: Table, connection: Dedicated) -> Calls:
    """Return calls that run one by one on a connection, in its transaction."""
    return Calls(
        fetch=partial(_call_alone, connection, table.fetch),
        fetch_newest=partial(_call_alone, connection, table.fetch_newest),
        insert=partial(_call_alone, connection, table.insert),
        edit=partial(_call_alone, connection, table.update),
        renew=partial(_call_alone, connection, table.renew),
        delete=partial(_call_alone, connection, table.delete),
        delete_together=partial(_call_alone, connection, table.delete_together),
        take=partial(_call_alone, connection, table.take),
        delete_empty=partial(_call_alone, connection, table.delete_empty),
    )


async def _call_alone(
    connection: Dedicated, work: _Work[_CallT, _AnswerT], call: _CallT
) -> _AnswerT:
    return (await connection.run(work, [call]))[0]


class _Insertion:
    """Makes rows once, however often it is tried.

    Keys are random, so a second attempt that finds one taken has found the row
    that the first attempt made.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._is_second = False

    async def __call__(self, connection: Connection, drafts: Sequence[Draft]) -> Sequence[None]:
        try:
            return await self._table.insert(connection, drafts)
        except UniqueViolation:
            if not self._is_second:
                raise
            return [None] * len(drafts)
        finally:
            self._is_second = True
