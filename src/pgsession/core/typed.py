"""Typed content: objects of an application's models that stand for members of a session.

Nothing is recorded when a handler changes an object. It is encoded when it is handed out, and
again before the session's changes are computed. Where the two differ, the member is replaced.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import chain
from typing import Any

from pgsession.core.codec import Codec, MisfitError
from pgsession.core.models import codec_of, no_model
from pgsession.core.paths import format_path
from pgsession.core.pydantic_codec import is_same_adapter
from pgsession.core.typed_object import Change, TypedObject, read_object
from pgsession.errors import SessionError, UnsupportedTypeError


class TypedObjects:
    """The typed objects that one session has handed out."""

    def __init__(self) -> None:
        #: By the name of the member, or None for the whole session, and by the model.
        self._typed: dict[str | None, dict[Any, TypedObject]] = {}
        #: Why the last `write_back` could not write all objects, or None.
        self.fault: SessionError | None = None

    def read(self, session: dict[str, Any], model: Any, name: str | None, default: Any) -> Any:  # noqa: ANN401 - an object of any model
        """Return the object of `model` at `name`; see `Session.typed`."""
        typed = self._find(model, name)
        if typed is not None and typed.is_current(session):
            return typed.made
        codec: Codec[Any] = codec_of(model)
        if name is None and codec.fields is None:
            raise SessionError(
                f"{codec.model} has no fields that could be members of the session. Give "
                "session.typed() the name of a member."
            )
        # Another object may have changed what is read here.
        _write(session, self._sharing(codec.fields or () if name is None else (name,)), self)
        try:
            typed = read_object(session, codec, name, default)
        except MisfitError as error:
            reason = str(error)
        else:
            if typed is None:
                return None
            self._typed.setdefault(name, {})[model] = typed
            return typed.made
        raise UnsupportedTypeError(f"The default of {codec.model} cannot be stored: {reason}.")

    def write_back(self, session: dict[str, Any]) -> bool:
        """Write the objects that have changed to `session`. Return False if one cannot be."""
        self.fault = _write(session, self._all(), self)
        return self.fault is None

    def check(self, session: dict[str, Any]) -> None:
        """Do the same, and raise the error if one cannot be written."""
        if not self.write_back(session) and self.fault is not None:
            raise self.fault

    def settle(self, session: dict[str, Any], names: Iterable[str]) -> None:
        """Write the objects that stand for members that are about to be used."""
        _write(session, self._sharing(names), self)

    def detach(self, name: str) -> None:
        """Have objects belong no more to a member that is removed."""
        for typed in self._sharing((name,)):
            typed.detach(name)

    def detach_all(self, *, keep: Collection[str]) -> None:
        """Have objects belong no more to members that are removed: all but those to `keep`."""
        for typed in self._all():
            for name in typed.sources.keys() - keep:
                typed.detach(name)

    def read_again(self, session: dict[str, Any]) -> None:
        """Give all objects the content that `session` has now, which was loaded or restored.

        They stay the same objects. One that cannot be changed is made anew by the next `read`.
        """
        self.refresh(session, self._all())

    def refresh(self, session: dict[str, Any], objects: Iterable[TypedObject]) -> None:
        """Give some of the objects the content that `session` has now."""
        for typed in objects:
            if not typed.read_again(session):
                models = self._typed[typed.name]
                for model in [each for each, known in models.items() if known is typed]:
                    del models[model]

    def _all(self) -> list[TypedObject]:
        return [*chain.from_iterable(models.values() for models in self._typed.values())]

    def _find(self, model: Any, name: str | None) -> TypedObject | None:  # noqa: ANN401 - any model
        models = self._typed.get(name, {})
        try:
            typed = models.get(model)
        except TypeError:  # unhashable: an object of a dataclass
            raise no_model(model) from None
        if typed is None and hasattr(model, "core_schema"):  # a TypeAdapter that was made anew
            return next((models[each] for each in models if is_same_adapter(model, each)), None)
        return typed

    def _sharing(self, names: Iterable[str]) -> list[TypedObject]:
        """Return the objects that stand for these members, and all that share members with them."""
        whole = self._typed.get(None, {}).values()
        shared = set(names).union(*(typed.sources for typed in whole))
        named = (self._typed[name].values() for name in shared if name in self._typed)
        return [*whole, *chain.from_iterable(named)]


def _write(
    session: dict[str, Any], objects: list[TypedObject], known: TypedObjects
) -> SessionError | None:
    """Write the objects that have changed. Return why one could not be written, or None.

    An object that shares a member with one that has changed is given its new content.
    """
    fault, changes = None, dict[TypedObject, Change]()
    for typed in objects:
        try:
            change = typed.change(session)
        except SessionError as error:
            fault = error
        else:
            if change is not None:
                changes[typed] = change
    if fault is not None or not changes:
        return fault
    writers: dict[str, TypedObject] = {}
    for typed, change in changes.items():
        for name, text in change.texts.items():
            other = writers.setdefault(name, typed)
            if text != changes[other].texts[name]:
                return _conflict(other, typed, name)
    stale = [
        typed
        for typed in (objects if len(objects) > 1 else ())
        if any(
            name in writers and writers[name] is not typed and typed.holds(session, name)
            for name in typed.sources
        )
    ]
    for typed, change in changes.items():
        typed.write(session, change, {name for name in change.texts if writers[name] is typed})
    known.refresh(session, stale)
    return None


def _conflict(one: TypedObject, other: TypedObject, name: str) -> SessionError:
    return SessionError(
        f"An object of {one.codec.model} and one of {other.codec.model} have both changed "
        f"{format_path((None, name))}, so one change would be lost. Change that member by one of "
        "them, or call session.save() between the two changes."
    )
