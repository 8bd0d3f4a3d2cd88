"""A model of a store and of the sessions in its requests, in plain Python, without a clock."""

import json
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from pgsession import Changes, SessionNotFoundError

ZERO: Final = timedelta(0)

Value = dict[str, Any]


@dataclass(slots=True)
class Living:
    """A session that has not ended."""

    value: Value | None
    period: timedelta
    granted: timedelta | None
    lifetime: timedelta | None


@dataclass(slots=True)
class Model:
    """All living sessions, by key. There is no clock: tests change the expiry."""

    default_period: timedelta
    max_lifetime: timedelta | None
    living: dict[str, Living] = field(default_factory=dict)

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
    ) -> None:
        """Replace the value and extend the expiry."""
        self.find(key).value = deepcopy(value)
        self._extend(key, period, granted=granted)

    def merge(
        self, key: str, changes: Changes, period: timedelta | None, *, granted: bool | None
    ) -> None:
        """Apply changes; extend the expiry if a period is given."""
        session = self.find(key)
        if changes:
            kept = {} if changes.replaced else session.value or {}
            kept = {name: kept[name] for name in kept if name not in changes.removed}
            session.value = deepcopy(kept | dict(changes.set))
        if period is not None:
            self._extend(key, period, granted=granted)

    def touch(self, key: str, period: timedelta | None, *, granted: bool | None) -> None:
        """Extend the expiry."""
        self.find(key)
        self._extend(key, period, granted=granted)

    def renew(self, key: str, heir: str) -> None:
        """Move the session to a new key that the store has chosen."""
        self.living[heir] = self.find(key)
        del self.living[key]

    def clear(self, key: str) -> None:
        """End the session."""
        self.living.pop(key, None)

    def clear_empty(self, key: str) -> bool:
        """End the session if it is empty; return whether it was."""
        is_empty = not self.find(key).value
        if is_empty:
            del self.living[key]
        return is_empty

    def take(self, key: str, name: str) -> object:
        """Remove a member and return it, or None if there is none."""
        session = self.living.get(key)
        return None if session is None or session.value is None else session.value.pop(name, None)

    def _extend(self, key: str, period: timedelta | None, *, granted: bool | None) -> None:
        session = self.living[key]
        length = self.default_period if period is None else period
        session.period = length if session.lifetime is None else min(length, session.lifetime)
        if granted is not None:
            session.granted = length if granted else None
        if session.period <= ZERO:
            del self.living[key]


@dataclass(slots=True)
class Holder:
    """A session as one request sees it: what it loaded, and its content now."""

    model: Model
    key: str
    loaded: Value
    content: Value
    granted: timedelta | None
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
        return cls(model, key, deepcopy(value), deepcopy(value), session.granted)

    def settle(self, period: timedelta | None = None, *, heir: str | None = None) -> bool:
        """Save the changes, under the new key `heir` if given; return whether there was anything to
        save.

        Raises `SessionNotFoundError` if another request has ended or renewed the
        session.
        """
        self._raise_if_lost()
        changes = self.changes()
        if self.cleared and not self.content:
            self.model.clear(self.key)
            self.ended = True
            return True
        if not changes and heir is None:
            return False
        self._find()
        if heir is not None:
            self.model.renew(self.key, heir)
            self.key = heir
        self.model.merge(self.key, changes, period, granted=None)
        if heir is None and not self.content:
            self.ended = self.model.clear_empty(self.key)
        self.loaded, self.cleared = deepcopy(self.content), False
        return True

    def reload(self) -> None:
        """Read the session again, and keep the unsaved changes."""
        self._raise_if_lost()
        stored, changes = deepcopy(self._find()), self.changes()
        self.loaded, self.granted = deepcopy(stored.value or {}), stored.granted
        scratch = Model(ZERO, None, {self.key: stored})
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
