"""The end of all sessions, in batches beside the requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from pgsession.errors import SessionBusyError
from pgsession.postgres.connections.runner import Runner
from pgsession.postgres.statements.clearing import Clearing

#: Rows in a batch.
ROWS: Final = 500

#: Seconds until rows that other transactions hold are tried again.
_RETRY_EVERY: Final = 0.1


class Clearance:
    """Ends all sessions that there are when it begins, and calls `progress` after each batch.

    Each batch takes some milliseconds, followed by a pause of the same length. Rows
    that others hold are tried again for `patience` seconds after the others are gone.
    """

    def __init__(
        self,
        runner: Runner,
        clearing: Clearing,
        *,
        patience: float,
        progress: Callable[[int], object] | None,
    ) -> None:
        self._runner = runner
        self._clearing = clearing
        self._patience = patience
        self._progress = progress
        self._ended = 0
        #: The handles of rows that are held, and whether each session was alive.
        self._held: dict[str, bool] = {}

    async def run(self) -> int:
        """Return how many living sessions have ended.

        Raises `SessionBusyError` if other transactions hold some rows for too long.
        """
        after = ""
        while found := await self._runner.run(self._clearing.next, after, ROWS):
            after = max(found)
            self._held |= await self._end(found)
        deadline = time.monotonic() + self._patience
        while self._held:
            if time.monotonic() > deadline:
                raise SessionBusyError(
                    f"{self._ended} sessions have ended. Other transactions hold the rows of "
                    f"{len(self._held)} more: end those transactions, and run it again."
                )
            await asyncio.sleep(_RETRY_EVERY)
            self._held = await self._end_held()
        return self._ended

    async def _end_held(self) -> dict[str, bool]:
        """Try all rows that were held once more, and return those that are still held."""
        handles = sorted(self._held)
        held: dict[str, bool] = {}
        for place in range(0, len(handles), ROWS):
            batch = handles[place : place + ROWS]
            held |= await self._end({handle: self._held[handle] for handle in batch})
        return held

    async def _end(self, found: dict[str, bool]) -> dict[str, bool]:
        """End one batch, and return what is left of it."""
        begin = time.monotonic()
        left = await self._runner.run(self._clearing.remove, sorted(found))
        self._ended += sum(is_alive for handle, is_alive in found.items() if handle not in left)
        if self._progress is not None:
            self._progress(self._ended)
        await asyncio.sleep(time.monotonic() - begin)
        return {handle: found[handle] for handle in left}
