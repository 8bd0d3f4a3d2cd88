"""What is stored of a session, and what the request asked for. Its content is compared with it."""

from __future__ import annotations

import threading
from collections.abc import Set as AbstractSet
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from pgsession import rare
from pgsession.core.baseline import Baseline, text_size
from pgsession.core.large import LARGE_VALUE, LargeValue, as_large, read_value
from pgsession.core.login import NO_SIGNING, Signing
from pgsession.core.plain import Budget
from pgsession.core.store import Changes, Entry
from pgsession.core.undecoded import UndecodedMembers, undecoded_class
from pgsession.core.value import (
    DEFAULT_VALUE_LIMIT,
    check_size,
    decode_value,
    encode_text,
)

if TYPE_CHECKING:  # see `ContentSession.typed`
    from pgsession.core.typed import TypedObjects

_EMPTY: Final = Baseline(b"{}")

#: Held while what is stored is parted from a session, and while it is exchanged.
_LOCK: Final = threading.Lock()

#: `ContentState.changes` returns this object if nothing differs.
UNCHANGED: Final = Changes()

#: How often the handler cleared, renewed and gave a period, and its login, confirmation or logout.
Wishes: TypeAlias = tuple[int, int, int, Signing]


class Snapshot(Struct, frozen=True):
    """What a session has that is not saved, for `ContentState.restore`. The repr shows none."""

    #: The period: the session's own, saved or not.
    granted: timedelta | None
    #: The members that differ from what is stored, as JSON text, and the names of those removed.
    text: bytes = b"{}"
    removed: frozenset[str] = frozenset()
    cleared: int = 0
    renewed: int = 0
    period_changed: int = 0
    signing: Signing = NO_SIGNING

    def __repr__(self) -> str:
        return "<Snapshot>"

    def without(self, name: str) -> Snapshot:
        """Return a snapshot that does not name the member `name`."""
        members = decode_value(self.text)
        members.pop(name, None)
        return replace(self, text=encode_text(members), removed=self.removed - {name})


class ContentState:
    """What is stored of a session, and what its handler asked for since.

    It keeps no reference to the content, which each method is given: the
    mapping that the handler has. Nothing is recorded when a handler changes it. So a
    change deep inside a member is found, a value that was set back is no
    change, and True differs from 1.
    """

    # Defaults live on the class: most requests never set them.

    #: True once a handler has used the session.
    accessed: bool = False
    #: True if the session has no row yet.
    is_new: bool = True
    #: True once a method of the session was called that writes.
    is_written: bool = False
    #: What is stored, as far as this session knows.
    stored: Baseline = _EMPTY
    #: The session's own period, or None if it has the default period.
    granted: timedelta | None = None
    #: How often the handler asked for this since the last `acknowledge`.
    cleared: int = 0
    renewed: int = 0
    period_changed: int = 0
    #: The login, confirmation or logout that the handler asked for since.
    signing: Signing = NO_SIGNING
    #: The largest value, in bytes.
    limit: int = DEFAULT_VALUE_LIMIT
    #: The typed objects that were handed out, or None if there were none.
    typed: TypedObjects | None = None
    #: The flash messages of this request, or None if it has neither made nor read one.
    flashes: rare.Flashes | None = None

    def load(self, content: dict[str, Any], value: dict[str, Any]) -> None:
        """Record a stored value, and make it the content, of which nobody has anything yet."""
        if type(value) is dict:
            dict.update(content, value)
            self.stored = Baseline(None, value.copy(), is_shared=True)  # a store may keep its own
        else:
            dict.update(content, dict.items(value))
            self.stored = _baseline_of(content, value)

    def give_out(self) -> None:
        """Record that a handler is about to get lists and dicts, to change at any time."""
        if self.stored.is_shared:
            with _LOCK:  # else `acknowledge` might share in another thread
                self.stored.part()

    def is_modified(self, content: dict[str, Any]) -> bool:
        """Return True if the content differs from what is stored, or `clear()` was called."""
        if self.cleared:
            return True
        if self.is_unchanged(content):
            return False
        if self.typed is not None and self.typed.fault is not None:
            return True
        stored = self.stored
        return dict.keys(content) != stored.names or any(
            stored.differs(name, member) for name, member in dict.items(content)
        )

    def is_unchanged(self, content: dict[str, Any]) -> bool:
        """Return True if the content is what is stored. This is fast: False may be wrong."""
        if not self.is_written and self.stored.is_untouched(content):
            return True
        if self.typed is not None and not self.typed.write_back(content):
            return False
        return not self.cleared and self.stored.is_same(content)

    def changes(self, content: dict[str, Any]) -> Changes:
        """Return the difference from what is stored, checked and encoded.

        Raises `InvalidValueError` for a value that cannot be stored. A session
        that is larger than the limit, which was lowered since, takes changes
        that do not make it larger.
        """
        if not self.is_written and self.stored.is_untouched(content):
            return UNCHANGED
        if self.typed is not None:
            self.typed.check(content)
        if not self.cleared and self.stored.is_same(content):
            return UNCHANGED
        stored, members = self.stored, dict.items(content)
        replaced = self.cleared > 0
        before = _EMPTY if replaced else stored
        limit, bound = self._max_size(), stored.size_bound
        budget = Budget(limit if bound <= limit else max(limit, stored.size))
        written = before.written(members, budget)
        removed = before.names - dict.keys(content)
        text = encode_text(written)
        if bound + 2 * len(text) > limit and written:  # without these, it has shrunk
            self._check_size(before, removed, written, text)
        return Changes(
            {name: member for name, member in members if name in written}, removed, replaced, text
        )

    @property
    def wishes(self) -> Wishes:
        """What the handler asked for since `acknowledge`."""
        return self.cleared, self.renewed, self.period_changed, self.signing

    def acknowledge(self, changes: Changes, *, is_new: bool, wishes: Wishes | None = None) -> None:
        """Record that `changes` are stored and `wishes` are done.

        Changes and wishes that came after these were read stay pending.
        """
        if changes:
            text = changes.encoded
            if text is None:
                text = changes.encode(limit=self._max_size_now())
            with _LOCK:
                before = _EMPTY if changes.replaced else self.stored
                if len(text) >= LARGE_VALUE:
                    before = as_large(before)
                self.stored = before.changed(frozenset(changes.removed), text)
        cleared, renewed, period_changed, signing = self.wishes if wishes is None else wishes
        if self.signing is signing:
            self.signing = NO_SIGNING
        if changes.replaced and self.cleared == cleared:
            self.cleared = 0
        if self.renewed == renewed:
            self.renewed = 0
        if self.period_changed == period_changed:
            self.period_changed = 0
        self.is_new = is_new

    def rebase(self, content: dict[str, Any], entry: Entry, changes: Changes) -> None:
        """Record `entry` as what is stored, and apply the unsaved `changes` to it."""
        stored = entry.value or {}
        rebased = {} if changes.replaced else dict(dict.items(stored))
        for name in changes.removed:
            rebased.pop(name, None)
        self.stored = _baseline_of(content, stored)
        unsaved = {name: dict.__getitem__(content, name) for name in changes.set}
        _replace(content, rebased | unsaved)
        self.note_granted(entry.granted)
        if self.typed is not None:
            self.typed.read_again(content)

    def note_granted(self, granted: timedelta | None) -> None:
        """Record the session's own period in the row, unless the handler has set another one."""
        if not self.period_changed:
            self.granted = granted

    def snapshot(self, content: dict[str, Any]) -> Snapshot:
        """Return what is not saved. Raises `InvalidValueError` if it cannot be stored."""
        changes = self.changes(content)
        return Snapshot(
            self.granted,
            changes.encoded or b"{}",
            frozenset(changes.removed),
            cleared=self.cleared,
            renewed=self.renewed,
            period_changed=self.period_changed,
            signing=self.signing,
        )

    def restore(self, content: dict[str, Any], snapshot: Snapshot) -> None:
        """Make the content what is stored, with the changes of `snapshot` as the only unsaved."""
        restored: dict[str, Any] = {}
        if not snapshot.cleared:
            stored = read_value(self.stored.text)
            self.stored = _baseline_of(content, stored)
            restored.update(dict.items(stored))
        for name in snapshot.removed:
            restored.pop(name, None)
        _replace(content, restored | decode_value(snapshot.text))
        self.cleared, self.renewed = snapshot.cleared, snapshot.renewed
        self.granted, self.period_changed = snapshot.granted, snapshot.period_changed
        self.signing = snapshot.signing
        if self.typed is not None:
            self.typed.read_again(content)

    def is_unsaved(self, content: dict[str, Any], name: str) -> bool:
        """Return True if there is a member `name` that differs from what is stored."""
        if self.typed is not None:
            self.typed.write_back(content)
        stored, nothing = self.stored, object()
        member = dict.get(content, name, nothing)
        return member is not nothing and (name not in stored.names or stored.differs(name, member))

    def forget(self, content: dict[str, Any], name: str) -> None:
        """Remove the member `name` from the content and from what is stored: it is no change."""
        with _LOCK:
            if name in self.stored.names:
                self.stored = self.stored.changed({name}, b"{}")
        dict.pop(content, name, None)
        if self.typed is not None:
            self.typed.detach(name)

    def _max_size(self) -> int:
        """Return the largest value, in bytes."""
        return self.limit

    def _max_size_now(self) -> int:
        """Return the same, or the size of what is stored if that is larger."""
        limit = self._max_size()
        return limit if self.stored.size_bound <= limit else max(limit, self.stored.size)

    def _check_size(
        self, before: Baseline, removed: AbstractSet[str], written: dict[str, Any], text: bytes
    ) -> None:
        """Raise `ValueTooLargeError` if the session grows, and beyond the limit."""
        replaced = removed | (before.names & written.keys())
        size = before.size - before.size_of(replaced) + text_size(text)
        check_size(size, limit=self._max_size(), before=self.stored.size)


def is_empty(content: dict[str, Any]) -> bool:
    """Return True if there are no members. Unlike ``not session`` it is no access."""
    return not dict.__len__(content)


def _baseline_of(content: dict[str, Any], value: dict[str, Any]) -> Baseline:
    """Return the baseline of a value that was loaded, and whose members are the content."""
    if isinstance(value, LargeValue):
        if isinstance(value, UndecodedMembers):
            content.__class__ = undecoded_class(type(content))
        return value.baseline
    return Baseline(encode_text(value))


def _replace(content: dict[str, Any], other: dict[str, Any]) -> None:
    dict.clear(content)
    dict.update(content, other)
