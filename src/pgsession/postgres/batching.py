"""How statements are called: one by one, or together with whatever waits with them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Any, Final, Protocol

from psycopg.errors import UniqueViolation

from pgsession.postgres.coalescer import Coalescer
from pgsession.postgres.connections.connection import Connection
from pgsession.postgres.connections.runner import Runner
from pgsession.postgres.dead_keys import DeadKeys
from pgsession.postgres.rows import Draft, Edit, Row
from pgsession.postgres.statements import Table

#: Statements of one kind under way at once. Two keep the server busy while one is read here;
#: more would only make the batches smaller.
_LANES: Final = 2

#: Sessions in one statement at most.
_SIZE: Final = 256

#: Sessions in one statement at least, if so many wait: a statement has its own price.
_LEAST: Final = 32

#: Callers that may wait for statements of one kind.
_MOST_WAITING: Final = 4_096


class Calls(Protocol):
    """The table's statements, seen by one caller. All keys are digests."""

    def fetch(self, digest: str) -> Awaitable[Row | None]:
        """Return the row of a living session."""
        ...

    def insert(self, draft: Draft) -> Awaitable[None]:
        """Make a row."""
        ...

    def edit(self, edit: Edit) -> Awaitable[bool]:
        """Apply an edit; return whether the session was alive."""
        ...

    def renew(self, edit: Edit) -> Awaitable[bool]:
        """Move a row to its heir's digest; return whether the session was alive."""
        ...

    def take(self, digest: str, name: str) -> Awaitable[str | None]:
        """Remove a member and return its text."""
        ...

    def delete(self, digest: str) -> Awaitable[None]:
        """Remove a row, if it is there."""
        ...

    def delete_empty(self, digest: str) -> Awaitable[bool | None]:
        """Remove a row that holds nothing; tell whether it did, None if the session is dead."""
        ...


class Statements:
    """The table's statements on connections of a runner, each for many callers at once."""

    def __init__(self, table: Table, runner: Runner) -> None:
        self._table = table
        self._runner = runner

    async def fetch(self, digests: Sequence[str]) -> list[Row | None]:
        """Fetch each digest once, whoever asks for it how often."""
        wanted = list(dict.fromkeys(digests))
        rows = await self._runner.run(lambda it: self._table.fetch(it, wanted))
        return list(map(rows.get, digests))

    async def insert(self, drafts: Sequence[Draft]) -> list[None]:
        """Make rows."""
        await self._runner.run(_Insertion(self._table, drafts))
        return [None] * len(drafts)

    async def edit(self, edits: Sequence[Edit]) -> list[bool]:
        """Apply the edits of one key as one, in the order in which they came."""
        composed = {edit.session_key: edit for edit in edits}
        in_time = [True] * len(edits)
        if len(composed) < len(edits):
            in_time = _compose(edits, into=composed)
        # Applied twice, an edit could undo what others did in between.
        alive = await self._runner.run(
            lambda it: self._table.update(it, list(composed.values())), idempotent=False
        )
        return [
            came_in_time and edit.session_key in alive
            for came_in_time, edit in zip(in_time, edits, strict=True)
        ]

    async def renew(self, edits: Sequence[Edit]) -> list[bool]:
        """Move each row to the heir of the first who asks for it; the key is dead for others."""
        first: dict[str, Edit] = {}
        for edit in edits:
            first.setdefault(edit.session_key, edit)
        heirs = await self._runner.run(
            lambda it: self._table.renew(it, list(first.values())), idempotent=False
        )
        return [edit.heir in heirs for edit in edits]

    async def take(self, digest: str, name: str) -> str | None:
        """Remove a member and return its text."""
        return await self._runner.run(
            lambda it: self._table.take(it, digest, name), idempotent=False
        )

    async def delete(self, digests: Sequence[str]) -> list[None]:
        """Remove rows, those that are there."""
        gone = list(dict.fromkeys(digests))
        await self._runner.run(lambda it: self._table.delete(it, gone))
        return [None] * len(digests)

    async def delete_empty(self, digest: str) -> bool | None:
        """Remove a row that holds nothing."""
        return await self._runner.run(
            lambda it: self._table.delete_empty(it, digest), idempotent=False
        )


def _compose(edits: Sequence[Edit], *, into: dict[str, Edit]) -> list[bool]:
    """Make one edit of those of each key; tell of each whether the session still lived then."""
    into.clear()
    in_time: list[bool] = []
    for edit in edits:
        earlier = into.get(edit.session_key)
        in_time.append(earlier is None or not earlier.ends)
        if earlier is None:
            into[edit.session_key] = edit
        elif not earlier.ends:
            into[edit.session_key] = earlier.then(edit)
    return in_time


class _Insertion:
    """Makes rows, once, however often it is tried.

    Their keys are random: what a second attempt finds under them the first has made.
    """

    def __init__(self, table: Table, drafts: Sequence[Draft]) -> None:
        self._table = table
        self._drafts = drafts
        self._is_second = False

    async def __call__(self, connection: Connection) -> None:
        try:
            await self._table.insert(connection, self._drafts)
        except UniqueViolation:
            if not self._is_second:
                raise
        finally:
            self._is_second = True


class Direct:
    """Each call is a statement of its own."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def fetch(self, digest: str) -> Row | None:
        return (await self._statements.fetch([digest]))[0]

    async def insert(self, draft: Draft) -> None:
        await self._statements.insert([draft])

    async def edit(self, edit: Edit) -> bool:
        return (await self._statements.edit([edit]))[0]

    async def renew(self, edit: Edit) -> bool:
        return (await self._statements.renew([edit]))[0]

    async def take(self, digest: str, name: str) -> str | None:
        return await self._statements.take(digest, name)

    async def delete(self, digest: str) -> None:
        await self._statements.delete([digest])

    async def delete_empty(self, digest: str) -> bool | None:
        return await self._statements.delete_empty(digest)


class Coalesced:
    """Calls leave together with those of their kind that wait with them.

    Keys that were found dead are not asked for again for some seconds.
    """

    def __init__(self, statements: Statements, *, patience: float) -> None:
        coalescer = partial(
            Coalescer,
            lanes=_LANES,
            size=_SIZE,
            least=_LEAST,
            most_waiting=_MOST_WAITING,
            patience=patience,
        )
        self._statements = statements
        self._fetches: Coalescer[str, Row | None] = coalescer(self._fetch)
        self._inserts: Coalescer[Draft, None] = coalescer(statements.insert)
        self._edits: Coalescer[Edit, bool] = coalescer(self._edit)
        self._renewals: Coalescer[Edit, bool] = coalescer(statements.renew)
        self._deletions: Coalescer[str, None] = coalescer(statements.delete)
        self._dead = DeadKeys()

    # No coroutines of their own, which would cost something on every request's way.

    def fetch(self, digest: str) -> Awaitable[Row | None]:
        return _nothing() if digest in self._dead else self._fetches.call(digest)

    def insert(self, draft: Draft) -> Awaitable[None]:
        return self._inserts.call(draft)

    def edit(self, edit: Edit) -> Awaitable[bool]:
        return self._edits.call(edit)

    def renew(self, edit: Edit) -> Awaitable[bool]:
        return self._renewals.call(edit)

    def take(self, digest: str, name: str) -> Awaitable[str | None]:
        return self._statements.take(digest, name)

    def delete(self, digest: str) -> Awaitable[None]:
        return self._deletions.call(digest)

    def delete_empty(self, digest: str) -> Awaitable[bool | None]:
        return self._statements.delete_empty(digest)

    def reopen(self) -> None:
        """Take calls again."""
        for coalescer in self._coalescers():
            coalescer.reopen()

    async def close(self) -> None:
        """Take no more calls; return when all are answered."""
        await asyncio.gather(*(coalescer.close() for coalescer in self._coalescers()))

    def _coalescers(self) -> tuple[Coalescer[Any, Any], ...]:
        return self._fetches, self._inserts, self._edits, self._renewals, self._deletions

    async def _fetch(self, digests: Sequence[str]) -> list[Row | None]:
        """Fetch those that are not known to be dead, which others may have found out meanwhile."""
        asked = digests
        if self._dead:
            asked = [digest for digest in digests if digest not in self._dead]
        changes = self._dead.changes
        rows = await self._statements.fetch(asked) if asked else []
        if None in rows and self._dead.changes == changes:
            for digest, row in zip(asked, rows, strict=True):
                if row is None:
                    self._dead.add(digest)
        if asked is digests:
            return rows
        found = dict(zip(asked, rows, strict=True))
        return [found.get(digest) for digest in digests]

    async def _edit(self, edits: Sequence[Edit]) -> list[bool]:
        """Apply edits; a key that lived on long enough for one is not dead."""
        alive = await self._statements.edit(edits)
        if self._dead:
            for edit, was_alive in zip(edits, alive, strict=True):
                if was_alive:
                    self._dead.forget(edit.session_key)
        return alive

    def forget_dead(self) -> None:
        """Ask again for keys that were found dead: a transaction has ended that made some live."""
        self._dead.forget()


async def _nothing() -> None:
    """Find nothing, without asking."""
