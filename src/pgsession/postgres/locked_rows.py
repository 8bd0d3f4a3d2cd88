"""Rows that other transactions hold: how a call says so, and whether there are any now."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final


class Locked(Enum):
    """The answer to a call that has changed nothing, as another transaction holds its row.

    Nor is it known whether the session lives: the call is made again.
    """

    LOCKED = auto()


LOCKED: Final = Locked.LOCKED


class LockedRows:
    """How many calls wait for rows that other transactions hold.

    While any does, all statements skip locked rows at once.
    """

    def __init__(self) -> None:
        self.waiting: int = 0
