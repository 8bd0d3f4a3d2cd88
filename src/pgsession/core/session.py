"""The mapping that a handler sees as ``request.session``, and what became of it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from pgsession.core.baseline import Baseline
from pgsession.core.period import DEFAULT_PERIOD, Period, as_period
from pgsession.core.store import DEFAULT_EXCLUSIVE_TIMEOUT, Changes, Entry
from pgsession.core.value import (
    ATOMS,
    DEFAULT_VALUE_LIMIT,
    changed_text,
    check_size,
    decode_value,
    differs,
    embed,
    encode_text,
    encode_value,
    plain_member,
)
from pgsession.errors import InvalidPeriodError, ResponseStartedError, SessionError

_EMPTY = Baseline(b"{}")

#: What `Session.changes` returns, this very object, where nothing differs.
UNCHANGED = Changes()

#: So many times its length can a text have as plain JSON, where 1e308 has all its digits.
_WIDEST = 63


class Attachment(Protocol):
    """What ties a session to a store, seen from the session."""

    #: True once the response has started, so that no cookie can be set any more.
    started: bool

    @property
    def default_period(self) -> timedelta:
        """The period of a session that has none of its own."""
        ...

    @property
    def value_limit(self) -> int:
        """The largest session, in bytes."""
        ...

    async def save(self) -> None:
        """Commit the changes."""
        ...

    async def reload(self) -> None:
        """Read the row again."""
        ...

    def exclusive(self, timeout: timedelta) -> AbstractAsyncContextManager[None]:
        """Hold the session's lock."""
        ...

    async def take(self, name: str, default: object) -> Any:  # noqa: ANN401 - JSON
        """Remove and return a member, once."""
        ...


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A session's unsaved state, to go back to."""

    text: bytes = field(repr=False)
    cleared: int
    renewed: int
    granted: timedelta | None
    period_changed: int


class Session(dict[str, Any]):
    """A `dict` that knows what it was loaded from.

    Nothing is watched while a handler works: changes are found afterwards by
    comparing with what was loaded, so an edit deep inside counts, setting a
    value back does not, and True is not 1.

    The repr shows neither content nor key.
    """

    #: True once a handler looked at the session; Starlette's `request.session` says so.
    accessed: bool = False
    #: True if there is no row of this session yet.
    is_new: bool = True
    #: True if the store could not answer, and `on_unavailable` says "anonymous": the session
    #: is empty, whoever this is, and refuses to be changed.
    is_unavailable: bool = False

    #: What ties it to the store, until its request is over.
    attachment: Attachment | None = None

    # What most requests never set stands here, not in each of them.
    _default_period: timedelta = DEFAULT_PERIOD
    _limit: int = DEFAULT_VALUE_LIMIT
    _stored: Baseline = _EMPTY
    _granted: timedelta | None = None
    # How often something was asked for since it was last done.
    _cleared: int = 0
    _renewed: int = 0
    _period_changed: int = 0

    def __init__(
        self,
        entry: Entry | None = None,
        *,
        default_period: timedelta | None = None,
        limit: int | None = None,
        attachment: Attachment | None = None,
    ) -> None:
        if entry is not None:
            value, _, granted, _ = entry
            self.is_new = False
            if granted is not None:
                self._granted = granted
            if value:
                self.update(value)
                self._stored = Baseline(encode_text(value))
        if attachment is not None:
            self.attachment = attachment
        if default_period is not None:
            self._default_period = default_period
        if limit is not None:
            self._limit = limit

    def __repr__(self) -> str:
        return f"<Session is_new={self.is_new} accessed={self.accessed}>"

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        """Make copies and pickles plain dicts: only the original belongs to the request."""
        return dict, (dict(self),)

    def mark_accessed(self) -> None:
        """Note that the response depends on the session, so that it varies by cookie."""
        self.accessed = True

    def mark_modified(self) -> None:
        """Do what `mark_accessed` does: changes are found by comparison, not by being told."""
        self.accessed = True

    @property
    def modified(self) -> bool:
        """True if the content differs from what was loaded, or `clear()` was called."""
        if self._cleared:
            return True
        if self.is_unchanged:
            return False
        before = self._stored.value
        return self.keys() != before.keys() or any(
            differs(name, member, before[name]) for name, member in self.items()
        )

    @property
    def is_unchanged(self) -> bool:
        """True if the content is what was loaded, found out at C speed; False may be wrong."""
        return not self._cleared and self._stored.is_same(self)

    def clear(self) -> None:
        """Remove everything, also what other requests add meanwhile.

        A session left empty is ended: its row goes before the response leaves,
        and its cookie with it. One that is filled again replaces the old value
        whole.
        """
        self._cleared += 1
        self.accessed = True
        super().clear()

    @property
    def cleared(self) -> bool:
        """True once `clear()` was called."""
        return self._cleared > 0

    def renew(self) -> None:
        """Give the session a new key with this response; the old one is dead at once.

        Call it whenever somebody's privileges change, above all at login, so
        that a key planted before is worth nothing after (OWASP: session
        fixation). The content stays. Raises `ResponseStartedError` once the
        response has started, for the browser could not learn the new key.
        """
        self._refuse_if_started()
        self._renewed += 1

    @property
    def renewed(self) -> bool:
        """True once `renew()` was called."""
        return self._renewed > 0

    @property
    def period(self) -> timedelta:
        """How long the session lives after its last use.

        Set it, to a `timedelta` or seconds, for "remember me": the session
        keeps it from then on. Set it to None to go back to the default. Raises
        `InvalidPeriodError` unless it is positive (to end a session, clear it)
        and `ResponseStartedError` once the response has started.
        """
        if self._granted is not None:
            return self._granted
        if self.attachment is not None:
            return self.attachment.default_period
        return self._default_period

    @period.setter
    def period(self, period: Period | None) -> None:
        self._refuse_if_started()
        granted = None if period is None else as_period(period)
        if granted is not None and granted <= timedelta(0):
            raise InvalidPeriodError("A session's period is positive; to end it, clear it.")
        self._period_changed += granted != self._granted
        self._granted = granted

    @property
    def granted(self) -> timedelta | None:
        """The period that is this session's own, or None if it follows the default."""
        return self._granted

    @property
    def period_changed(self) -> bool:
        """True if `period` was set to something else than was loaded."""
        return self._period_changed > 0

    async def save(self) -> None:
        """Commit the changes now, instead of when the response starts.

        For a WebSocket, a long task, or before another server is told to look.
        The expiry stays as it is. Raises `SessionNotFoundError` if the session
        has ended meanwhile, `ResponseStartedError` if it has no row yet and
        the browser could not learn its key any more, `InvalidValueError` for a
        value that cannot be stored, and `StoreUnavailableError`.
        """
        await self._attached().save()

    async def reload(self) -> None:
        """Read the session again, and keep the changes not yet saved.

        Raises `SessionNotFoundError` if it has ended meanwhile, and
        `StoreUnavailableError`. Nothing happens to a session without a row.
        """
        await self._attached().reload()

    def exclusive(
        self, timeout: Period = DEFAULT_EXCLUSIVE_TIMEOUT
    ) -> AbstractAsyncContextManager[None]:
        """Check and act on this session as the only one: ``async with session.exclusive(): …``.

        Reloads the session under a lock, runs the block, and commits its
        changes at its end. Others who ask for the lock of the same session
        wait; requests that do not ask never wait. If the block raises, what it
        did to the session is undone.

        Raises `StoreBusyError` if the lock is not free within `timeout`
        (a `timedelta` or seconds) or too many hold locks of other sessions,
        and what `reload` and `save` raise.
        """
        return self._attached().exclusive(as_period(timeout))

    async def take(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - JSON
        """Remove ``session[name]`` and return it, or `default`: once, across all processes.

        Of any number of requests that take the same member, one gets it. For
        OAuth states, nonces, one-time messages. It is committed at once.
        """
        return await self._attached().take(name, default)

    def changes(self) -> Changes:
        """Return what differs from what was loaded, checked and encoded.

        Raises `InvalidValueError` for a value that cannot be stored.
        """
        if self.is_unchanged:
            return UNCHANGED
        replaced = self._cleared > 0
        before = {} if replaced else self._stored.value
        written = self._written_members(before)
        text = encode_text(written)
        if written:  # one that only shrinks is let through, though a lowered limit forbade it
            self._check_size(written, text)
        return Changes(
            {name: self[name] for name in written}, before.keys() - self.keys(), replaced, text
        )

    @property
    def wishes(self) -> tuple[int, int, int]:
        """How often the session was cleared, renewed and given a period since that was done."""
        return self._cleared, self._renewed, self._period_changed

    def acknowledge(
        self, changes: Changes, *, is_new: bool, wishes: tuple[int, int, int] | None = None
    ) -> None:
        """Take `changes` for stored and `wishes` for done, as they were when they were found.

        Nothing that was changed or asked for since is taken for done.
        """
        if changes:
            stored = {} if changes.replaced else self._stored.value.copy()
            for name in changes.removed:
                stored.pop(name, None)
            stored.update(decode_value(changes.encoded or changes.encode(limit=self._largest())))
            self._stored = Baseline.of(stored)
        cleared, renewed, period_changed = self.wishes if wishes is None else wishes
        if changes.replaced and self._cleared == cleared:
            self._cleared = 0
        if self._renewed == renewed:
            self._renewed = 0
        if self._period_changed == period_changed:
            self._period_changed = 0
        self.is_new = is_new

    def rebase(self, entry: Entry, changes: Changes) -> None:
        """Take `entry` for what is stored, and apply the unsaved `changes` to it."""
        stored = entry.value or {}
        content = {} if changes.replaced else dict(stored)
        for name in changes.removed:
            content.pop(name, None)
        self._stored = Baseline(encode_text(stored))
        self._replace_content(content | {name: self[name] for name in changes.set})
        if not self._period_changed:
            self._granted = entry.granted

    def snapshot(self) -> Snapshot:
        """Return the present state. Raises `InvalidValueError` if it cannot be stored."""
        return Snapshot(
            encode_value(self, limit=self._largest()),
            cleared=self._cleared,
            renewed=self._renewed,
            granted=self._granted,
            period_changed=self._period_changed,
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a state."""
        self._replace_content(decode_value(snapshot.text))
        self._cleared, self._renewed = snapshot.cleared, snapshot.renewed
        self._granted, self._period_changed = snapshot.granted, snapshot.period_changed

    @property
    def stored(self) -> Baseline:
        """What is stored, as far as this session knows."""
        return self._stored

    @stored.setter
    def stored(self, baseline: Baseline) -> None:
        self._stored = baseline

    def is_unsaved(self, name: str) -> bool:
        """Tell whether the member `name` differs from what is stored."""
        stored = self._stored.value
        return name in self and (name not in stored or differs(name, self[name], stored[name]))

    def forget(self, name: str) -> None:
        """Remove the member `name`, which is stored no longer, without that being a change."""
        stored = self._stored.value
        if name in stored:
            self._stored = Baseline.of({it: stored[it] for it in stored if it != name})
        self.pop(name, None)

    def _replace_content(self, content: dict[str, Any]) -> None:
        super().clear()
        self.update(content)

    def _attached(self) -> Attachment:
        if self.attachment is None:
            raise SessionError("This session belongs to no request, so no store knows it.")
        return self.attachment

    def _largest(self) -> int:
        return self._limit if self.attachment is None else self.attachment.value_limit

    def _refuse_if_started(self) -> None:
        if self.attachment is not None and self.attachment.started:
            raise ResponseStartedError

    def _written_members(self, before: dict[str, Any]) -> dict[str, Any]:
        """Return the members that differ from `before`, checked, for `encode_text`."""
        written: dict[str, Any] = {}
        for name, member in self.items():
            if name not in before:
                written[name] = plain_member(name, member)
                continue
            stored = before[name]
            if type(member) in ATOMS and type(member) is type(stored):
                if member != stored:  # as `changed_text` would say, for less
                    written[name] = plain_member(name, member)
            elif (text := changed_text(name, member, stored)) is not None:
                written[name] = embed(text)
        return written

    def _check_size(self, written: dict[str, Any], text: bytes) -> None:
        """Refuse a session past the limit: reckon cheaply what it has at most, then exactly."""
        limit = self._largest()
        if (len(self._stored.text) + len(text)) * _WIDEST > limit:
            whole = {
                name: written[name] if name in written else plain_member(name, member)
                for name, member in self.items()
            }
            check_size(len(encode_text(whole)), limit=limit)
