"""Typed content and flash messages: what a session holds beside plain JSON members."""

from __future__ import annotations

from typing import Any, TypeVar, overload

from pgsession.core.flash import Flash, Flashes, member_of, message_names, surplus
from pgsession.core.models import Adapter
from pgsession.core.signing import SigningSession
from pgsession.core.state import SessionState
from pgsession.core.tracked import state_of
from pgsession.core.typed import NO_DEFAULT, TypedObjects

_T = TypeVar("_T")


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

        Raises `SessionError` if there is no default, and `TypeError` or `NameError` for what is
        no model. An object that the model itself would not accept is an
        `UnsupportedTypeError` when the session is saved.
        """
        self.mark_accessed()
        if self._state.typed is None:
            self._state.typed = TypedObjects()
        made: _T | None = self._state.typed.read(self, model, name, default)
        return made

    def flash(self, text: str, *, category: str = "info") -> None:
        """Add a message for the next page that shows messages, such as "Saved.".

        It is saved with the session, and kept until `flashes` reads it. A text that is
        ``markupsafe.Markup`` comes back as one that templates do not escape. It is a member of
        the session like others: `clear` and `logout` remove it, so call this after them. Of more
        than 50 messages the oldest are removed. Raises `UnsupportedTypeError` if it is no text.
        """
        self[messages_of(self._state).new_name()] = member_of(text, category)
        for name in surplus(self):
            del self[name]

    async def flashes(self) -> list[Flash]:
        """Take the messages of this session and return them, oldest first.

        If several requests take a message, in any processes, exactly one gets it. It is
        committed at once. Further calls in this request return the same messages, and those
        flashed since. Without a message there is no statement; else there is one for each.
        Raises `StoreUnavailableError`.
        """
        self.mark_accessed()
        state = self._state
        messages = messages_of(state)
        for name in sorted(message_names(self)):
            if not _is_at_hand(state, name):
                member = await self.take(name)
                if member is not None:
                    messages.note({name: member})
        return flashes_at_hand(self)

    async def take(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - JSON
        """Remove a member and return it, only once."""


def flashes_at_hand(session: ContentSession) -> list[Flash]:
    """Return the messages that this request has taken, and those flashed and not saved."""
    state = state_of(session)
    state.accessed = True
    names = [name for name in message_names(session) if _is_at_hand(state, name)]
    return messages_of(state).note({name: session.pop(name) for name in names})


def messages_of(state: SessionState) -> Flashes:
    """Return the messages of a request."""
    if state.flashes is None:
        state.flashes = Flashes()
    return state.flashes


def _is_at_hand(state: SessionState, name: str) -> bool:
    """Return True for a member that no other request can know."""
    is_writing = state.attachment is not None and state.attachment.is_writing
    return not is_writing and name not in state.stored.names
