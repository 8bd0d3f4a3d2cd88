"""Flash messages: texts that a session keeps until a page shows them, once.

Each message is a member of its own, under a name that nobody else uses. So parallel requests
keep each other's messages, and each can be taken once. A member is written once and never changed:
a later commit cannot bring back what another request has taken.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pgsession.core.value import JSON
from pgsession.errors import UnsupportedTypeError

#: The names of the members that are messages begin with this.
FLASH: Final = "flash:"

# When the message was made, in nanoseconds since 1970.
_MOMENT: Final = re.compile(f"{FLASH}([0-7][0-9a-f]{{15}})-")

#: A session keeps so many messages. A visitor who never sees a page does not fill it.
MOST_MESSAGES: Final = 50


@dataclass(frozen=True, slots=True, repr=False)
class Flash:
    """A message for the visitor, such as "Saved.", and its category, such as "success".

    A text that was flashed as ``markupsafe.Markup`` is one that templates do not escape. The
    repr shows nothing of it.
    """

    #: What to show.
    text: str
    #: What kind of message it is; "info" if `Session.flash` was given none.
    category: str

    def __repr__(self) -> str:
        return "<Flash>"


class SafeText(str):
    """A text that a template inserts as it is, as it does with Markup."""

    __slots__ = ()

    def __html__(self) -> str:
        return str.__str__(self)


class Flashes:
    """The messages of one request's session that were read, and the names of its new ones."""

    def __init__(self) -> None:
        #: True once the messages were taken, so that they can be read.
        self.is_taken: bool = False
        #: What was taken and not read, by name; and what was read, oldest first.
        self._unread: dict[str, JSON] = {}
        self._removed: frozenset[str] = frozenset()
        self._read: list[Flash] | None = None
        self._last_name = ""

    def new_name(self, known: Iterable[str], clock: Callable[[], int] = time.time_ns) -> str:
        """Return a name that sorts behind those of this request, and behind the `known` ones."""
        found = filter(None, map(_MOMENT.match, [*known, self._last_name]))
        moment = max([clock(), *(int(each[1], 16) + 1 for each in found)])
        self._last_name = f"{FLASH}{moment:016x}-{secrets.token_hex(8)}"
        return self._last_name

    def note(self, members: Mapping[str, JSON]) -> None:
        """Record members that were taken."""
        self.is_taken = True
        self._unread.update(members)

    def read(self) -> list[Flash]:
        """Return all messages of this request."""
        unread, self._unread = self._unread, {}
        self._read = [*(self._read or []), *(read(unread[name]) for name in sorted(unread))]
        return list(self._read)

    def remove(self) -> None:
        """Record that `clear` has removed all messages. This request can still show them."""
        self._removed = frozenset(self._unread)

    def put_back(self) -> dict[str, JSON]:
        """Return the members that were taken and not read; they are not taken any more."""
        unread, self._unread = self._unread, {}
        self.is_taken = self._read is not None
        return {name: unread[name] for name in unread.keys() - self._removed}


def member_of(text: object, category: object) -> JSON:
    """Return the member of a message."""
    if not isinstance(text, str) or not isinstance(category, str):
        raise UnsupportedTypeError("The text and the category of a flash message must be str.")
    # Not all that has `__html__` is HTML itself: it may escape its text there.
    as_html: Callable[[], str] | None = getattr(text, "__html__", None)
    shown = text if as_html is None else as_html()
    member = {"text": str.__str__(shown), "category": str.__str__(category)}
    return member if as_html is None else {**member, "html": True}


def read(member: JSON) -> Flash:
    """Return the message of a member, whatever an application has put there."""
    found: dict[str, Any] = member if isinstance(member, dict) else {"text": member}
    text = str(found.get("text", ""))
    is_html = found.get("html") is True
    return Flash(SafeText(text) if is_html else text, str(found.get("category", "")))


def surplus(session: dict[str, Any], *, but: str) -> list[str]:
    """Return the names of the oldest messages that are too many, without that of a new one."""
    names = sorted(name for name in message_names(session) if name != but)
    return names[: max(0, len(names) + 1 - MOST_MESSAGES)]


def message_names(session: dict[str, Any]) -> Iterator[str]:
    """Yield the names of the members that are messages. This is no access to the session."""
    return (name for name in dict.keys(session) if name.startswith(FLASH))
