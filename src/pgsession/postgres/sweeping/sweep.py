"""One sweep: what has expired goes, batch by batch, with as long a pause after each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from pgsession.postgres.connections.runner import Runner
from pgsession.postgres.sweeping.statements import Batch, Expired

#: Seconds that a batch is to take, pages with which it begins, and pages at most: even full
#: of small expired rows, so many take no longer than what others ask of the server.
_TARGET: Final = 0.01
_FIRST: Final = 32
_MOST: Final = 128

#: Rows in a batch, where there are no pages to walk through.
_ROWS: Final = 1000


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep has done, so far or altogether."""

    #: Expired sessions that were removed.
    rows: int = 0
    #: Pages of the table that were looked at; 0 where the table has none of its own.
    pages: int = 0
    #: Pages that it had when the sweep began.
    total: int = 0
    #: How long it took.
    seconds: float = 0.0
    #: False if another worker was met, who does the rest.
    is_whole: bool = True


async def sweep(
    runner: Runner, expired: Expired, *, progress: Callable[[Swept], object] | None = None
) -> Swept:
    """Remove what has expired; tell `progress` after each batch; return what was done.

    Each batch is one piece of work for `runner`. Two workers that meet never
    both go on, and never both stop: who finds the other's lock ends, and the
    other goes on to the end of the table.

    Raises `StoreUnavailableError` where nothing can be written.
    """
    begin = time.monotonic()
    round_ = _Round(runner, expired, progress)
    total = await runner.run(expired.pages)
    swept = await round_.pick() if total is None else await round_.walk(total)
    return replace(swept, seconds=time.monotonic() - begin)


def fitted(pages: int, seconds: float) -> int:
    """Return how many pages the next batch looks at, given the pages and seconds of the last."""
    wanted = int(pages * _TARGET / max(seconds, 1e-6))
    return max(1, min(wanted, 2 * pages, _MOST))


class _Round:
    """Batch after batch, each with its pause."""

    def __init__(
        self, runner: Runner, expired: Expired, progress: Callable[[Swept], object] | None
    ) -> None:
        self._runner = runner
        self._expired = expired
        self._progress = progress

    async def walk(self, total: int) -> Swept:
        """Go through so many pages. Rows in those added meanwhile are new."""
        swept = Swept(total=total)
        size = _FIRST
        while swept.pages < total:
            first, end = swept.pages, min(swept.pages + size, total)
            batch = await self._runner.run(partial(self._expired.remove_from, first=first, end=end))
            if batch is None:
                return replace(swept, is_whole=False)
            swept = replace(swept, rows=swept.rows + batch.rows, pages=end)
            await self._pause(swept, batch)
            size = fitted(end - first, batch.seconds)
        return swept

    async def pick(self) -> Swept:
        """Remove rows by key until fewer are found than asked for."""
        swept = Swept()
        while True:
            batch = await self._runner.run(partial(self._expired.remove_some, rows=_ROWS))
            if batch is None:
                return replace(swept, is_whole=False)
            swept = replace(swept, rows=swept.rows + batch.rows)
            await self._pause(swept, batch)
            if batch.rows < _ROWS:
                return swept

    async def _pause(self, swept: Swept, batch: Batch) -> None:
        """Leave the server to others for as long as the batch took."""
        if self._progress is not None:
            self._progress(swept)
        await asyncio.sleep(batch.seconds)
