"""Rows of the session table: a new one, a change to one, and one that was read."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from typing import Final, NamedTuple

import msgspec

from pgsession.core.store import Entry
from pgsession.core.value import decode_members, decode_value, encode_text
from pgsession.errors import InvalidValueError

_LOGGER = logging.getLogger("pgsession")


class Draft(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A new row, as the INSERT reads it. The repr shows nothing of it.

    `session_key` is a digest, `session_data` JSON text; periods are seconds.
    """

    session_key: str
    session_data: msgspec.Raw | None
    seconds: float
    granted: bool = False
    lifetime: float | None = None

    def __repr__(self) -> str:
        return "<Draft>"


class Edit(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A change to a living row, as the UPDATE or the renewal reads it. The repr shows nothing.

    `session_key` and `heir` are digests, `changed` is JSON text. None leaves
    things as they are.
    """

    session_key: str
    changed: msgspec.Raw | None = None
    removed: tuple[str, ...] = ()
    replaced: bool = False
    #: The seconds that the session lives from now on.
    seconds: float | None = None
    #: True if `own` becomes the session's own period, None for no such period.
    granted: bool = False
    own: float | None = None
    heir: str | None = None

    def __repr__(self) -> str:
        return "<Edit>"

    @property
    def ends(self) -> bool:
        """True if the session has expired after this edit, so that no other can follow."""
        return self.seconds is not None and self.seconds <= 0

    def then(self, later: Edit) -> Edit:
        """Return one edit that does what this one and then `later`, of the same key, would do."""
        granting = later if later.granted else self
        changed, removed, replaced = self.changed, frozenset(self.removed), self.replaced
        if later.changed is not None:
            members = {} if changed is None or later.replaced else decode_members(changed)
            for name in later.removed:
                members.pop(name, None)
            added = decode_members(later.changed)
            changed = msgspec.Raw(encode_text(members | added))
            removed = (removed | frozenset(later.removed)) - added.keys()
            replaced = replaced or later.replaced
        return Edit(
            self.session_key,
            changed=changed,
            removed=tuple(removed),
            replaced=replaced,
            seconds=self.seconds if later.seconds is None else later.seconds,
            granted=granting.granted,
            own=granting.own,
            heir=self.heir,
        )


class Row(NamedTuple):
    """The row of a living session, with its value as text. The repr shows no part of the value."""

    session_key: str
    text: str | None
    #: These three are microseconds.
    remaining: int
    granted: int | None
    lifetime: int | None

    def __repr__(self) -> str:
        return f"Row(remaining={self.remaining})"

    def entry(self) -> Entry | None:
        """Return a new entry; or None, and log an error, if the text cannot be read."""
        _, text, remaining, granted, lifetime = self
        try:
            value = None if text is None else decode_value(text)
        except InvalidValueError:
            # Without the traceback, which could show parts of the value.
            _LOGGER.error(  # noqa: TRY400 - as above
                "A stored session cannot be read. It is treated as not found; its row is kept."
            )
            return None
        return _entry(
            (
                value,
                timedelta(0, 0, remaining),
                None if granted is None else timedelta(0, 0, granted),
                None if lifetime is None else timedelta(0, 0, lifetime),
            )
        )


#: As `Entry._make`, but faster: it runs once for each session that is read.
_entry: Final = partial(tuple.__new__, Entry)
