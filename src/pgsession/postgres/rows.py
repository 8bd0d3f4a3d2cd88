"""Rows of the session table: a new one, a change to one, and one that was read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from typing import Final, NamedTuple, TypeAlias

import msgspec

from pgsession.core.keys import KeyDigest
from pgsession.core.large import read_value
from pgsession.core.login import Login, SignedIn
from pgsession.core.logs import event, own_logger
from pgsession.core.store import Entry
from pgsession.core.value import decode_members, encode_text
from pgsession.errors import InvalidValueError

_LOGGER = own_logger()

#: An edit that removes more members than this is not a common one.
MANY_REMOVED: Final = 100


class Draft(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A new row, as the INSERT reads it. The repr shows nothing of it.

    `session_key` is a digest, `session_data` JSON text; the period is seconds.
    """

    session_key: str
    session_data: msgspec.Raw | None
    seconds: float
    granted: bool = False
    #: No fewer bytes than PostgreSQL prints of the value.
    size: int = 0
    #: The user whom the session is bound to.
    login: Login | None = None

    def __repr__(self) -> str:
        return "<Draft>"


class Edit(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A change to a living row, as the UPDATE reads it. The repr shows nothing of it.

    `session_key`, `verifier` and `heir` are digests, `changed` is JSON text. None
    leaves things as they are, except that the verifier must be the row's.
    """

    session_key: str
    verifier: str | None = None
    changed: msgspec.Raw | None = None
    removed: tuple[str, ...] = ()
    replaced: bool = False
    #: How many bytes `changed` adds to what PostgreSQL prints of the value, at most.
    size: int = 0
    #: The seconds that the session lives from now on, unless it has a period of its own.
    seconds: float | None = None
    #: True if `own` becomes the session's own period, None for no such period.
    granted: bool = False
    own: float | None = None
    #: The verifier of the next key: this edit is a renewal.
    heir: str | None = None
    #: The user whom the session is bound to by this renewal.
    login: Login | None = None
    #: True if the user has proved again who they are.
    confirms: bool = False

    def __repr__(self) -> str:
        return "<Edit>"

    @property
    def key(self) -> KeyDigest:
        """The key of the session, as digests."""
        return self.session_key, self.verifier

    @property
    def is_last(self) -> bool:
        """True if the key is dead after this edit, so that no other can follow."""
        return self.heir is not None or (self.seconds is not None and self.seconds <= 0)

    def then(self, later: Edit) -> Edit:
        """Return one edit that does what this one and then `later`, of the same key, would do."""
        granting = later if later.granted else self
        changed, removed, replaced = self.changed, frozenset(self.removed), self.replaced
        size = self.size + later.size
        if later.changed is not None:
            members = {} if changed is None or later.replaced else decode_members(changed)
            for name in later.removed:
                members.pop(name, None)
            added = decode_members(later.changed)
            changed = msgspec.Raw(encode_text(members | added))
            removed = (removed | frozenset(later.removed)) - added.keys()
            replaced = replaced or later.replaced
            size = later.size if later.replaced else size
        return Edit(
            self.session_key,
            self.verifier,
            changed=changed,
            removed=tuple(removed),
            replaced=replaced,
            size=size,
            seconds=self._seconds_after(later),
            granted=granting.granted,
            own=granting.own,
            heir=later.heir,
            login=later.login,
            confirms=later.confirms,
        )

    def _seconds_after(self, later: Edit) -> float | None:
        """Return how long the session lives after this edit and then `later`."""
        if later.seconds is None:
            return self.seconds
        if later.granted or later.seconds <= 0 or self.own is None:
            return later.seconds
        return self.own  # `later` extends the session by the period that this edit has granted


def are_common(edits: Iterable[Edit]) -> bool:
    """Tell whether edits only change values and extend sessions, as nearly all edits do."""
    for edit in edits:
        if edit.granted or edit.heir is not None or len(edit.removed) > MANY_REMOVED:
            return False
    return True


class Showing(msgspec.Struct, frozen=True, gc=False):
    """A number that the browser has shown, or if `grace` (seconds) is given, is to be raised."""

    key: KeyDigest
    number: int
    grace: float | None = None


class Edited(msgspec.Struct, frozen=True, gc=False):
    """What an edit tells of the row that it has changed."""

    session_key: str
    #: The row's own period, in microseconds.
    granted: int | None
    number: int


class Row(NamedTuple):
    """The row of a living session, with its value as text. The repr shows no part of the value."""

    session_key: str
    verifier: str | None
    text: str | None
    #: Until it expires, in microseconds.
    remaining: int
    #: The rest as a JSON array, as `_read_more` reads it; None for a visitor without all of it.
    more: str | None

    def __repr__(self) -> str:
        return f"Row(remaining={self.remaining})"

    @property
    def key(self) -> KeyDigest:
        """The key of the session, as digests."""
        return self.session_key, self.verifier

    def entry(
        self, *, max_lifetime: timedelta | None = None, max_inactivity: timedelta | None = None
    ) -> Entry | None:
        """Return a new entry; or None, and log an error, if the text cannot be read."""
        _, _, text, remaining, more = self
        try:
            value = None if text is None else read_value(text)
        except InvalidValueError:
            # Without the traceback, which could show parts of the value.
            _LOGGER.error(  # noqa: TRY400 - as above
                "A stored session cannot be read. It is treated as not found; its row is kept.",
                extra=event("session_unreadable"),
            )
            return None
        period, lifetime = timedelta(0, 0, remaining), None
        if more is None:  # nearly always, for a visitor
            return _entry((value, period, None, None, 0, None, _NOTHING, None))
        user, number, granted, age, idle, shown_for = _read_more(more)
        if age is idle is None and granted is None:  # nearly always, for a user
            return _entry((value, period, None, None, number, None, _NOTHING, user))
        own = None if granted is None else timedelta(0, 0, granted)
        unused = _NOTHING if idle is None else timedelta(0, 0, idle)
        if max_lifetime is not None and age is not None:
            lifetime = max_lifetime - timedelta(0, 0, age)
            period = min(period, lifetime)
        if max_inactivity is not None:
            period = min(period, max_inactivity - unused)
            own = None if own is None else min(own, max_inactivity)
        shown = None if shown_for is None else timedelta(0, 0, shown_for)
        return _entry((value, period, own, lifetime, number, shown, unused, user))


#: What most sessions lack: the user, with times in microseconds, and the cookie's number. Then, in
#: microseconds: the row's own period; the time since the session was generated, if that is limited;
#: since it was last extended, if that is limited or its number was shown; and since that.
_More: TypeAlias = tuple[SignedIn | None, int, int | None, int | None, int | None, int | None]

_read_more: Final = msgspec.json.Decoder(_More).decode
_NOTHING: Final = timedelta(0)

#: As `Entry._make`, but faster: it runs once for each session that is read.
_entry: Final = partial(tuple.__new__, Entry)
