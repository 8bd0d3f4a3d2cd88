"""The signal SIGTERM, which ends a command as Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Self


class Termination:
    """Within the block SIGTERM does what SIGINT does, unless it is ignored.

    So a command that a supervisor ends can tell what it has done.
    """

    def __init__(self) -> None:
        #: Whether the signal has come.
        self.has_come: bool = False
        self._is_set = False

    def __enter__(self) -> Self:
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._end)
            self._is_set = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_set:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self.has_come = True
        interrupt = signal.getsignal(signal.SIGINT)
        if not callable(interrupt):  # a shell lets its background jobs ignore SIGINT
            raise KeyboardInterrupt
        interrupt(number, frame)
