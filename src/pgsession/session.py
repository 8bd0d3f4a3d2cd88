"""The mapping that a handler sees as ``request.session``, and what became of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pgsession.errors import InvalidPeriodError
from pgsession.period import DEFAULT_PERIOD, Period, as_period
from pgsession.store import Changes, Entry
from pgsession.value import (
    DEFAULT_VALUE_LIMIT,
    check_size,
    decode_value,
    encode_member,
    encode_text,
    join_members,
    same,
)

_EMPTY = b"{}"
_UNCHANGED = Changes()


class Session(dict[str, Any]):
    """A `dict` that knows what it was loaded from.

    Nothing is watched while a handler works: changes are found afterwards by
    comparing with what was loaded, so an edit deep inside counts, setting a
    value back does not, and True is not 1.

    The repr shows neither content nor key.
    """

    __slots__ = (
        "_cleared",
        "_default_period",
        "_granted",
        "_limit",
        "_loaded",
        "_period_changed",
        "_renewed",
        "accessed",
        "is_new",
    )

    #: True once a handler looked at the session; Starlette's `request.session` says so.
    accessed: bool
    #: True if there is no row of this session yet.
    is_new: bool

    def __init__(
        self,
        entry: Entry | None = None,
        *,
        default_period: timedelta = DEFAULT_PERIOD,
        limit: int = DEFAULT_VALUE_LIMIT,
    ) -> None:
        value = None if entry is None else entry.value
        super().__init__(value or {})
        self._loaded = encode_text(value) if value else _EMPTY
        self._granted = None if entry is None else entry.granted
        self._default_period = default_period
        self._limit = limit
        self._cleared = False
        self._renewed = False
        self._period_changed = False
        self.accessed = False
        self.is_new = entry is None

    def __repr__(self) -> str:
        return f"<Session is_new={self.is_new} accessed={self.accessed}>"

    def mark_accessed(self) -> None:
        """Note that the response depends on the session, so that it varies by cookie."""
        self.accessed = True

    def mark_modified(self) -> None:
        """Do what `mark_accessed` does: changes are found by comparison, not by being told."""
        self.accessed = True

    @property
    def modified(self) -> bool:
        """True if the content differs from what was loaded, or `clear()` was called."""
        return self._cleared or not same(self, decode_value(self._loaded))

    def clear(self) -> None:
        """Remove everything, also what other requests add meanwhile.

        A session left empty is ended: its row goes before the response leaves,
        and its cookie with it. One that is filled again replaces the old value
        whole.
        """
        self._cleared = True
        super().clear()

    @property
    def cleared(self) -> bool:
        """True once `clear()` was called."""
        return self._cleared

    def renew(self) -> None:
        """Give the session a new key with this response; the old one is dead at once.

        Call it whenever somebody's privileges change, above all at login, so
        that a key planted before is worth nothing after (OWASP: session
        fixation). The content stays.
        """
        self._renewed = True

    @property
    def renewed(self) -> bool:
        """True once `renew()` was called."""
        return self._renewed

    @property
    def period(self) -> timedelta:
        """How long the session lives after its last use.

        Set it, to a `timedelta` or seconds, for "remember me": the session
        keeps it from then on. Set it to None to go back to the default. Raises
        `InvalidPeriodError` unless it is positive: to end a session, clear it.
        """
        return self._default_period if self._granted is None else self._granted

    @period.setter
    def period(self, period: Period | None) -> None:
        granted = None if period is None else as_period(period)
        if granted is not None and granted <= timedelta(0):
            raise InvalidPeriodError("A session's period is positive; to end it, clear it.")
        self._period_changed = self._period_changed or granted != self._granted
        self._granted = granted

    @property
    def granted(self) -> timedelta | None:
        """The period that is this session's own, or None if it follows the default."""
        return self._granted

    @property
    def period_changed(self) -> bool:
        """True if `period` was set to something else than was loaded."""
        return self._period_changed

    def changes(self) -> Changes:
        """Return what differs from what was loaded, checked and encoded.

        Raises `InvalidValueError` for a value that cannot be stored.
        """
        before = decode_value(self._loaded)
        if not self._cleared and same(self, before):
            return _UNCHANGED
        written = self._written_members({} if self._cleared else before)
        return Changes(
            set={name: self[name] for name in written},
            removed=frozenset() if self._cleared else before.keys() - self.keys(),
            replaced=self._cleared,
            encoded=join_members(written, limit=self._limit),
        )

    def rebase(self) -> None:
        """Take the present content for what is stored: it has just been."""
        self._loaded = encode_text(self)
        self._cleared = False
        self._renewed = False
        self._period_changed = False
        self.is_new = False

    def _written_members(self, before: dict[str, Any]) -> dict[str, bytes]:
        """Encode the members that differ from `before`; refuse a session past the limit."""
        written: dict[str, bytes] = {}
        size = len(_EMPTY)
        for name, member in self.items():
            if name in before and same(member, before[name]):
                size += len(encode_text(member)) + len(name)
                continue
            text = encode_member(name, member)
            size += len(text) + len(name)
            if name not in before or text != encode_member(name, before[name]):
                written[name] = text
        if written:  # one that only shrinks is let through, though a lowered limit forbade it
            check_size(size, limit=self._limit)
        return written
