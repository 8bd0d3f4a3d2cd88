"""The state of a session: its content, what is stored, and what the request asked for."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final, TypeAlias

from pgsession.core.baseline import Baseline, text_size
from pgsession.core.large import LARGE_VALUE, LargeValue, as_large, read_value
from pgsession.core.login import NO_SIGNING, SignedIn, Signing
from pgsession.core.plain import Budget
from pgsession.core.store import Changes, Entry
from pgsession.core.tracked import TrackedDict
from pgsession.core.typed import TypedObjects
from pgsession.core.undecoded import undecoded_class
from pgsession.core.value import (
    DEFAULT_VALUE_LIMIT,
    check_size,
    decode_value,
    encode_text,
)

_EMPTY: Final = Baseline(b"{}")

#: `SessionState.changes` returns this object if nothing differs.
UNCHANGED: Final = Changes()

#: How often the handler cleared, renewed and gave a period, and its login, confirmation or logout.
Wishes: TypeAlias = tuple[int, int, int, Signing]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a session has that is not saved, for `SessionState.restore`."""

    #: The period: the session's own, saved or not.
    granted: timedelta | None
    #: The members that differ from what is stored, as JSON text, and the names of those removed.
    text: bytes = field(default=b"{}", repr=False)
    removed: frozenset[str] = field(default=frozenset(), repr=False)
    cleared: int = 0
    renewed: int = 0
    period_changed: int = 0
    signing: Signing = NO_SIGNING

    def without(self, name: str) -> Snapshot:
        """Return a snapshot that does not name the member `name`."""
        members = decode_value(self.text)
        members.pop(name, None)
        return replace(self, text=encode_text(members), removed=self.removed - {name})


class SessionState(TrackedDict):
    """A `dict` that finds its changes by comparing its content with what is stored.

    Nothing is recorded when a handler changes the content. So a change deep
    inside a member is found, a value that was set back is no change, and True
    differs from 1.
    """

    # Defaults live on the class: most requests never set them.

    #: True if the session has no row yet.
    is_new: bool = True

    _limit: int = DEFAULT_VALUE_LIMIT
    _stored: Baseline = _EMPTY
    _granted: timedelta | None = None
    # How often the handler asked for this since the last `acknowledge`.
    _cleared: int = 0
    _renewed: int = 0
    _period_changed: int = 0
    _signing: Signing = NO_SIGNING
    # The typed objects that were handed out, or None if there were none.
    _typed: TypedObjects | None = None

    def mark_modified(self) -> None:
        """Do the same as `mark_accessed`. Changes are found without a call of this."""
        self.mark_accessed()

    @property
    def modified(self) -> bool:
        """True if the content differs from what is stored, or `clear()` was called."""
        if self._cleared:
            return True
        if self.is_unchanged:
            return False
        if self._typed is not None and self._typed.fault is not None:
            return True
        stored = self._stored
        return dict.keys(self) != stored.names or any(
            stored.differs(name, member) for name, member in dict.items(self)
        )

    @property
    def is_empty(self) -> bool:
        """True if there are no members. Unlike ``not session`` it is no access."""
        return not dict.__len__(self)

    @property
    def is_unchanged(self) -> bool:
        """True if the content is what is stored. This is a fast check: False may be wrong."""
        if self._typed is not None and not self._typed.write_back(self):
            return False
        return not self._cleared and self._stored.is_same(self)

    def clear(self) -> None:
        """Remove all members, including those that other requests add before this is saved.

        A session that is empty when the response starts is ended: its row is
        removed before the response is sent, and the response deletes its
        cookie. If it has members again, they replace the whole stored value.
        """
        super().clear()
        self._cleared += 1
        if self._typed is not None:
            self._typed.detach()

    @property
    def cleared(self) -> bool:
        """True once `clear()` was called."""
        return self._cleared > 0

    def changes(self) -> Changes:
        """Return the difference from what is stored, checked and encoded.

        Raises `InvalidValueError` for a value that cannot be stored. A session
        that is larger than the limit, which was lowered since, takes changes
        that do not make it larger.
        """
        if self._typed is not None:
            self._typed.check(self)
        if not self._cleared and self._stored.is_same(self):
            return UNCHANGED
        stored, content = self._stored, dict.items(self)
        replaced = self._cleared > 0
        before = _EMPTY if replaced else stored
        limit, bound = self._max_size(), stored.size_bound
        budget = Budget(limit if bound <= limit else max(limit, stored.size))
        written = before.written(content, budget)
        removed = before.names - dict.keys(self)
        text = encode_text(written)
        if bound + 2 * len(text) > limit and written:  # without these, it has shrunk
            self._check_size(before, removed, written, text)
        return Changes(
            {name: member for name, member in content if name in written}, removed, replaced, text
        )

    @property
    def wishes(self) -> Wishes:
        """What the handler asked for since `acknowledge`."""
        return self._cleared, self._renewed, self._period_changed, self._signing

    def acknowledge(self, changes: Changes, *, is_new: bool, wishes: Wishes | None = None) -> None:
        """Record that `changes` are stored and `wishes` are done.

        Changes and wishes that came after these were read stay pending.
        """
        if changes:
            before = _EMPTY if changes.replaced else self._stored
            text = changes.encoded
            if text is None:
                text = changes.encode(limit=self._max_size_now())
            if len(text) >= LARGE_VALUE:
                before = as_large(before)
            self._stored = before.changed(frozenset(changes.removed), text)
        cleared, renewed, period_changed, signing = self.wishes if wishes is None else wishes
        if self._signing is signing:
            self._signing = NO_SIGNING
        if changes.replaced and self._cleared == cleared:
            self._cleared = 0
        if self._renewed == renewed:
            self._renewed = 0
        if self._period_changed == period_changed:
            self._period_changed = 0
        self.is_new = is_new

    def rebase(self, entry: Entry, changes: Changes) -> None:
        """Record `entry` as what is stored, and apply the unsaved `changes` to it."""
        stored = entry.value or {}
        content = {} if changes.replaced else dict(dict.items(stored))
        for name in changes.removed:
            content.pop(name, None)
        self._stored = self._baseline_of(stored)
        unsaved = {name: dict.__getitem__(self, name) for name in changes.set}
        self._replace_content(content | unsaved)
        self.note_granted(entry.granted)
        self.note_signed_in(entry.signed_in)
        if self._typed is not None:
            self._typed.read_again(self)

    def note_signed_in(self, signed_in: SignedIn | None, as_of: float | None = None) -> None:
        """Record the user of the row."""

    def note_granted(self, granted: timedelta | None) -> None:
        """Record the session's own period in the row, unless the handler has set another one."""
        if not self._period_changed:
            self._granted = granted

    def snapshot(self) -> Snapshot:
        """Return what is not saved. Raises `InvalidValueError` if it cannot be stored."""
        changes = self.changes()
        return Snapshot(
            self._granted,
            changes.encoded or b"{}",
            frozenset(changes.removed),
            cleared=self._cleared,
            renewed=self._renewed,
            period_changed=self._period_changed,
            signing=self._signing,
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Make the content what is stored, with the changes of `snapshot` as the only unsaved."""
        content: dict[str, Any] = {}
        if not snapshot.cleared:
            stored = read_value(self._stored.text)
            self._stored = self._baseline_of(stored)
            content.update(dict.items(stored))
        for name in snapshot.removed:
            content.pop(name, None)
        self._replace_content(content | decode_value(snapshot.text))
        self._cleared, self._renewed = snapshot.cleared, snapshot.renewed
        self._granted, self._period_changed = snapshot.granted, snapshot.period_changed
        self._signing = snapshot.signing
        if self._typed is not None:
            self._typed.read_again(self)

    @property
    def stored(self) -> Baseline:
        """What is stored, as far as this session knows."""
        return self._stored

    @stored.setter
    def stored(self, baseline: Baseline) -> None:
        self._stored = baseline

    def is_unsaved(self, name: str) -> bool:
        """Return True if there is a member `name` that differs from what is stored."""
        if self._typed is not None:
            self._typed.write_back(self)
        stored, nothing = self._stored, object()
        member = dict.get(self, name, nothing)
        return member is not nothing and (name not in stored.names or stored.differs(name, member))

    def forget(self, name: str) -> None:
        """Remove the member `name` from the content and from what is stored: it is no change."""
        if name in self._stored.names:
            self._stored = self._stored.changed({name}, b"{}")
        dict.pop(self, name, None)

    def _max_size(self) -> int:
        """Return the largest value, in bytes."""
        return self._limit

    def _max_size_now(self) -> int:
        """Return the same, or the size of what is stored if that is larger."""
        limit = self._max_size()
        return limit if self._stored.size_bound <= limit else max(limit, self._stored.size)

    def _baseline_of(self, value: dict[str, Any]) -> Baseline:
        """Return the baseline of a value that was loaded, and whose members are the content."""
        if isinstance(value, LargeValue):
            self.__class__ = undecoded_class(type(self))
            return value.baseline
        return Baseline(encode_text(value))

    def _replace_content(self, content: dict[str, Any]) -> None:
        dict.clear(self)
        dict.update(self, content)

    def _check_size(
        self, before: Baseline, removed: AbstractSet[str], written: dict[str, Any], text: bytes
    ) -> None:
        """Raise `ValueTooLargeError` if the session grows, and beyond the limit."""
        replaced = removed | (before.names & written.keys())
        size = before.size - before.size_of(replaced) + text_size(text)
        check_size(size, limit=self._max_size(), before=self._stored.size)
