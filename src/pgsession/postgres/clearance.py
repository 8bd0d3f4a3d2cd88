"""The end of all sessions, in batches beside the requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from pgsession.errors import SchemaError, SessionBusyError, SessionError
from pgsession.postgres.connections.runner import Runner
from pgsession.postgres.statements.clearing import Clearing

#: Rows in a batch.
ROWS: Final = 500

#: Seconds until rows that other transactions hold are tried again.
_RETRY_EVERY: Final = 0.1


class RowsHeldError(SessionBusyError):
    """Other transactions hold the rows of some sessions. The message says how many have ended."""


class RowsKeptError(SchemaError):
    """Something else keeps the rows of some sessions. The message says how many have ended."""


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
        """Return how many living sessions have ended here.

        Raises `RowsHeldError` if other transactions hold some rows for too long, and
        `RowsKeptError` if something else keeps them.
        """
        after = ""
        while found := await self._runner.run(self._clearing.next, after, ROWS):
            after = max(found)
            self._held |= await self._end(found)
        deadline = time.monotonic() + self._patience
        while self._held:
            if time.monotonic() > deadline:
                raise await self._failure()
            await asyncio.sleep(_RETRY_EVERY)
            self._held = await self._end_held()
        return self._ended

    async def _failure(self) -> SessionError:
        """Return the error for what is left. The first of the rows stands for the others."""
        told, left = f"{self._ended} sessions have ended.", len(self._held)
        if await self._runner.run(self._clearing.keeps, min(self._held)):
            return RowsKeptError(
                f"{told} A trigger, a rule or row security keeps the rows of {left} more: drop it, "
                "and run it again."
            )
        return RowsHeldError(
            f"{told} Other transactions hold the rows of {left} more: end those transactions, and "
            "run it again."
        )

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
        gone, left = await self._runner.run(self._clearing.remove, sorted(found))
        self._ended += sum(found[handle] for handle in gone)
        if self._progress is not None:
            self._progress(self._ended)
        await asyncio.sleep(time.monotonic() - begin)
        return {handle: found[handle] for handle in left}
