"""Typed content and flash messages: what a session holds beside plain JSON members."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol, TypeVar, overload

from pgsession import rare
from pgsession.core.signing import SigningSession
from pgsession.core.state import SessionState
from pgsession.core.tracked import state_of
from pgsession.core.value import NO_DEFAULT

_T = TypeVar("_T")

# A TypeAdapter is typed by what it returns alone.
_MadeT_co = TypeVar("_MadeT_co", covariant=True)


class Adapter(Protocol[_MadeT_co]):
    """What a `pydantic.TypeAdapter` has of which typed content makes use."""

    def validate_json(self, data: str | bytes, /) -> _MadeT_co:
        """Return an object of the model."""
        ...

    def dump_python(self, instance: Any, /) -> Any:  # noqa: ANN401 - as pydantic declares it
        """Return the JSON of an object."""
        ...


class ContentSession(SigningSession):
    """A session that hands out typed objects, and keeps messages until a page shows them."""

    __slots__ = ()

    @overload
    def typed(self, model: type[_T] | Adapter[_T], name: str | None = None) -> _T: ...

    @overload
    def typed(
        self, model: type[_T] | Adapter[_T], name: str | None = None, *, default: None
    ) -> _T | None: ...

    @overload
    def typed(
        self, model: type[_T] | Adapter[_T], name: str | None = None, *, default: _T
    ) -> _T: ...

    def typed(
        self,
        model: type[_T] | Adapter[_T],
        name: str | None = None,
        *,
        default: _T | None = NO_DEFAULT,
    ) -> _T | None:
        """Return ``session[name]`` as an object of `model`, or the whole session as one.

        `model` is a dataclass, a `TypedDict`, a class of msgspec, attrs or pydantic (2.11 or
        later), or a `pydantic.TypeAdapter`. Without a `name`, each field is the member of
        its name, and other members stay as they are.

        What the handler changes in the object is saved with the session. An object that was
        not changed is not written. A second call returns the same object. `reload` and
        `exclusive` give it what they load, but once the handler itself replaces or
        removes the member, the object belongs to the session no more.

        If the session does not have it, this is ``model()``, or a copy of `default` if that is
        given, or None; it is stored once it is changed. Content that does not fit the model is
        treated as absent: that is logged once in each process, and the content stays until the
        object is changed.

        Raises `SessionError` if there is no default, `UnsupportedTypeError` for what is no
        model, and `NameError` for one that names an unknown type. When the session is saved, an
        object that would not be read back equal is an `UnsupportedTypeError`, and two objects
        that have both changed the same member are a `SessionError`.
        """
        self.mark_accessed()
        self._state.give_out()
        if self._state.typed is None:
            # Most applications have no typed content, and should not import what it needs.
            from pgsession.core.typed import TypedObjects  # noqa: PLC0415

            self._state.typed = TypedObjects()
        made: _T | None = self._state.typed.read(self, model, name, default)
        return made

    def flash(self, text: str, *, category: str = "info") -> None:
        """Add a message for the next page that shows messages, such as "Saved.".

        It is saved with the session, and kept until `flashes` reads it. A text that is
        ``markupsafe.Markup`` comes back as one that templates do not escape; of another text
        with ``__html__``, what that returns. It is a member of the session like others: `clear`
        and `logout` remove it, so call this after them. Of more than 50 messages the oldest are
        removed. Raises `UnsupportedTypeError` if it is no text.
        """
        name = messages_of(self._state).new_name(rare.message_names(self))
        self[name] = rare.member_of(text, category)
        for other in rare.surplus(self, but=name):
            del self[other]

    async def flashes(self) -> list[rare.Flash]:
        """Take the messages of this session and return them, oldest first.

        If several requests take a message, in any processes, exactly one gets it. It is
        committed at once. Further calls in this request return the same messages, and those
        flashed since. Without a message there is no statement; else there is one for each.
        Raises `StoreUnavailableError`.
        """
        await take_messages(self)
        return flashes_at_hand(self)

    async def take(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - JSON
        """Remove a member and return it, only once."""


async def take_messages(session: ContentSession) -> None:
    """Take the stored messages, for `flashes_at_hand` or for `put_back`."""
    session.mark_accessed()
    state = state_of(session)
    messages = messages_of(state)
    messages.note({})
    for name in sorted(rare.message_names(session)):
        if not _is_at_hand(state, name):
            member = await session.take(name)
            if member is not None:
                messages.note({name: member})


def put_back(session: ContentSession) -> None:
    """Make members again of the messages that were taken, and that nothing has read."""
    dict.update(session, messages_of(state_of(session)).put_back())


def flashes_at_hand(session: ContentSession) -> list[rare.Flash]:
    """Return the messages that this request has taken, and those flashed and not saved."""
    state = state_of(session)
    state.accessed = True
    names = [name for name in rare.message_names(session) if _is_at_hand(state, name)]
    messages = messages_of(state)
    messages.note({name: session.pop(name) for name in names})
    return messages.read()


def messages_of(state: SessionState) -> rare.Flashes:
    """Return the messages of a request."""
    if state.flashes is None:
        state.flashes = rare.Flashes()
    return state.flashes


def _is_at_hand(state: SessionState, name: str) -> bool:
    """Return True for a member that no other request can know."""
    is_writing = state.attachment is not None and state.attachment.is_writing
    return not is_writing and name not in state.stored.names


def _settling(method: Callable[..., Any], *, is_removal: bool) -> Any:  # noqa: ANN401 - a method
    """Return a method that first makes members of what typed objects have changed.

    So it finds the member of an object that was made of defaults.
    """

    @wraps(method)
    def settled(self: ContentSession, *args: Any) -> Any:  # noqa: ANN401 - as `method`
        self._note_change()
        typed = self._state.typed
        if typed is None:
            return method(self, *args)
        if not args:  # popitem
            typed.write_back(self)
            return method(self)
        typed.settle(self, args[:1])
        if is_removal:
            typed.detach(args[0])
        return method(self, *args)

    return settled


# In a loop, so that type checkers see the signatures of `dict`.
for _name in ("__delitem__", "pop", "popitem", "setdefault"):
    _method = _settling(getattr(SigningSession, _name), is_removal=_name != "setdefault")
    setattr(ContentSession, _name, _method)

# Python names a method so in the error for a wrong call.
for _method in (ContentSession.typed, ContentSession.flash, ContentSession.flashes):
    _method.__qualname__ = f"Session.{_method.__name__}"
