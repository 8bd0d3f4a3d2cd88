"""The mapping that a handler uses as ``request.session``."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NoReturn

from pgsession import rare
from pgsession.core.content_session import ContentSession
from pgsession.core.period import DEFAULT_PERIOD, Period, as_period, as_positive
from pgsession.core.state import SessionState
from pgsession.core.store import DEFAULT_EXCLUSIVE_TIMEOUT, Entry
from pgsession.core.tracked import set_state
from pgsession.errors import ResponseStartedError, SessionError

if TYPE_CHECKING:  # a Protocol that only annotations name
    from pgsession.core.attachment import Attachment

#: What may be set on a session. Everything else is a member: ``session["name"]``.
_SETTABLE: Final = frozenset({"__class__", "period", "modified", "accessed"})

#: So many names of members are printed.
_MOST_NAMES: Final = 20


class Session(ContentSession):
    """A `dict` with the content of one session, valid during one request.

    It is saved when the response starts. Changes are found by comparing the
    content with what was loaded: a change deep inside a member counts, a value
    that was set back does not, and True differs from 1.

    A copy or a pickle is a plain `dict`. ``print(session)`` shows the user, the period left and
    the names of the members.

    ``Session({"user": "ann"})`` is a session with this content, unchanged, that belongs to no
    request, for the test of a function that takes one. Raises `TypeError` for anything
    but a dict with str keys, and `InvalidValueError` for content that cannot be stored.

    `AttributeError` is raised for an attribute that a session does not have, when it is read
    and when it is set: content is set with ``session["name"] = …``.
    """

    __slots__ = ()

    #: True if the store could not answer and `on_unavailable` is "anonymous". The session is
    #: empty, even if the visitor has one, and raises `StoreUnavailableError` when it is changed.
    is_unavailable: bool = False

    def __init__(self, content: dict[str, Any] | Entry | None = None) -> None:
        if not isinstance(content, Entry | dict | None):
            raise TypeError(
                "Session takes its content as a dict, such as Session({'cart': []}), not "
                f"{type(content).__name__}. In a handler, use request.session."
            )
        state = SessionState()
        set_state(self, state)
        if content is not None:
            entry = content if isinstance(content, Entry) else Entry(content, DEFAULT_PERIOD)
            fill(self, state, entry)
            state.give_out()  # the caller has its lists and dicts

    def __repr__(self) -> str:
        return f"<Session is_new={self.is_new} accessed={self.accessed}>"

    def __str__(self) -> str:
        """Show what `print` is to show: the user, the period left and the names of the members.

        Neither values nor the key. The repr, which error trackers keep, shows less.
        """
        state = self._state
        left = None if state.attachment is None else state.attachment.remaining
        names = [*islice(dict.keys(self), _MOST_NAMES)]
        more = dict.__len__(self) - len(names)
        user = "visitor" if state.user_id is None else f"user {state.user_id!r}"
        expiry = (
            "no row" if left is None else f"{timedelta(seconds=int(left.total_seconds()))} left"
        )
        return f"<Session: {user}, {expiry}, members {names}{f' and {more} more' if more else ''}>"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: Callable[[object], Any]) -> Any:  # noqa: ANN401 - pydantic's
        """Say what to write where FastAPI takes the type of a parameter for one of the body."""
        try:
            return handler(source)
        except RuntimeError:  # pydantic's, unless the model allows any type
            raise TypeError(
                "A Session is no part of a request or a response. For a parameter of FastAPI, "
                "write session: Annotated[Session, Depends(get_session)], with get_session from "
                "pgsession."
            ) from None

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        """Make copies and pickles plain dicts: only the original belongs to the request."""
        self.mark_modified()
        return dict, (dict(dict.items(self)),)

    if not TYPE_CHECKING:  # else a type checker would take any attribute

        def __setattr__(self, name: str, value: object) -> None:
            if name not in _SETTABLE:
                self._reject_attribute(name)
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        """List what a handler may use."""
        return [name for name in super().__dir__() if name[:1] != "_" or name[:2] == "__"]

    def _reject_attribute(self, name: str) -> NoReturn:
        readable = name in dir(self)
        raise AttributeError(
            f"session.{name} cannot be set."
            if readable
            else f"A session has no attribute {name!r} that could be set. To store something, "
            f"write session[{name!r}] = ….",
            name=name,
            obj=self,
        )

    @property
    def modified(self) -> bool:
        """True if the content differs from what is stored, or `clear()` was called.

        Code that was written for Starlette may set it to True, which has no effect: changes are
        found without. Raises `ValueError` for False: a change cannot be hidden.
        """
        return self._state.is_modified(self)

    @modified.setter
    def modified(self, modified: bool) -> None:
        if not modified:
            raise ValueError(
                "session.modified cannot be set to False: changes are found by comparing. To "
                "undo them, call reload(), or set the members back."
            )
        self.mark_modified()

    def mark_modified(self) -> None:
        """Record that lists and dicts of the session may be changed by code that it cannot see.

        That is code in C that takes them from the memory of the dict. Other changes are found
        without a call of this.
        """
        state = self._state
        state.accessed = True
        state.give_out()

    @property
    def is_new(self) -> bool:
        """True if the session has no row yet."""
        return self._state.is_new

    def clear(self) -> None:
        """Remove all members, including those that other requests add before this is saved.

        A session that is empty when the response starts is ended: its row is
        removed before the response is sent, and the response deletes its
        cookie. If it has members again, they replace the whole stored value.
        """
        self._clear_but(())

    def _clear_but(self, names: Collection[str]) -> None:
        kept = {name: self[name] for name in names if name in self}
        super().clear()
        dict.update(self, kept)
        state = self._state
        state.cleared += 1
        if state.typed is not None:
            state.typed.detach_all(keep=names)
        if state.flashes is not None:
            state.flashes.remove()

    def renew(self) -> None:
        """Give the session a new key with this response. The old key ends at once.

        Call it whenever the privileges of a visitor change, above all at
        login: then a key that an attacker planted before is worthless (OWASP:
        session fixation). The content stays. Raises `ResponseStartedError`
        once the response has started, because the browser cannot get the new
        key any more.
        """
        self.mark_accessed()
        self._check_not_started()
        self._state.renewed += 1

    @property
    def period(self) -> timedelta:
        """How long the session lives after its last use.

        Set it to a `timedelta` or seconds, for "remember me": the session
        keeps this period for all later requests. Set it to None to go back to
        the default. Raises `InvalidPeriodError` unless it is positive (to end
        a session, clear it) and `ResponseStartedError` once the response has
        started.
        """
        return self._state.period

    @period.setter
    def period(self, period: Period | None) -> None:
        self.mark_accessed()
        self._check_not_started()
        granted = None if period is None else as_positive(period)
        state = self._state
        state.period_changed += granted != state.granted
        state.granted = granted

    @property
    def granted(self) -> timedelta | None:
        """The session's own period, or None if it has the default period."""
        return self._state.granted

    async def save(self) -> None:
        """Commit the changes now, not only when the response starts.

        Use it in a WebSocket, in a long task, or before your handler calls
        another server that reads the session. A redirect needs no call: its
        response starts after the commit. The expiry stays as it is, unless `period` was set. It
        commits at once in an `exclusive` block too.

        Raises `SessionNotFoundError` if the session has ended since it was
        loaded, `ResponseStartedError` if it has no row yet and the response
        has started, `InvalidValueError` for a value that cannot be stored, and
        `StoreUnavailableError`.
        """
        await self._attached().save()

    async def reload(self) -> None:
        """Read the session again, and keep the changes that are not saved.

        A session without a row stays as it is. Raises `SessionNotFoundError`
        if the session has ended since it was loaded, `InvalidValueError` for
        a changed value that cannot be stored, and `StoreUnavailableError`.
        """
        await self._attached().reload()

    def exclusive(
        self, timeout: Period = DEFAULT_EXCLUSIVE_TIMEOUT
    ) -> AbstractAsyncContextManager[None]:
        """Run a block under the session's lock: ``async with session.exclusive(): …``.

        The session is reloaded when the lock is acquired, and its changes are
        committed at the end of the block. Other requests that ask for the lock
        of this session wait; requests that do not ask never wait. If the block
        raises, what it did to the session is undone, except what `save` and
        `take` have committed. Blocks of one request cannot be nested; that is a
        `SessionError`.

        Raises `StoreBusyError` if the lock cannot be acquired within `timeout`
        (a `timedelta` or seconds), or if too many locks of other sessions are
        held, and the errors of `reload` and `save`.
        """
        return self._attached().exclusive(as_period(timeout))

    async def take(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - JSON
        """Remove ``session[name]`` and return it, or return `default` if there is none.

        If several requests take the same member, in any processes, exactly one
        gets it. Use it for OAuth states, nonces and one-time messages. It is
        committed at once, and stays so if it is called in an `exclusive` block
        that raises. Raises `StoreUnavailableError`.
        """
        return await self._attached().take(name, default)

    @property
    def handle(self) -> str | None:
        """Names this session among those of its user: the `Device.handle` of this session.

        It opens nothing, and stays the same for the session's whole life. None if
        the session has no row yet. Raises `RequestEndedError` after the request.
        """
        self.mark_accessed()
        attachment = self._state.attachment
        return None if attachment is None else attachment.handle

    async def devices(self) -> list[rare.Device]:
        """Return the living sessions of the user, this one first; none for a visitor.

        The others follow with those seen last first. Raises `StoreUnavailableError`,
        `RequestEndedError` after the request, and `SessionError` if the store keeps no
        users.
        """
        attachment, user_id = self._attached(), self.user_id
        return [] if user_id is None else await attachment.devices(user_id)

    async def ended(self) -> None:
        """Return when the session has ended: for a WebSocket, a stream of events, a long poll.

        It ends with a logout or a login in any process, when it is revoked, when
        its row is deleted, and when it expires. A new key, of `renew`, `confirm`
        or rotation, does not end it. It is noticed within `watch_every`, 1.5
        seconds by default, once the database answers.

        After a logout of this request itself this returns at once; what waits by then
        is told when the logout is committed, so `save` after it. After its login the
        session that it has logged in to counts. A session without a row does not
        end. Waiting does not extend a session. While the database is away this goes on
        waiting, without an error.

        Raises `SessionError` if the store keeps no users, and `RequestEndedError` after
        the request. It is cancelled if it still waits when the request ends.
        """
        await self._attached().ended()

    def lasting(self) -> AbstractAsyncContextManager[None]:
        """Run a block while the session lasts: ``async with session.lasting(): …``.

        When the session ends, as in `ended`, the block is cancelled, and
        `SessionEndedError` is raised out of it; also if it was done first, and at its
        start if the session has ended already. A cancellation by others stays one, as
        with `asyncio.timeout`. In a task that outlives the request, the block is watched
        until it is done.

        Raises `SessionError` if the store keeps no users, and `RequestEndedError` if it
        is entered after the request.
        """
        return self._attached().lasting()

    def _attached(self) -> Attachment:
        state = self._state
        state.accessed = True
        if state.attachment is None:
            raise SessionError(
                "This session belongs to no request, so it has no store. Use request.session."
            )
        return state.attachment

    def _check_users(self) -> None:
        if (attachment := self._state.attachment) is not None:
            attachment.check_users()

    def _check_not_started(self) -> None:
        if (attachment := self._state.attachment) is not None and attachment.started:
            raise ResponseStartedError


def attached(kind: type[Session], attachment: Attachment, entry: Entry | None = None) -> Session:
    """Return a session of a request, with the content of an entry if there is one."""
    session, state = kind.__new__(kind), SessionState()
    set_state(session, state)
    state.attachment = attachment
    if entry is not None:
        fill(session, state, entry)
    return session


def fill(session: Session, state: SessionState, entry: Entry) -> None:
    """Give an empty session, which nobody has used, the content of an entry."""
    value, _, granted, _, _, _, _, signed_in = entry
    state.is_new = False
    if signed_in is not None:
        state.note_signed_in(signed_in)
    if granted is not None:
        state.granted = granted
    if value:
        state.load(session, value)


#: The methods that change a session, or what is stored of it.
_ALTERING: Final = (
    "clear",
    "confirm",
    "exclusive",
    "flash",
    "flashes",
    "login",
    "logout",
    "reload",
    "renew",
    "save",
    "take",
)


def forbid_in_templates(kind: type[Session]) -> None:
    """Mark the methods of a class that change a session, for Jinja's sandbox and for Django.

    They do not call a method that has the attribute ``alters_data``.
    """
    for name in _ALTERING:
        setattr(getattr(kind, name), "alters_data", True)  # noqa: B010 - a function's attribute


forbid_in_templates(Session)
