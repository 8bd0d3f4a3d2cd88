"""The callers of a coalescer: what each waits for, and how it is told an error."""

from __future__ import annotations

import asyncio
import copy
from typing import TypeAlias, TypeVar

CallT = TypeVar("CallT")
AnswerT = TypeVar("AnswerT")

#: A caller: its call, the future that gets the answer, when it came, and what a statement for it
#: leads back to.
Caller: TypeAlias = tuple[CallT, asyncio.Future[AnswerT], float, object | None]


def fail(answer: asyncio.Future[AnswerT], error: Exception) -> None:
    """Give a caller an error, unless it has an answer, was cancelled or has timed out."""
    if not answer.done():
        answer.set_exception(_copied(error))


def _copied(error: Exception) -> Exception:
    """Return a copy: an error that many callers raise would collect all their tracebacks."""
    try:
        return copy.copy(error)
    except TypeError:  # its constructor does not take its own arguments
        return error
