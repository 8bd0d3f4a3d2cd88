"""The calls of an `exclusive` block: in its transaction, all but `take`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgsession.core.keys import KeyDigest
from pgsession.core.observer import StoreObserver
from pgsession.core.store import TAKEN_TOO_LATE
from pgsession.errors import SessionError
from pgsession.postgres.batching import Calls, single_calls
from pgsession.postgres.connections.dedicated import Dedicated
from pgsession.postgres.rows import Draft, Edit, Edited, Showing
from pgsession.postgres.statements.signing import Logout
from pgsession.postgres.statements.table import Table

if TYPE_CHECKING:  # few applications take over old sessions
    from pgsession.postgres.statements.adopting import Heir, Taken


def calls_within(
    table: Table,
    block: Dedicated,
    plain: Calls,
    written: set[KeyDigest],
    *,
    observer: StoreObserver | None = None,
) -> Calls:
    """Return calls that run on a block's connection, noting in `written` what they write.

    `take` runs as `plain` does, on another connection: it commits at once, so
    that what it returns stays taken if the block is rolled back. On a session
    that the transaction has written it would wait for its own block, so that is
    a `SessionError`.
    """
    held = single_calls(table, block)
    if observer is not None:
        held = held.observed_by(observer)
    noted = _NotedCalls(block, held, plain, written)
    return Calls(
        fetch=held.fetch,
        fetch_newest=held.fetch_newest,
        insert=noted.insert,
        edit=noted.edit,
        renumber=noted.renumber,
        delete=noted.delete,
        delete_together=noted.delete_together,
        take=noted.take,
        delete_empty=noted.delete_empty,
        insert_login=noted.insert_login,
        logout=noted.logout,
        is_retired=held.is_retired,
        devices=held.devices,
        signed_in=held.signed_in,
        revoke=held.revoke,
        adopt=noted.adopt,
    )


class _NotedCalls:
    def __init__(
        self, block: Dedicated, held: Calls, plain: Calls, written: set[KeyDigest]
    ) -> None:
        self._block = block
        self._held = held
        self._plain = plain
        self._written = written

    async def insert(self, draft: Draft) -> None:
        self._written.add((draft.session_key, None))
        await self._held.insert(draft)

    async def insert_login(self, draft: Draft) -> None:
        self._written.add((draft.session_key, None))
        await self._held.insert_login(draft)

    async def logout(self, logout: Logout) -> bool:
        self._written.add((logout.session_key, None))
        return await self._held.logout(logout)

    async def edit(self, edit: Edit) -> Edited | None:
        self._written.update({edit.key, (edit.session_key, edit.heir)})
        return await self._held.edit(edit)

    async def renumber(self, showing: Showing) -> int | None:
        self._written.add(showing.key)
        return await self._held.renumber(showing)

    async def delete(self, key: KeyDigest) -> None:
        self._written.add(key)
        await self._held.delete(key)

    async def delete_together(self, keys: tuple[KeyDigest, ...]) -> None:
        self._written.update(keys)
        await self._held.delete_together(keys)

    async def delete_empty(self, key: KeyDigest) -> bool | None:
        self._written.add(key)
        return await self._held.delete_empty(key)

    async def take(self, call: tuple[KeyDigest, str]) -> str | None:
        self._block.check()
        (selector, _), _ = call
        if any(written == selector for written, _ in self._written):
            raise SessionError(TAKEN_TOO_LATE)
        return await self._plain.take(call)

    async def adopt(self, heir: Heir) -> Taken:
        """Take over at once: a duplicate would undo the block."""
        self._block.check()
        return await self._plain.adopt(heir)
