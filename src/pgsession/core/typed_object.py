"""One object of an application's model: what it was read from, and what it changes there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pgsession.core.before import Before, can_be_stored, texts_of
from pgsession.core.codec import Codec, MisfitError
from pgsession.core.logs import event, own_logger
from pgsession.core.models import Reports
from pgsession.core.parts import copy_parts, is_alike
from pgsession.core.value import JSON, NO_DEFAULT
from pgsession.errors import SessionError, UnsupportedTypeError

_LOGGER = own_logger()

_REPORTS: Final = Reports()

#: In place of a member that the session does not have.
ABSENT: Final = object()

_NOT_STORED: Final = (
    "a part of it would not be read back as it is: one that the model excludes, hides as a "
    "secret or keeps private, or one of another class or value than the model reads"
)


@dataclass(frozen=True, slots=True, repr=False)
class Change:
    """What an object has changed since it was read or written."""

    #: All members that the object makes.
    members: dict[str, JSON]
    #: The JSON texts of those that differ, by name; None for one that is to be removed.
    texts: dict[str, bytes | None]


@dataclass(slots=True, eq=False, repr=False)
class TypedObject:
    """An object that was handed out, and what it was read from."""

    codec: Codec[Any]
    #: The name of its member, or None if its fields are members of the session.
    name: str | None
    made: Any
    #: What it was if the session had none: the JSON of the default that was given.
    fallback: JSON
    #: The members that it was read from, by name. The object belongs to the session as long as
    #: these are there, as a list does that was taken out of it.
    sources: dict[str, object]
    #: Its members when it was read or written.
    before: Before
    #: False if what is stored does not fit the model: a change replaces all of it.
    fits: bool
    #: A copy of it from then, for a model whose JSON does not show all; else None.
    copy: Any

    def holds(self, session: dict[str, Any], name: str) -> bool:
        """Return True if it was read from the member that the session has now."""
        return dict.get(session, name, ABSENT) is self.sources.get(name)

    def is_current(self, session: dict[str, Any]) -> bool:
        """Return True unless the handler has replaced a member that it was read from."""
        return all(self.holds(session, name) for name in self.sources)

    def change(self, session: dict[str, Any]) -> Change | None:
        """Return what has changed in it since it was read or written, or None.

        Raises `UnsupportedTypeError` if it would not be read back as it is.
        """
        held = [name for name in self.sources if self.holds(session, name)]
        members = self._changed_members() if held else None
        if members is None:
            return None
        texts, before = texts_of(members), self.before.texts
        return Change(
            members,
            {
                name: texts.get(name)
                for name in held
                if not self.fits or texts.get(name) != before.get(name)
            },
        )

    def write(self, session: dict[str, Any], change: Change, names: set[str]) -> None:
        """Replace the members `names` of `session` by those of `change`."""
        for name in names:
            self.sources[name] = member = change.members.get(name, ABSENT)
            if member is ABSENT:
                dict.pop(session, name, None)
            else:
                dict.__setitem__(session, name, member)
        self.before, self.fits = Before(change.members), True
        self.copy = self.codec.copy(self.made)

    def read_again(self, session: dict[str, Any]) -> bool:
        """Give it the content of `session`; return False if it cannot be given that."""
        try:
            fresh = read_object(session, self.codec, self.name, NO_DEFAULT, fallback=self.fallback)
        except SessionError:  # there is none, and it has no defaults
            return False
        if fresh is None or not (self._is_same(fresh) or copy_parts(fresh.made, self.made)):
            return False
        self.sources, self.before, self.fits = fresh.sources, fresh.before, fresh.fits
        self.copy = fresh.copy
        return True

    def detach(self, name: str) -> None:
        """Have it belong no more to a member that it was not read from, as there was none."""
        if self.sources.get(name) is ABSENT:
            self.sources[name] = object()

    def _members(self) -> dict[str, JSON]:
        plain = self.codec.encode(self.made)
        return plain if self.name is None else {self.name: plain}

    def _is_same(self, fresh: TypedObject) -> bool:
        """Return True if it is known to have the content of `fresh`."""
        try:
            return fresh.copy is None and texts_of(self._members()) == fresh.before.texts
        except MisfitError:
            return False

    def _changed_members(self) -> dict[str, JSON] | None:
        """Return the members if they have changed, or None."""
        try:
            members, before = self._members(), self.before
            is_changed = not before.is_same(members) and texts_of(members) != before.texts
            again = self._read_back(members) if is_changed else self.copy
        except MisfitError as error:
            reason = str(error)
        else:
            if not is_changed and self.copy is None:
                return None
            if is_alike(self.made, again) or not can_be_stored(texts_of(members)):
                return members if is_changed else None
            reason = _NOT_STORED
        raise UnsupportedTypeError(
            f"An object of {self.codec.model} was changed so that it cannot be stored and read "
            f"again: {reason}. Set what the model declares."
        )

    def _read_back(self, members: dict[str, JSON]) -> object:
        """Return what the next request reads of the members that would be stored."""
        stored = {name: members[name] for name in self.sources if name in members}
        return self.codec.decode(stored if self.name is None else stored[self.name], name=self.name)


def read_object(
    session: dict[str, Any],
    codec: Codec[Any],
    name: str | None,
    default: Any,  # noqa: ANN401 - an object of the model
    *,
    fallback: JSON = ABSENT,
) -> TypedObject | None:
    """Return an object made of the content of `session`, or of defaults; None for a None.

    Raises `MisfitError` for a default that cannot be stored, and `SessionError` if there is none.
    """
    names = (codec.fields or frozenset()) if name is None else (name,)
    sources = {each: session.get(each, ABSENT) for each in names}
    found = {each: member for each, member in sources.items() if member is not ABSENT}
    made, fits = ABSENT, True
    if found:
        try:
            made = codec.decode(found if name is None else found[name], name=name)
        except MisfitError as error:
            fits = False
            _report(codec.model, str(error))
    if made is ABSENT:
        if default is None:
            return None
        if default is not NO_DEFAULT:
            fallback = codec.encode(default)
        # A copy of the default: an application may give one object to all sessions.
        is_given = fallback is not ABSENT
        made = codec.decode(fallback, name=name) if is_given else codec.default()
        if default is not NO_DEFAULT:
            _check_copy(default, made, fallback)
        if name is None and found:
            made, fits = _with_fitting(codec, made, found)
    plain = codec.encode(made)
    before = Before(plain if name is None else {name: plain})
    return TypedObject(codec, name, made, fallback, sources, before, fits, codec.copy(made))


def _with_fitting(codec: Codec[Any], made: object, found: dict[str, JSON]) -> tuple[Any, bool]:
    """Return an object over the whole session, of the members that fit and of defaults.

    False is returned with it if the members do not fit each other: it is of defaults alone.
    """
    plain = codec.encode(made)
    fitting = {
        name: member for name, member in found.items() if codec.takes({**plain, name: member})
    }
    together = {**plain, **fitting}
    return (codec.decode(together, name=None), True) if codec.takes(together) else (made, False)


def _check_copy(default: object, made: object, plain: JSON) -> None:
    """Raise `MisfitError` if the copy of a default is not like it."""
    if not is_alike(default, made) and can_be_stored(texts_of({"": plain})):
        raise MisfitError(_NOT_STORED)


def _report(model: str, reason: str) -> None:
    if _REPORTS.is_new(model, reason):
        _LOGGER.warning(
            "Stored content does not fit %s and is treated as absent: %s. It stays as it is until "
            "an object of the model is changed.",
            model,
            reason,
            extra=event("object_unfit"),
        )
