"""Typed content: objects of an application's models that stand for members of a session.

Nothing is recorded when a handler changes an object. It is encoded when it is handed out, and
again before the session's changes are computed. Where the two differ, the member is replaced.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from pgsession.core.models import Codec, MisfitError, Reports, codec_of
from pgsession.core.plain import Budget
from pgsession.core.value import JSON, encode_member
from pgsession.errors import InvalidValueError, SessionError, UnsupportedTypeError

_LOGGER = logging.getLogger("pgsession")

_REPORTS: Final = Reports()

#: In place of a member that the session does not have.
_ABSENT: Final = object()

#: In place of a default that was not given.
NO_DEFAULT: Final[Any] = object()


class Before:
    """Members as they were. They are kept as bytes: a handler may change what it is given."""

    __slots__ = ("_packed", "_texts")

    def __init__(self, members: dict[str, JSON]) -> None:
        self._texts: dict[str, bytes] | None = None
        try:
            # MessagePack and not JSON, which does not distinguish NaN from null.
            self._packed = msgspec.msgpack.encode(members)
        except (OverflowError, UnicodeEncodeError):  # a long integer, a lone surrogate
            self._packed = b""
            self._texts = _texts(members)

    def is_same(self, members: dict[str, JSON]) -> bool:
        """Return True if `members` are the same. This is a fast check: False may be wrong."""
        try:
            return msgspec.msgpack.encode(members) == self._packed
        except (OverflowError, UnicodeEncodeError):
            return False

    @property
    def texts(self) -> dict[str, bytes]:
        """The JSON texts of the members."""
        if self._texts is None:
            self._texts = _texts(msgspec.msgpack.decode(self._packed))
        return self._texts


@dataclass(slots=True)
class _Typed:
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

    @property
    def texts(self) -> dict[str, bytes]:
        """The JSON texts of its members when it was read or written."""
        return self.before.texts

    def members(self) -> dict[str, JSON]:
        """Return the members that the object makes, or raise `MisfitError`."""
        plain = self.codec.encode(self.made)
        return plain if self.name is None else {self.name: plain}

    def is_current(self, session: dict[str, Any]) -> bool:
        """Return True unless the handler has replaced a member that it was read from."""
        return all(
            dict.get(session, name, _ABSENT) is source for name, source in self.sources.items()
        )

    def write_back(self, session: dict[str, Any]) -> None:
        """Replace the members of `session` that differ from what the object was.

        Raises `InvalidValueError` if the object could not be read again.
        """
        attached = {
            name
            for name, source in self.sources.items()
            if dict.get(session, name, _ABSENT) is source
        }
        members = self._checked_members() if attached else None
        if members is None:
            return
        texts = _texts(members)
        for name in attached:
            if self.fits and texts.get(name) == self.texts.get(name):
                continue
            self.sources[name] = member = members.get(name, _ABSENT)
            if member is _ABSENT:
                dict.pop(session, name, None)
            else:
                dict.__setitem__(session, name, member)
        self.before, self.fits = Before(members), True

    def _checked_members(self) -> dict[str, JSON] | None:
        """Return the members if they have changed, or None."""
        try:
            members = self.members()
            if self.before.is_same(members) or _texts(members) == self.texts:
                return None
            plain = members if self.name is None else members[self.name]
            self.codec.decode(plain, name=self.name)
        except MisfitError as error:
            reason = str(error)
        else:
            return members
        raise UnsupportedTypeError(
            f"An object of {self.codec.model} was changed so that it cannot be stored and read "
            f"again: {reason}. Set what the model declares."
        )


class TypedObjects:
    """The typed objects that one session has handed out."""

    def __init__(self) -> None:
        self._typed: dict[tuple[Any, str | None], _Typed] = {}
        #: Why the last `write_back` could not write all objects, or None.
        self.fault: SessionError | None = None

    def read(self, session: dict[str, Any], model: Any, name: str | None, default: Any) -> Any:  # noqa: ANN401 - an object of any model
        """Return the object of `model` at `name`; see `Session.typed`."""
        typed = self._typed.get((model, name))
        if typed is not None and typed.is_current(session):
            return typed.made
        self.write_back(session)  # another object may have changed what is read here
        codec: Codec[Any] = codec_of(model)
        if name is None and codec.fields is None:
            raise SessionError(
                f"{codec.model} has no fields that could be members of the session. Give "
                "session.typed() the name of a member."
            )
        try:
            typed = _read(session, codec, name, default)
        except MisfitError as error:
            reason = str(error)
        else:
            if typed is None:
                return None
            self._typed[model, name] = typed
            return typed.made
        raise UnsupportedTypeError(f"The default of {codec.model} cannot be stored: {reason}.")

    def write_back(self, session: dict[str, Any]) -> bool:
        """Write the objects that have changed to `session`. Return False if one cannot be."""
        self.fault = None
        for typed in list(self._typed.values()):
            try:
                typed.write_back(session)
            except SessionError as error:
                self.fault = error
        return self.fault is None

    def check(self, session: dict[str, Any]) -> None:
        """Do the same, and raise the error if one cannot be written."""
        if not self.write_back(session) and self.fault is not None:
            raise self.fault

    def detach(self) -> None:
        """Have objects that were made of defaults belong to the session no more."""
        for typed in self._typed.values():
            for name, source in typed.sources.items():
                if source is _ABSENT:
                    typed.sources[name] = object()

    def read_again(self, session: dict[str, Any]) -> None:
        """Give all objects the content that `session` has now, which was loaded or restored.

        They stay the same objects. One that cannot be changed is made anew by the next `read`.
        """
        for key, typed in list(self._typed.items()):
            fresh = _read_again(session, typed)
            if fresh is None:
                del self._typed[key]
            else:
                self._typed[key] = fresh


def _read(
    session: dict[str, Any],
    codec: Codec[Any],
    name: str | None,
    default: Any,  # noqa: ANN401 - an object of the model
    *,
    fallback: JSON = _ABSENT,
) -> _Typed | None:
    """Return an object made of the content of `session`, or of defaults; None for a None."""
    names = (codec.fields or frozenset()) if name is None else (name,)
    sources = {each: session.get(each, _ABSENT) for each in names}
    found = {each: member for each, member in sources.items() if member is not _ABSENT}
    made, fits = None, True
    if found:
        try:
            made = codec.decode(found if name is None else found[name], name=name)
        except MisfitError as error:
            fits = False
            _report(codec.model, str(error))
    if not found or not fits:
        if default is None:
            return None
        if default is not NO_DEFAULT:
            fallback = codec.encode(default)
        # A copy of the default: an application may give one object to all sessions.
        is_given = fallback is not _ABSENT
        made = codec.decode(fallback, name=name) if is_given else codec.default()
    plain = codec.encode(made)
    before = Before(plain if name is None else {name: plain})
    return _Typed(codec, name, made, fallback, sources, before, fits)


def _read_again(session: dict[str, Any], typed: _Typed) -> _Typed | None:
    """Give an object the content of `session`; None if it cannot be given that."""
    try:
        fresh = _read(session, typed.codec, typed.name, NO_DEFAULT, fallback=typed.fallback)
    except SessionError:  # there is none, and it has no defaults
        return None
    if fresh is None or (
        _texts_of(typed) != fresh.texts and not _copy_content(fresh.made, typed.made)
    ):
        return None
    fresh.made = typed.made
    return fresh


def _report(model: str, reason: str) -> None:
    if _REPORTS.is_new(model, reason):
        _LOGGER.warning(
            "Stored content does not fit %s and is treated as absent: %s. It stays as it is until "
            "an object of the model is changed.",
            model,
            reason,
        )


def _texts_of(typed: _Typed) -> dict[str, bytes] | None:
    try:
        return _texts(typed.members())
    except MisfitError:
        return None


def _texts(members: dict[str, JSON]) -> dict[str, bytes]:
    return {name: _text(name, member) for name, member in members.items()}


def _text(name: str, member: JSON) -> bytes:
    try:
        return encode_member(name, member, Budget())
    except InvalidValueError:
        # It is an error once it is to be stored. Here it need only differ from other values.
        return b"\0" + repr(member).encode(errors="backslashreplace")


def _copy_content(fresh: Any, made: Any) -> bool:  # noqa: ANN401 - objects of a model
    """Make the content of `made` that of `fresh`, of the same class; return False if it cannot be.

    The fields are set as the class itself would set them, also those of a frozen one.
    """
    match made:
        case dict() | set():
            made.clear()
            made.update(fresh)
            return True
        case list():
            made[:] = fresh
            return True
        case msgspec.Struct():
            for field in made.__struct_fields__:
                msgspec.structs.force_setattr(made, field, getattr(fresh, field))
            return True
        case _:
            names = [*_slots_of(type(made)), *(["__dict__"] if hasattr(made, "__dict__") else [])]
            for name in names:
                if hasattr(fresh, name):
                    object.__setattr__(made, name, getattr(fresh, name))
            return bool(names)


def _slots_of(kind: type) -> Iterator[str]:
    for each in kind.__mro__:
        slots = each.__dict__.get("__slots__", ())
        for slot in [slots] if isinstance(slots, str) else slots:
            if slot not in {"__dict__", "__weakref__"}:
                yield slot
