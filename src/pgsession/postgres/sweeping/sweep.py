"""One sweep: it removes what has expired in batches, and pauses as long after each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from pgsession.postgres.connections.dedicated import Dedicated
from pgsession.postgres.connections.runner import Runner
from pgsession.postgres.sweeping.statements import Batch, Expired

_Runner: TypeAlias = Runner | Dedicated

#: Seconds that a batch should take.
_TARGET: Final = 0.01

#: Pages in the first batch.
_FIRST: Final = 32

#: Pages in a batch at most. If they are full of small expired rows, deleting these takes no longer
#: than an ordinary statement.
_MOST: Final = 128

#: Rows in a batch, where the table has no pages of its own.
_ROWS: Final = 1000


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep has done, so far or in all."""

    #: Expired sessions that were removed.
    rows: int = 0
    #: Pages of the table that were read; 0 where the table has none of its own.
    pages: int = 0
    #: Pages that the table had when the sweep began.
    total: int = 0
    #: How long it took.
    seconds: float = 0.0
    #: False if another sweep was under way, which does the rest.
    is_whole: bool = True


async def sweep(
    runner: _Runner, expired: Expired, *, progress: Callable[[Swept], object] | None = None
) -> Swept:
    """Remove what has expired; call `progress` after each batch; return what was done.

    Each batch is one piece of work for `runner`. Of two sweeps that meet, the
    one that finds the other's lock ends, and the other goes on to the end of
    the table.

    Raises `StoreUnavailableError` if the database takes no writes, and
    `SchemaError` if the table is not as this version needs it. Then nothing is removed.
    """
    begin = time.monotonic()
    round_ = _Round(runner, expired, progress)
    total = await runner.run(expired.pages)
    swept = await round_.pick() if total is None else await round_.walk(total)
    return replace(swept, seconds=time.monotonic() - begin)


def fitted(pages: int, seconds: float) -> int:
    """Return the number of pages for the next batch, given the pages and seconds of the last."""
    wanted = int(pages * _TARGET / max(seconds, 1e-6))
    return max(1, min(wanted, 2 * pages, _MOST))


class _Round:
    """The batches of one sweep, with their pauses."""

    def __init__(
        self, runner: _Runner, expired: Expired, progress: Callable[[Swept], object] | None
    ) -> None:
        self._runner = runner
        self._expired = expired
        self._progress = progress

    async def walk(self, total: int) -> Swept:
        """Go through `total` pages. Pages added meanwhile hold new rows only."""
        swept = Swept(total=total)
        size = _FIRST
        while swept.pages < total:
            first, end = swept.pages, min(swept.pages + size, total)
            batch = await self._runner.run(self._expired.remove_from, first, end)
            if batch is None:
                return replace(swept, is_whole=False)
            swept = replace(swept, rows=swept.rows + batch.rows, pages=end)
            await self._pause(swept, batch)
            size = fitted(end - first, batch.seconds)
        return swept

    async def pick(self) -> Swept:
        """Remove rows by key, until a batch is not full."""
        swept = Swept()
        while True:
            batch = await self._runner.run(self._expired.remove_some, _ROWS)
            if batch is None:
                return replace(swept, is_whole=False)
            swept = replace(swept, rows=swept.rows + batch.rows)
            await self._pause(swept, batch)
            if batch.rows < _ROWS:
                return swept

    async def _pause(self, swept: Swept, batch: Batch) -> None:
        """Wait for as long as the batch took, so that other statements have their turn."""
        if self._progress is not None:
            self._progress(swept)
        await asyncio.sleep(batch.seconds)
