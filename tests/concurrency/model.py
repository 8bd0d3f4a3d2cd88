"""A model of a store and of the sessions in its requests, in plain Python, without a clock."""

import json
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from pgsession import Changes, SessionNotFoundError
from pgsession.core.store import Written

ZERO: Final = timedelta(0)

Value = dict[str, Any]


@dataclass(slots=True)
class Living:
    """A session that has not ended."""

    value: Value | None
    period: timedelta
    granted: timedelta | None
    lifetime: timedelta | None
    number: int = 0
    #: Whether the browser has shown the number.
    shown: bool = False
    user: str | None = None
    login_number: int = 0
    #: The larger, the later its user has proved who they are.
    proved: int = 0


@dataclass(slots=True)
class Model:
    """All living sessions, by key. There is no clock: tests change the expiry."""

    default_period: timedelta
    max_lifetime: timedelta | None
    max_inactivity: timedelta | None = None
    living: dict[str, Living] = field(default_factory=dict)
    #: How many logins and confirmations there were.
    proofs: int = 0

    def find(self, key: str) -> Living:
        """Return the session of a key, or raise `SessionNotFoundError`."""
        if key not in self.living:
            raise SessionNotFoundError
        return self.living[key]

    def generate(
        self, key: str, value: Value | None, period: timedelta | None, *, granted: bool
    ) -> None:
        """Begin a session with a key that the store has chosen."""
        self.living[key] = Living(deepcopy(value), ZERO, None, self.max_lifetime)
        self._extend(key, period, granted=granted)

    def set(
        self, key: str, value: Value, period: timedelta | None, *, granted: bool | None
    ) -> Written:
        """Replace the value and extend the expiry."""
        self.find(key).value = deepcopy(value)
        return self._extend(key, period, granted=granted)

    def merge(
        self, key: str, changes: Changes, period: timedelta | None, *, granted: bool | None
    ) -> Written:
        """Apply changes; extend the expiry if a period is given."""
        session = self.find(key)
        if changes:
            kept = {} if changes.replaced else session.value or {}
            kept = {name: kept[name] for name in kept if name not in changes.removed}
            session.value = deepcopy(kept | dict(changes.set))
        if period is not None:
            return self._extend(key, period, granted=granted)
        return self._written(session)

    def touch(self, key: str, period: timedelta | None, *, granted: bool | None) -> Written:
        """Extend the expiry."""
        self.find(key)
        return self._extend(key, period, granted=granted)

    def renew(self, key: str, heir: str) -> None:
        """Move the session to a new key that the store has chosen."""
        session = self.living[heir] = self.find(key)
        session.number, session.shown = 0, False
        del self.living[key]

    def login(
        self,
        key: str | None,
        heir: str,
        user: str,
        changes: Changes,
        period: timedelta | None,
        *,
        granted: bool,
    ) -> None:
        """Bind the session to a user, under a new key that the store has chosen."""
        if key is None:
            self.living[heir] = Living({}, ZERO, None, self.max_lifetime)
        else:
            self.renew(key, heir)
        session = self.living[heir]
        session.user, session.login_number = user, session.login_number + 1
        session.proved = self.proofs = self.proofs + 1
        length = self.default_period if period is None else period
        self.merge(heir, changes, length, granted=granted)

    def confirm(
        self,
        key: str,
        heir: str,
        changes: Changes,
        period: timedelta | None,
        *,
        granted: bool | None,
    ) -> None:
        """Renew the session: its user has proved again who they are."""
        self.renew(key, heir)
        self.living[heir].proved = self.proofs = self.proofs + 1
        self.merge(heir, changes, period, granted=granted)

    def of_handle(self, key: str) -> str | None:
        """Return the key that the session of a key has now, or None if it has ended."""
        selector, *_ = key.split(".")
        return next((each for each in self.living if each.split(".")[0] == selector), None)

    def logout(self, key: str, login_number: int) -> bool:
        """End the session if it has this login number."""
        current = self.of_handle(key)
        if current is not None and self.living[current].login_number != login_number:
            return False
        self.living.pop(current or "", None)
        return True

    def of_user(self, user: str) -> list[str]:
        """Return the keys of a user's sessions, the one with the last login first."""
        keys = [key for key, session in self.living.items() if session.user == user]
        return sorted(keys, key=lambda key: -self.living[key].proved)

    def end(self, keys: list[str]) -> int:
        """End some sessions; return how many."""
        for key in keys:
            del self.living[key]
        return len(keys)

    def rotate(self, key: str, number: int, *, is_settled: bool) -> int:
        """Raise the number if it is `number` and was shown; return the number."""
        session = self.find(key)
        if is_settled and session.number == number and session.shown:
            session.number, session.shown = number + 1, False
        return session.number

    def show(self, key: str, number: int) -> None:
        """Note that the browser has shown the number, or the next one."""
        session = self.living.get(key)
        if session is not None and number - session.number in {0, 1}:
            session.number, session.shown = number, True

    def clear(self, key: str) -> None:
        """End the session."""
        self.living.pop(key, None)

    def clear_empty(self, key: str) -> bool:
        """End the session if it is empty; return whether it was."""
        session = self.find(key)
        is_empty = not session.value and session.user is None
        if is_empty:
            del self.living[key]
        return is_empty

    def take(self, key: str, name: str) -> object:
        """Remove a member and return it, or None if there is none."""
        session = self.living.get(key)
        return None if session is None or session.value is None else session.value.pop(name, None)

    def shown_period(self, session: Living) -> timedelta | None:
        """Return the session's own period, as far as the store allows it."""
        own, limit = session.granted, self.max_inactivity
        return own if own is None or limit is None else min(own, limit)

    def _extend(self, key: str, period: timedelta | None, *, granted: bool | None) -> Written:
        session = self.living[key]
        length = self.default_period if period is None else period
        if granted is not None:
            session.granted = length if granted else None
        elif session.granted is not None and length > ZERO:
            length = session.granted  # a request that did not set the period leaves it
        limits = [limit for limit in (session.lifetime, self.max_inactivity) if limit is not None]
        session.period = min([length, *limits])
        if session.period <= ZERO:
            del self.living[key]
        return self._written(session)

    def _written(self, session: Living) -> Written:
        return Written(self.shown_period(session), session.number)


@dataclass(slots=True)
class Holder:
    """A session as one request sees it: what it loaded, and its content now."""

    model: Model
    key: str
    loaded: Value
    content: Value
    granted: timedelta | None
    #: The remaining period that the cookie was made for, and the latest that the request knows.
    cookie: timedelta
    remaining: timedelta
    #: How many logins it had, or None for a visitor's session.
    login_number: int | None = None
    #: The whole value will be replaced.
    cleared: bool = False
    #: Another request has ended or renewed the session.
    lost: bool = False
    #: This request has ended the session itself.
    ended: bool = False

    @classmethod
    def of(cls, model: Model, key: str) -> "Holder":
        """Load a living session."""
        session = model.living[key]
        value = session.value or {}
        return cls(
            model,
            key,
            deepcopy(value),
            deepcopy(value),
            granted=model.shown_period(session),
            cookie=session.period,
            remaining=session.period,
            login_number=None if session.user is None else session.login_number,
        )

    def settle(self, period: timedelta | None = None, *, heir: str | None = None) -> bool:
        """Save the changes, under the new key `heir` if given; return whether there was anything to
        save.

        Raises `SessionNotFoundError` if another request has ended or renewed the
        session.
        """
        self._raise_if_lost()
        changes = self.changes()
        if self.cleared and not self.content:
            if self.login_number is None:
                self.model.clear(self.key)
                self.ended = True
            else:
                self.ended = self.model.logout(self.key, self.login_number)
                self.lost = not self.ended
            return self.ended
        if not changes and heir is None:
            return False
        self._find()
        if heir is not None:
            self.model.renew(self.key, heir)
            self.key = heir
        self.model.merge(self.key, changes, period, granted=None)
        if heir is None and not self.content and self.model.find(self.key).user is None:
            self.ended = self.model.clear_empty(self.key)
        self.loaded, self.cleared = deepcopy(self.content), False
        return True

    def reload(self) -> None:
        """Read the session again, and keep the unsaved changes."""
        self._raise_if_lost()
        stored, changes = deepcopy(self._find()), self.changes()
        self.loaded, self.remaining = deepcopy(stored.value or {}), stored.period
        self.granted = self.model.shown_period(stored)
        scratch = Model(ZERO, None, living={self.key: stored})
        scratch.merge(self.key, changes, None, granted=False)
        self.content = stored.value or {}

    def take(self, name: str) -> object:
        """Remove a member from the session and the store; return its latest value."""
        taken = None if self.lost else self.model.take(self.key, name)
        if name in self.content and not _same(self.content, self.loaded, name):
            taken = self.content[name]
        self.content.pop(name, None)
        self.loaded.pop(name, None)
        return taken

    @property
    def period(self) -> timedelta:
        """The period of the session, as the request knows it."""
        return self.model.default_period if self.granted is None else self.granted

    @property
    def cookie_differs(self) -> bool:
        """Whether the cookie expires so much earlier or later that another one is due."""
        return abs(self.remaining - self.cookie) * 10 >= self.period

    def undo(self, before: Changes) -> None:
        """Go back to what is stored, with the changes of `before` as the only unsaved."""
        scratch = Model(ZERO, None, living={self.key: Living(self.loaded, ZERO, None, None)})
        scratch.merge(self.key, before, None, granted=None)
        self.content = deepcopy(scratch.living[self.key].value or {})
        self.cleared = before.replaced

    def changes(self) -> Changes:
        """Return the changes to merge."""
        before = {} if self.cleared else self.loaded
        content = self.content
        return Changes(
            set={name: content[name] for name in content if not _same(content, before, name)},
            removed=before.keys() - content.keys(),
            replaced=self.cleared,
        )

    def _raise_if_lost(self) -> None:
        if self.lost:
            raise SessionNotFoundError

    def _find(self) -> Living:
        self.lost = self.key not in self.model.living
        return self.model.find(self.key)


def _same(one: Value, other: Value, name: str) -> bool:
    """Return whether both values have an equal member. True does not equal 1."""
    return name in other and json.dumps(one[name]) == json.dumps(other[name])
