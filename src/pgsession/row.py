"""Rows of the session table: one to be made, what to do to one, one that was read."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple

from pgsession.errors import InvalidValueError
from pgsession.store import Entry
from pgsession.value import JSON, decode_members, decode_value, encode_text

_LOGGER = logging.getLogger("pgsession")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A row to be made. `session_key` is a digest."""

    session_key: str = field(repr=False)
    text: bytes | None = field(repr=False)
    period: timedelta
    granted: bool
    lifetime: timedelta | None

    def record(self) -> dict[str, JSON]:
        """Return what the INSERT reads, under the names that it has for it."""
        return {
            "session_key": self.session_key,
            "session_data": self.text,
            "seconds": self.period.total_seconds(),
            "granted": self.granted,
            "lifetime": None if self.lifetime is None else self.lifetime.total_seconds(),
        }


class Edit(NamedTuple):
    """What to do to a living row. `session_key` and `heir` are digests; None leaves a thing be.

    The repr shows none of it.
    """

    session_key: str
    text: bytes | None = None
    removed: Iterable[str] = ()
    replaced: bool = False
    period: timedelta | None = None
    #: Whether `own` becomes the period that the session has of its own, None for none.
    granted: bool = False
    own: timedelta | None = None
    heir: str | None = None

    def __repr__(self) -> str:
        return "<Edit>"

    def sliding(self, period: timedelta | None, *, granted: bool | None) -> Edit:
        """Return this edit with the expiry moved too, as the store's contract has it."""
        if period is None:
            return self
        key, text, removed, replaced, *_, heir = self
        own = period if granted else None
        return Edit(key, text, removed, replaced, period, granted is not None, own, heir)

    @property
    def ends(self) -> bool:
        """True if the session has expired once this is done: nothing can be done to it then."""
        return self.period is not None and self.period <= timedelta(0)

    def then(self, later: Edit) -> Edit:
        """Return the one edit that does what this and then `later`, of the same key, would do."""
        granting = later if later.granted else self
        text, removed, replaced = self.text, frozenset(self.removed), self.replaced
        if later.text is not None:
            members = {} if text is None or later.replaced else decode_members(text)
            for name in later.removed:
                members.pop(name, None)
            added = decode_members(later.text)
            text = encode_text(members | added)
            removed = (removed | frozenset(later.removed)) - added.keys()
            replaced = replaced or later.replaced
        return self._replace(
            text=text,
            removed=tuple(removed),
            replaced=replaced,
            period=self.period if later.period is None else later.period,
            granted=granting.granted,
            own=granting.own,
        )

    def record(self) -> dict[str, JSON]:
        """Return what the UPDATE or the renewal reads, under the names that it has for it."""
        return {
            "session_key": self.session_key,
            "changed": self.text,
            "removed": list(self.removed),
            "replaced": self.replaced,
            "seconds": None if self.period is None else self.period.total_seconds(),
            "granted": self.granted,
            "own": None if self.own is None else self.own.total_seconds(),
            "heir": self.heir,
        }


class Row(NamedTuple):
    """What is read of a living session, still as text. The repr shows no part of it."""

    session_key: str
    text: str | None
    seconds: float
    granted: float | None
    lifetime: float | None

    def __repr__(self) -> str:
        return f"Row(seconds={self.seconds})"

    def entry(self) -> Entry | None:
        """Return a fresh entry, or None, with a logged error, if the text cannot be read."""
        _, text, seconds, granted, lifetime = self
        try:
            value = None if text is None else decode_value(text)
        except InvalidValueError:
            # Without the traceback: what cannot be read must not be shown either.
            _LOGGER.error(  # noqa: TRY400 - as above
                "A stored session cannot be read and counts as gone; its row is kept."
            )
            return None
        return Entry(value, timedelta(0, seconds), _period(granted), _period(lifetime))


def _period(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(0, seconds)
