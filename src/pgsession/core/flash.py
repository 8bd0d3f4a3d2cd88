"""Flash messages: texts that a session keeps until a page shows them, once.

Each message is a member of its own, under a name that nobody else uses. So parallel requests
keep each other's messages, and each can be taken once. A member is written once and never changed:
a later commit cannot bring back what another request has taken.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pgsession.core.value import JSON
from pgsession.errors import UnsupportedTypeError

#: The names of the members that are messages begin with this.
FLASH: Final = "flash:"

#: A session keeps so many messages. A visitor who never sees a page does not fill it.
MOST_MESSAGES: Final = 50


@dataclass(frozen=True, slots=True)
class Flash:
    """A message for the visitor, such as "Saved.", and its category, such as "success".

    A text that was flashed as ``markupsafe.Markup`` is one that templates do not escape.
    """

    text: str
    category: str


class SafeText(str):
    """A text that a template inserts as it is, as it does with Markup."""

    __slots__ = ()

    def __html__(self) -> str:
        return str.__str__(self)


class Flashes:
    """The messages of one request's session that were read, and the names of its new ones."""

    def __init__(self) -> None:
        #: What was taken, oldest first; None before a request has read its messages.
        self.taken: list[Flash] | None = None
        self._last_name = ""

    def new_name(self, clock: Callable[[], int] = time.time_ns) -> str:
        """Return a name that sorts behind those of this request and of earlier ones."""
        moment = clock()
        if self._last_name:
            last = int(self._last_name.removeprefix(FLASH).partition("-")[0], 16)
            moment = max(moment, last + 1)
        self._last_name = f"{FLASH}{moment:016x}-{secrets.token_hex(8)}"
        return self._last_name

    def note(self, members: Mapping[str, JSON]) -> list[Flash]:
        """Record members that were taken. Return all messages of this request."""
        before = self.taken or []
        self.taken = [*before, *(read(members[name]) for name in sorted(members))]
        return list(self.taken)


def member_of(text: object, category: object) -> JSON:
    """Return the member of a message."""
    if not isinstance(text, str) or not isinstance(category, str):
        raise UnsupportedTypeError("The text and the category of a flash message must be str.")
    member = {"text": str.__str__(text), "category": str.__str__(category)}
    return {**member, "html": True} if hasattr(text, "__html__") else member


def read(member: JSON) -> Flash:
    """Return the message of a member, whatever an application has put there."""
    found: dict[str, Any] = member if isinstance(member, dict) else {"text": member}
    text = str(found.get("text", ""))
    is_html = found.get("html") is True
    return Flash(SafeText(text) if is_html else text, str(found.get("category", "")))


def surplus(session: dict[str, Any]) -> list[str]:
    """Return the names of the oldest messages that are too many."""
    return sorted(message_names(session))[:-MOST_MESSAGES]


def message_names(session: dict[str, Any]) -> Iterator[str]:
    """Yield the names of the members that are messages. This is no access to the session."""
    return (name for name in dict.keys(session) if name.startswith(FLASH))
