"""Interrupting a block of a task from outside, as `asyncio.timeout` does."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class Interruption:
    """Cancels a block once it is told to, and tells whether this is how the block has ended.

    ``with Interruption() as it: …`` in a task. A cancellation of the task by
    others stays one, also if both come together. It has no effect after the block.
    """

    __slots__ = ("_before", "_is_told", "_task", "has_ended_block")

    def __init__(self) -> None:
        #: True after the block if the interruption has ended it.
        self.has_ended_block: bool = False
        self._is_told = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this is called by a coroutine
        self._task = task
        self._before = task.cancelling()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        was_told, self._is_told = self._is_told, True
        if was_told and self._task.uncancel() <= self._before:
            self.has_ended_block = kind is not None and issubclass(kind, asyncio.CancelledError)
        return self.has_ended_block

    def interrupt(self) -> None:
        """Cancel the block, once."""
        if not self._is_told:
            self._is_told = True
            self._task.cancel()
