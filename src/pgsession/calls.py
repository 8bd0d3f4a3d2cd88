"""How statements are called: one by one, or together with whatever waits with them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any, Final, Protocol

from pgsession.batch import Coalescer
from pgsession.dead import DeadKeys
from pgsession.pool import Runner
from pgsession.row import Draft, Edit, Row
from pgsession.table import Table

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

    async def fetch(self, digest: str) -> Row | None:
        """Return the row of a living session."""
        ...

    async def insert(self, draft: Draft) -> None:
        """Make a row."""
        ...

    async def edit(self, edit: Edit) -> bool:
        """Apply an edit; return whether the session was alive."""
        ...

    async def renew(self, edit: Edit) -> bool:
        """Move a row to its heir's digest; return whether the session was alive."""
        ...

    async def take(self, digest: str, name: str) -> str | None:
        """Remove a member and return its text."""
        ...

    async def delete(self, digest: str) -> None:
        """Remove a row, if it is there."""
        ...

    async def delete_empty(self, digest: str) -> bool | None:
        """Remove a row that holds nothing; tell whether it did, None if the session is dead."""
        ...


class Direct:
    """Each call is a statement of its own."""

    def __init__(self, table: Table, runner: Runner) -> None:
        self._table = table
        self._runner = runner

    async def fetch(self, digest: str) -> Row | None:
        return (await self._fetch_all([digest]))[0]

    async def insert(self, draft: Draft) -> None:
        await self._insert_all([draft])

    async def edit(self, edit: Edit) -> bool:
        return (await self._edit_all([edit]))[0]

    async def renew(self, edit: Edit) -> bool:
        return (await self._renew_all([edit]))[0]

    async def take(self, digest: str, name: str) -> str | None:
        return await self._runner.run(lambda it: self._table.take(it, digest, name))

    async def delete(self, digest: str) -> None:
        await self._delete_all([digest])

    async def delete_empty(self, digest: str) -> bool | None:
        return await self._runner.run(lambda it: self._table.delete_empty(it, digest))

    async def _fetch_all(self, digests: Sequence[str]) -> list[Row | None]:
        """Fetch each digest once, whoever asks for it how often."""
        wanted = list(dict.fromkeys(digests))
        rows = await self._runner.run(lambda it: self._table.fetch(it, wanted))
        return [rows.get(digest) for digest in digests]

    async def _insert_all(self, drafts: Sequence[Draft]) -> list[None]:
        await self._runner.run(lambda it: self._table.insert(it, drafts))
        return [None] * len(drafts)

    async def _edit_all(self, edits: Sequence[Edit]) -> list[bool]:
        """Apply the edits of one key as one, in the order in which they came."""
        composed: dict[str, Edit] = {}
        in_time: list[bool] = []
        for edit in edits:
            earlier = composed.get(edit.session_key)
            in_time.append(earlier is None or not earlier.ends)
            if earlier is None:
                composed[edit.session_key] = edit
            elif not earlier.ends:
                composed[edit.session_key] = earlier.then(edit)
        alive = await self._runner.run(lambda it: self._table.update(it, list(composed.values())))
        return [
            came_in_time and edit.session_key in alive
            for came_in_time, edit in zip(in_time, edits, strict=True)
        ]

    async def _renew_all(self, edits: Sequence[Edit]) -> list[bool]:
        """Move each row to the heir of the first who asks for it; the key is dead for others."""
        first: dict[str, Edit] = {}
        for edit in edits:
            first.setdefault(edit.session_key, edit)
        heirs = await self._runner.run(lambda it: self._table.renew(it, list(first.values())))
        return [edit.heir in heirs for edit in edits]

    async def _delete_all(self, digests: Sequence[str]) -> list[None]:
        gone = list(dict.fromkeys(digests))
        await self._runner.run(lambda it: self._table.delete(it, gone))
        return [None] * len(digests)


class Coalesced(Direct):
    """Calls leave together with those of their kind that wait with them.

    Keys that were found dead are not asked for again for some seconds.
    """

    def __init__(self, table: Table, runner: Runner, *, patience: float) -> None:
        super().__init__(table, runner)
        coalescer = partial(
            Coalescer,
            lanes=_LANES,
            size=_SIZE,
            least=_LEAST,
            most_waiting=_MOST_WAITING,
            patience=patience,
        )
        self._fetches: Coalescer[str, Row | None] = coalescer(self._fetch_all)
        self._inserts: Coalescer[Draft, None] = coalescer(self._insert_all)
        self._edits: Coalescer[Edit, bool] = coalescer(self._edit_all)
        self._renewals: Coalescer[Edit, bool] = coalescer(self._renew_all)
        self._deletions: Coalescer[str, None] = coalescer(self._delete_all)
        self._dead = DeadKeys()

    # Where these are no coroutines, it is because each costs on every request's way.

    def fetch(self, digest: str) -> Coroutine[Any, Any, Row | None]:
        return _nothing() if digest in self._dead else self._fetches.call(digest)

    def insert(self, draft: Draft) -> Coroutine[Any, Any, None]:
        return self._inserts.call(draft)

    def edit(self, edit: Edit) -> Coroutine[Any, Any, bool]:
        return self._edits.call(edit)

    def renew(self, edit: Edit) -> Coroutine[Any, Any, bool]:
        return self._renewals.call(edit)

    def delete(self, digest: str) -> Coroutine[Any, Any, None]:
        return self._deletions.call(digest)

    def reopen(self) -> None:
        """Take calls again."""
        for coalescer in self._coalescers():
            coalescer.reopen()

    async def close(self) -> None:
        """Take no more calls; return when all are answered."""
        await asyncio.gather(*(coalescer.close() for coalescer in self._coalescers()))

    def _coalescers(self) -> tuple[Coalescer[Any, Any], ...]:
        return self._fetches, self._inserts, self._edits, self._renewals, self._deletions

    async def _fetch_all(self, digests: Sequence[str]) -> list[Row | None]:
        """Fetch those that are not known to be dead, which others may have found out meanwhile."""
        asked = (
            [digest for digest in digests if digest not in self._dead] if self._dead else digests
        )
        rows = await super()._fetch_all(asked) if asked else []
        found = dict(zip(asked, rows, strict=True))
        for digest, row in found.items():
            if row is None:
                self._dead.add(digest)
        return [found.get(digest) for digest in digests]


async def _nothing() -> None:
    """Find nothing, without asking."""
