"""A fake connection for tests of the coalescer."""

import asyncio
from collections.abc import Sequence

from pgsession import SessionError
from pgsession.postgres.coalescer import Coalescer
from pgsession.postgres.locked_rows import LOCKED, Locked, LockedRows


class Wire:
    """A fake `send` that records each batch and blocks while its gate is closed."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.under_way = asyncio.Event()
        #: Whole batches with these calls fail.
        self.refusals: dict[int, Exception] = {}
        #: These calls alone are answered with an error, or that their rows are locked.
        self.errors: dict[int, SessionError] = {}
        self.locked: set[int] = set()
        #: Whether each batch was to skip locked rows.
        self.skipping: list[bool] = []
        self.locked_rows = LockedRows()

    async def send(
        self,
        calls: Sequence[int],
        skipping: bool,
    ) -> list[int | Locked | SessionError]:
        self.batches.append(list(calls))
        self.skipping.append(skipping)
        self.under_way.set()
        await self.gate.wait()
        for call in calls:
            if call in self.refusals:
                raise self.refusals[call]
        return [self.answer(call) for call in calls]

    def answer(self, call: int) -> int | Locked | SessionError:
        if call in self.errors:
            return self.errors[call]
        return LOCKED if call in self.locked else call * 10

    def coalescer(
        self,
        *,
        lanes: int = 1,
        size: int = 100,
        least: int = 1,
        most_waiting: int = 1_000,
        timeout: float = 60,
    ) -> Coalescer[int, int]:
        return Coalescer(
            self.send,
            lanes=lanes,
            size=size,
            least=least,
            most_waiting=most_waiting,
            timeout=timeout,
            locked_rows=self.locked_rows,
        )
