"""A fake connection for tests of the coalescer."""

import asyncio
from collections.abc import Callable, Sequence

from pgsession import SessionError
from pgsession.core.observer import StatementObserver
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
        #: The calls that were begun without a lane, what the last one's answer goes to, and
        #: whether it was stopped.
        self.begun: list[int] = []
        self.then: Callable[[int | SessionError, bool], None] | None = None
        self.is_stopped = False
        #: Whether a call can be begun without a lane.
        self.is_ready = True

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

    def begin(self, call: int, then: Callable[[int | SessionError, bool], None]) -> "Wire | None":
        if not self.is_ready:
            return None
        self.begun.append(call)
        self.then = then
        return self

    def stop(self) -> None:
        self.is_stopped = True
        self.then = None

    def end(self, found: int | SessionError, *, may_retry: bool = True) -> None:
        """Answer the call that was begun without a lane."""
        assert self.then is not None
        then, self.then = self.then, None
        then(found, may_retry and isinstance(found, SessionError))

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
        has_begin: bool = False,
        observer: StatementObserver | None = None,
    ) -> Coalescer[int, int]:
        return Coalescer(
            self.send,
            lanes=lanes,
            size=size,
            least=least,
            most_waiting=most_waiting,
            timeout=timeout,
            locked_rows=self.locked_rows,
            begin=self.begin if has_begin else None,
            observer=observer,
        )
